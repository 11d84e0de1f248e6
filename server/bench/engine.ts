/** @file Tokens per second of training and of rollouts, and the most bytes they took, with random weights. */
import { DeviceError } from '../../src/core/errors.ts';
import type { TrainSequence } from '../../src/core/policy.ts';
import { Rng } from '../../src/core/random.ts';
import { createEngine, type Engine } from '../../src/gpu/engine.ts';
import { kvEntryBytes } from '../../src/gpu/generate/kv_pool.ts';
import type { LoraConfig, ModelConfig } from '../../src/gpu/model/config.ts';
import { noiseModel } from './noise.ts';
import type { Report } from './report.ts';
import { median } from './report.ts';
import type { TimingOptions } from './timing.ts';
import { time } from './timing.ts';

/** What is run. */
export interface EngineBench {
  config: ModelConfig;
  precision: 'f32' | 'f16';
  lora: LoraConfig;
  checkpointing: boolean;
  seed: number;
  /** Sequences of a training step, and their length. */
  batchSize: number;
  seqLen: number;
  /** Rollouts decoded at once, each from a prompt of its own. */
  rollouts: number;
  promptLen: number;
  newTokens: number;
}

/** Sequences of random tokens. [count][length] */
export function randomTokens(seed: number, count: number, length: number, vocabSize: number): number[][] {
  const rng = new Rng(seed);
  return Array.from({ length: count }, () => Array.from({ length }, () => rng.int(vocabSize)));
}

/** Sequences whose every token but the first is a target. */
export const supervised = (sequences: readonly (readonly number[])[]): TrainSequence[] =>
  sequences.map((tokens) => ({ tokens, lossMask: new Uint8Array(tokens.length).fill(1) }));

/** Load the model and measure what is wanted: `sft`, `rollout`. Peak bytes are reported after each. */
export async function benchEngine(
  device: GPUDevice,
  bench: EngineBench,
  timing: TimingOptions,
  report: Report,
  wanted: { sft: boolean; rollout: boolean },
): Promise<void> {
  const { config, rollouts, promptLen, newTokens } = bench;
  const start = performance.now();
  const engine = await createEngine({
    device,
    model: noiseModel(config, bench.seed),
    lora: bench.lora,
    precision: bench.precision,
    checkpointing: bench.checkpointing,
    seed: bench.seed,
    // Room for all rollouts at once, each with a prompt of its own.
    generation: {
      kvCacheBytes: kvEntryBytes(config) * (rollouts + 1) * (promptLen + newTokens),
      maxRows: rollouts,
    },
  });
  try {
    await device.queue.onSubmittedWorkDone();
    const loaded = (performance.now() - start) / 1000;
    const peak = (after: string, more = {}) =>
      report.measured('peak_bytes', { after }, 'bytes', [engine.peakBytes], more);
    peak('load', { seconds: loaded });
    if (wanted.sft) {
      await benchSft(engine, bench, timing, report);
      peak('sft');
    }
    if (wanted.rollout) {
      await benchRollout(engine, bench, timing, report);
      peak('rollout');
    }
  } finally {
    engine.destroy();
  }
}

async function benchSft(
  engine: Engine,
  bench: EngineBench,
  timing: TimingOptions,
  report: Report,
): Promise<void> {
  const { batchSize, seqLen, lora, seed, config } = bench;
  const batch = supervised(randomTokens(seed, batchSize, seqLen, config.vocabSize));
  const losses: number[] = [];
  const subject = {
    run: async (times: number) => {
      for (let i = 0; i < times; i++) {
        const { metrics } = await engine.trainStep(
          batch,
          { kind: 'sft' },
          { learningRate: 1e-4, maxGradNorm: 1 },
        );
        losses.push(metrics.loss!);
      }
    },
  };
  const steps = await time(subject, timing);
  if (!losses.every(Number.isFinite))
    throw new DeviceError('The loss of a training step is not finite.', 'Try --precision f32.');
  const tokens = batchSize * seqLen;
  const shape = {
    batch_size: batchSize,
    seq_len: seqLen,
    lora_r: lora.r,
    lora_target_modules: lora.targetModules.join(','),
    lora_dropout: lora.dropout,
    checkpointing: bench.checkpointing ? 1 : 0,
  };
  report.measured(
    'sft',
    shape,
    'tokens/s',
    steps.map((s) => tokens / s),
    {
      seconds_per_step: median(steps),
      steps: losses.length,
      loss: { first: losses[0], last: losses.at(-1) },
    },
  );
}

async function benchRollout(
  engine: Engine,
  bench: EngineBench,
  timing: TimingOptions,
  report: Report,
): Promise<void> {
  const { rollouts, promptLen, newTokens, seed, config } = bench;
  const prompts = randomTokens(seed + 1, rollouts, promptLen, config.vocabSize);
  const requests = prompts.map((prompt, i) => ({ prompt, seed: seed + i }));
  // Split at the moment when the last request has its first token: prompts before, decoding after.
  const splits: { prefill: number; decode: number }[] = [];
  const subject = {
    run: async () => {
      const start = performance.now();
      const waiting = new Set(requests.keys());
      let prompted = start;
      const completions = await engine.generate(requests, {
        maxNewTokens: newTokens,
        stopTokens: [],
        temperature: 1,
        onTokens: (index) => {
          if (waiting.delete(index) && waiting.size === 0) prompted = performance.now();
        },
      });
      splits.push({ prefill: (prompted - start) / 1000, decode: (performance.now() - prompted) / 1000 });
      if (completions.some((c) => c.tokens.length !== newTokens || !c.logprobs.every(Number.isFinite)))
        throw new DeviceError(`A rollout did not write its ${newTokens} tokens.`, 'Try --precision f32.');
    },
  };
  // One call is a sample: it is long enough.
  const calls = await time(subject, { ...timing, sampleMs: 0 });
  const timed = splits.slice(-timing.repeats);
  const shape = { rollouts, prompt_len: promptLen, new_tokens: newTokens };
  report.measured(
    'rollout',
    shape,
    'tokens/s',
    calls.map((s) => (rollouts * newTokens) / s),
  );
  report.measured(
    'rollout_prefill',
    shape,
    'tokens/s',
    timed.map((s) => (rollouts * promptLen) / s.prefill),
  );
  report.measured(
    'rollout_decode',
    shape,
    'tokens/s',
    timed.map((s) => (rollouts * (newTokens - 1)) / s.decode),
  );
}
