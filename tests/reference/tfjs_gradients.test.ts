/** @file TensorFlow.js as an independent oracle of gradients: the same random models in its operations, its autograd. */
import * as tf from '@tensorflow/tfjs';
import { beforeAll, describe, expect, test } from 'vitest';
import { policyObjective } from '../../src/core/loss/loss_types.ts';
import type { TrainSequence } from '../../src/core/policy.ts';
import { parameterShapes } from '../../src/gpu/formats/open_model.ts';
import { adapterShapes } from '../../src/gpu/formats/peft.ts';
import { linearModules } from '../../src/gpu/model/config.ts';
import { scoreTokens } from '../../src/gpu/reference/logprobs.ts';
import { forward } from '../../src/gpu/reference/model.ts';
import { loadReference, withAdapter } from '../../src/gpu/reference/parameters.ts';
import { lossAndGradients } from '../../src/gpu/reference/training.ts';
import { relativeNormError } from '../support/errors.ts';
import { families, randomAdapter, randomBatch, randomConfig, randomSource } from '../support/odd_models.ts';
import type { TfWeights } from '../support/tfjs_transformer.ts';
import { tfGradients, tfLogits, tfLogprobs } from '../support/tfjs_transformer.ts';

beforeAll(async () => {
  await tf.setBackend('cpu');
});

/** A per-token array of a sequence without its first entry. [T − 1] */
const tail = (values: ArrayLike<number>): tf.Tensor1D => tf.tensor1d(Array.from(values).slice(1));

/** Places outside the mask hold ±1e4, which float32 exponentials would turn into NaN: fill them with 0 for the oracle. */
const masked = (values: ArrayLike<number>, mask: ArrayLike<number>): tf.Tensor1D =>
  tail(Array.from(values, (x, t) => (mask[t] === 1 ? x : 0)));

/** Cross-entropy of the batch per supervised token. */
function sftOracle(batch: readonly TrainSequence[], logprobs: readonly tf.Tensor1D[]): tf.Scalar {
  const tokens = batch.reduce((n, s) => n + Array.from(s.lossMask).filter((m) => m === 1).length, 0);
  return tf.addN(batch.map((s, b) => logprobs[b]!.mul(tail(s.lossMask)).sum())).div(-tokens);
}

/** Clipped surrogate with k3, mean over tokens of the batch: written from the formula. */
function policyOracle(
  batch: readonly TrainSequence[],
  logprobs: readonly tf.Tensor1D[],
  beta: number,
): tf.Scalar {
  const tokens = batch.reduce((n, s) => n + Array.from(s.lossMask).filter((m) => m === 1).length, 0);
  const sums = batch.map((s, b) => {
    const mask = tail(s.lossMask);
    const lp = logprobs[b]!.mul(mask);
    const ratio = lp.sub(masked(s.oldLogprobs!, s.lossMask)).exp();
    const surrogate = tf.minimum(ratio.mul(s.advantage!), ratio.clipByValue(0.8, 1.28).mul(s.advantage!));
    const gap = masked(s.refLogprobs!, s.lossMask).sub(lp);
    const kl = gap.exp().sub(gap).sub(1);
    return kl.mul(beta).sub(surrogate).mul(mask).sum();
  });
  return tf.addN(sums).div(tokens);
}

describe.each(families)('%s', (family) => {
  test.each(['lora', 'full'] as const)(
    '%s: SFT and GRPO gradients of the float64 reference',
    async (trained) => {
      const seed = 21;
      const config = { ...randomConfig(family, seed), vocabSize: 31 };
      const base = await loadReference(randomSource(config, seed), parameterShapes(config).keys());
      const adapter = randomAdapter(config, seed, linearModules);
      const model = trained === 'lora' ? withAdapter(base, adapter) : base;
      const shapes = new Map<string, readonly number[]>([
        ...parameterShapes(config),
        ...adapterShapes(config, adapter.config),
      ]);
      const lengths = [9, 4, 6];
      const temperature = 0.8;
      const current = randomBatch(config, seed, lengths).map(
        ({ tokens }) => scoreTokens(forward(model, tokens).logits, tokens, temperature).logprobs,
      );
      const batch = randomBatch(config, seed, lengths, current);

      const compare = (
        reference: number,
        oracle: (logprobs: tf.Tensor1D[]) => tf.Scalar,
        t: number,
      ): void => {
        const { value, gradients } = tfGradients(
          model.weights,
          shapes,
          [...model.trainable],
          (weights: TfWeights) =>
            oracle(
              batch.map(({ tokens }) => tfLogprobs(tfLogits(config, weights, model.lora, tokens), tokens, t)),
            ),
        );
        expect(Math.abs(value - reference)).toBeLessThan(1e-5 * Math.max(1, Math.abs(reference)));
        expect([...gradients.keys()].sort()).toEqual([...model.gradients.keys()].sort());
        for (const [name, g] of model.gradients)
          expect(relativeNormError(gradients.get(name)!, g), name).toBeLessThan(1e-4);
      };
      const sft = lossAndGradients(model, batch, { kind: 'sft' });
      compare(sft.value, (logprobs) => sftOracle(batch, logprobs), 1);
      const objective = policyObjective('dapo', { beta: 0.05, temperature });
      const policy = lossAndGradients(model, batch, objective);
      compare(policy.value, (logprobs) => policyOracle(batch, logprobs, 0.05), temperature);
    },
  );
});
