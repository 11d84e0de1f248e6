/**
 * @file One training step of a small model, ours and TensorFlow.js's in turns: same device, weights, adapter, batch and optimizer. The
 * two losses must agree before their times are compared.
 */
import { DeviceError } from '../../src/core/errors.ts';
import { createEngine } from '../../src/gpu/engine.ts';
import { randomModel } from '../../src/gpu/formats/random_model.ts';
import type { LoraConfig, ModelConfig } from '../../src/gpu/model/config.ts';
import { randomTokens, supervised } from './engine.ts';
import type { Report } from './report.ts';
import { withTfjs } from './tfjs.ts';
import { tfjsTrainer } from './tfjs_trainer.ts';
import type { TimingOptions } from './timing.ts';
import { timeInTurns } from './timing.ts';

export interface TrainingRatio {
  config: ModelConfig;
  lora: LoraConfig;
  seed: number;
  batchSize: number;
  seqLen: number;
}

/** Relative. Both compute in f32, in another order. */
const tolerance = 1e-4;
/** Small, so that the two runs stay close however often each steps. */
const learningRate = 1e-5;

/** Tokens per second of both, and their ratio. LoRA without dropout, f32. */
export async function benchTrainingRatio(
  device: GPUDevice,
  bench: TrainingRatio,
  timing: TimingOptions,
  report: Report,
): Promise<void> {
  const { config, seed, batchSize, seqLen } = bench;
  const lora = { ...bench.lora, dropout: 0 };
  const model = randomModel(config, seed);
  const tokens = randomTokens(seed, batchSize, seqLen, config.vocabSize);
  const batch = supervised(tokens);
  const engine = await createEngine({ device, model, lora, seed });
  try {
    await withTfjs(device, async ({ tf, version }) => {
      const adapter = await engine.parametersByName();
      const theirs = await tfjsTrainer(tf, { model, lora, adapter, batch: tokens, learningRate });
      const ourStep = async () => {
        const { metrics } = await engine.trainStep(batch, { kind: 'sft' }, { learningRate });
        return metrics.loss!;
      };
      const agree = (step: number, ours: number, other: number): void => {
        if (!(Math.abs(ours - other) <= tolerance * Math.abs(ours)))
          throw new DeviceError(
            `Step ${step} of the demo model: the loss is ${ours} with the engine and ${other} with TensorFlow.js.`,
            'One of them computes wrongly on this device: run `npm run test:golden` to see whether it is the engine.',
          );
      };
      try {
        // The second loss also judges the first step's gradients and updates.
        for (let step = 1; step <= 2; step++) agree(step, await ourStep(), await theirs.step());
        const repeated = (step: () => Promise<number>) => ({
          run: async (times: number) => {
            for (let i = 0; i < times; i++)
              if (!Number.isFinite(await step())) throw new DeviceError('A loss is not finite.');
          },
        });
        const subjects = [repeated(ourStep), repeated(() => theirs.step())];
        const [mine, other] = await timeInTurns(subjects, timing);
        const shape = { batch_size: batchSize, seq_len: seqLen, lora_r: lora.r };
        const facts = {
          model: 'demo',
          precision: 'f32',
          lora_target_modules: lora.targetModules.join(','),
          tfjs_version: version,
        };
        const rate = (s: number) => (batchSize * seqLen) / s;
        report.measured('train_step', shape, 'tokens/s', mine!.map(rate), facts);
        report.measured('train_step_tfjs', shape, 'tokens/s', other!.map(rate), facts);
        report.measured(
          'train_step_ratio',
          shape,
          'ours/tfjs',
          mine!.map((s, i) => other![i]! / s),
          facts,
        );
      } finally {
        theirs.dispose();
      }
    });
  } finally {
    engine.destroy();
  }
}
