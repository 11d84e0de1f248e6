/** @file The float64 reference's backward pass against finite differences: every weight of random models of every family. */
import { describe, expect, test } from 'vitest';
import { policyObjective } from '../../src/core/loss/loss_types.ts';
import type { Objective } from '../../src/core/policy.ts';
import { Rng } from '../../src/core/random.ts';
import { parameterShapes } from '../../src/gpu/formats/open_model.ts';
import { linearModules } from '../../src/gpu/model/config.ts';
import { scoreTokens } from '../../src/gpu/reference/logprobs.ts';
import { forward } from '../../src/gpu/reference/model.ts';
import type { ReferenceModel } from '../../src/gpu/reference/parameters.ts';
import { loadReference, withAdapter } from '../../src/gpu/reference/parameters.ts';
import { lossAndGradients } from '../../src/gpu/reference/training.ts';
import { families, randomAdapter, randomBatch, randomConfig, randomSource } from '../support/odd_models.ts';

/** Each with its own random model. */
const objectives: [string, number, Objective][] = [
  ['sft', 1, { kind: 'sft' }],
  ['grpo with KL, temperature 0.7', 2, policyObjective('grpo', { beta: 0.1, temperature: 0.7 })],
  ['gspo', 3, policyObjective('gspo', { eLow: 0.2, eHigh: 0.2 })],
];

/** Random directions: `∂loss/∂h` along each must equal the gradient's projection on it. Covers every entry of a tensor. */
function expectSlopes(
  model: ReferenceModel,
  loss: () => number,
  gradients: ReadonlyMap<string, Float64Array>,
): void {
  expect([...gradients.keys()].sort()).toEqual([...model.trainable].sort());
  for (const [name, gradient] of gradients) {
    const values = model.weights.get(name)!;
    const rng = new Rng(5).fork(name);
    const direction = values.map(() => rng.next() - 0.5);
    const kept = values.slice();
    const at = (h: number): number => {
      for (let i = 0; i < values.length; i++) values[i] = kept[i]! + h * direction[i]!;
      const value = loss();
      values.set(kept);
      return value;
    };
    const h = 1e-5;
    // Central differences, extrapolated to fourth order.
    const slope = (8 * (at(h) - at(-h)) - (at(2 * h) - at(-2 * h))) / (12 * h);
    const projected = gradient.reduce((a, g, i) => a + g * direction[i]!, 0);
    expect(Math.abs(slope - projected), name).toBeLessThan(1e-7 * Math.max(1, Math.abs(slope)));
  }
}

describe.each(families)('%s', (family) => {
  test.each(objectives)('%s: LoRA on all modules, and every weight', async (_, seed, objective) => {
    const config = { ...randomConfig(family, seed), vocabSize: 13, numLayers: 2, intermediateSize: 9 };
    const base = await loadReference(randomSource(config, seed), parameterShapes(config).keys());
    const adapted = withAdapter(base, randomAdapter(config, seed, linearModules, 2));
    for (const model of [base, adapted]) {
      const lengths = [5, 3, 2];
      const tokens = randomBatch(config, seed, lengths).map((s) => s.tokens);
      const current = tokens.map(
        (t) => scoreTokens(forward(model, t).logits, t, temperatureOf(objective)).logprobs,
      );
      const batch = randomBatch(config, seed, lengths, current);
      lossAndGradients(model, batch, objective);
      const gradients = model.gradients;
      expectSlopes(model, () => lossAndGradients(model, batch, objective).value, gradients);
    }
  });

  test('dropout on the LoRA input: the mask scales the branch and its gradient', async () => {
    const config = { ...randomConfig(family, 3), vocabSize: 13, numLayers: 1 };
    const base = await loadReference(randomSource(config, 3), parameterShapes(config).keys());
    const model = withAdapter(base, randomAdapter(config, 3, linearModules, 2));
    const batch = randomBatch(config, 3, [5, 3, 2]);
    const rng = new Rng(9);
    const mask = (sequence: number) => (layer: string, t: number, i: number) =>
      rng.fork(layer, sequence, t, i).chance(0.7) ? 1 / 0.7 : 0;
    const loss = (): number => lossAndGradients(model, batch, { kind: 'sft' }, mask).value;
    expect(loss()).not.toBeCloseTo(lossAndGradients(model, batch, { kind: 'sft' }).value, 6);
    loss();
    expectSlopes(model, loss, model.gradients);
  });
});

const temperatureOf = (objective: Objective): number =>
  objective.kind === 'policy' ? objective.temperature : 1;

test('a LoRA with B = 0 leaves the logits unchanged', async () => {
  const config = randomConfig('qwen3', 4);
  const base = await loadReference(randomSource(config, 4), parameterShapes(config).keys());
  const adapter = randomAdapter(config, 4, linearModules);
  for (const [key, tensor] of adapter.tensors) if (key.endsWith('lora_B')) tensor.data.fill(0);
  const tokens = [1, 5, 2, 7];
  expect(forward(withAdapter(base, adapter), tokens).logits.data).toEqual(forward(base, tokens).logits.data);
});
