/**
 * @file The engine against the float64 reference on random small models of odd shapes, in every family: logits, log-probs,
 * gradients of SFT and policy losses, AdamW steps. It needs nothing but this repository.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { requestDawnDevice } from '../../server/dawn.ts';
import { policyObjective } from '../../src/core/loss/loss_types.ts';
import type { Objective, OptimizerOptions, TrainSequence } from '../../src/core/policy.ts';
import type { Engine } from '../../src/gpu/engine.ts';
import { createEngine } from '../../src/gpu/engine.ts';
import { parameterShapes } from '../../src/gpu/formats/open_model.ts';
import { hash32 } from '../../src/core/random.ts';
import { linearModules, linearName } from '../../src/gpu/model/config.ts';
import { beamSearch, greedy } from '../../src/gpu/reference/generate.ts';
import { scoreTokens } from '../../src/gpu/reference/logprobs.ts';
import { forward } from '../../src/gpu/reference/model.ts';
import type { ReferenceModel } from '../../src/gpu/reference/parameters.ts';
import { loadReference, withAdapter, withoutAdapter } from '../../src/gpu/reference/parameters.ts';
import { lossAndGradients, ReferenceOptimizer } from '../../src/gpu/reference/training.ts';
import { absoluteError, relativeNormError } from '../support/errors.ts';
import type { Family } from '../support/odd_models.ts';
import { randomAdapter, randomBatch, randomConfig, randomSource } from '../support/odd_models.ts';

let device: GPUDevice;
beforeAll(async () => {
  device = await requestDawnDevice();
});
afterAll(() => device.destroy());

const lengths = [13, 6, 5, 71, 2, 9];
const temperature = 0.9;

/** Clip ranges wide enough that no ratio of the batch lies within f32 noise of a bound for every seed below. */
const objectives: [string, Objective][] = [
  ['sft', { kind: 'sft' }],
  ['dft', { kind: 'sft', loss: 'dft' }],
  ['grpo with k3', policyObjective('grpo', { beta: 0.1, temperature })],
  ['dapo, bias-corrected', policyObjective('dapo', { beta: 0.2, klImportance: true, temperature })],
  ['gspo', policyObjective('gspo', { eLow: 0.1, eHigh: 0.1, temperature })],
  ['rank_grpo', policyObjective('rank_grpo', { beta: 0.05, klEstimator: 'k2', temperature })],
  ['vespo', policyObjective('vespo', { temperature })],
  ['cispo, high entropy only', policyObjective('cispo', { entropyTopShare: 0.4, temperature })],
];

interface Subject {
  engine: Engine;
  reference: ReferenceModel;
  batch: TrainSequence[];
}

/** One random model behind both; the engine is made to split the batch. */
async function subject(family: Family, seed: number, trained: 'lora' | 'full'): Promise<Subject> {
  const config = randomConfig(family, seed);
  const model = randomSource(config, seed);
  const base = await loadReference(model, parameterShapes(config).keys());
  const adapter = randomAdapter(config, seed, linearModules);
  const reference = trained === 'lora' ? withAdapter(base, adapter) : base;
  const current = randomBatch(config, seed, lengths).map(
    ({ tokens }) => scoreTokens(forward(reference, tokens).logits, tokens, temperature).logprobs,
  );
  const engine = await createEngine({
    device,
    model,
    tokensPerMicroBatch: 80,
    // A chunk of logits holds fewer rows than a micro-batch judges.
    logitsBytes: config.vocabSize * 4 * 8,
    checkpointing: seed % 2 === 0,
    ...(trained === 'lora' ? { adapter } : {}),
  });
  return { engine, reference, batch: randomBatch(config, seed, lengths, current) };
}

/** The reference's name of a parameter: PEFT's without the adapter's name. */
const referenceName = (name: string): string => name.replace(/\.(lora_[AB])\.default\.weight$/, '.$1');

function expectTensors(
  actual: ReadonlyMap<string, Float32Array>,
  expected: ReadonlyMap<string, Float64Array>,
  tolerance: number,
): void {
  const found = new Map([...actual].map(([name, data]) => [referenceName(name), data]));
  expect([...found.keys()].sort()).toEqual([...expected.keys()].sort());
  for (const [name, values] of expected)
    expect(relativeNormError(found.get(name)!, values), name).toBeLessThan(tolerance);
}

/** Compiling kernels is what takes time on a software device: one model a family and kind of training. */
const cases = [
  ['llama', 'lora', 1],
  ['qwen2', 'lora', 2],
  ['qwen3', 'lora', 1],
  ['llama', 'full', 4],
  ['qwen2', 'full', 3],
  ['qwen3', 'full', 6],
] as const;

describe.each(cases)('%s, %s, seed %i', (family, trained, seed) => {
  let s: Subject;
  beforeAll(async () => {
    s = await subject(family, seed, trained);
  });
  afterAll(() => s.engine.destroy());

  test('logits and log-probs', async () => {
    const sequences = s.batch.map(({ tokens }) => tokens);
    const logits = await s.engine.logits(sequences);
    const logprobs = await s.engine.logprobs(sequences, { temperature });
    for (const [i, tokens] of sequences.entries()) {
      const expected = forward(s.reference, tokens).logits;
      expect(absoluteError(logits[i]!, expected.data)).toBeLessThan(2e-4);
      const scores = scoreTokens(expected, tokens, temperature);
      expect(absoluteError(logprobs[i]!, scores.logprobs)).toBeLessThan(2e-4);
    }
  });

  test('log-probs of the bare base as the reference', async () => {
    await s.engine.setReference('base');
    const sequences = s.batch.map(({ tokens }) => tokens);
    const logprobs = await s.engine.logprobs(sequences, { reference: true });
    const bare = withoutAdapter(s.reference);
    for (const [i, tokens] of sequences.entries()) {
      const scores = scoreTokens(forward(bare, tokens).logits, tokens);
      expect(absoluteError(logprobs[i]!, scores.logprobs)).toBeLessThan(2e-4);
    }
  });

  // The generator's own tests do this for every family.
  test.runIf(family === 'qwen3' && trained === 'lora')('greedy and beams', async () => {
    const limits = { maxNewTokens: 7, stopTokens: [3, 4] };
    const prompts = s.batch.slice(0, 3).map(({ tokens }) => [...tokens]);
    const requests = prompts.map((prompt, i) => ({ prompt, seed: i }));
    const written = await s.engine.generate(requests, { ...limits, temperature: 0 });
    const beams = await s.engine.generate(requests, { ...limits, numBeams: 3 });
    prompts.forEach((prompt, i) => {
      expect(written[i]!.tokens).toEqual(greedy(s.reference, prompt, limits));
      const expected = beamSearch(s.reference, prompt, 3, limits);
      expect(beams[i]!.beams!.map((b) => b.tokens)).toEqual(expected.map((b) => b.tokens));
      expect(
        absoluteError(
          beams[i]!.beams!.map((b) => b.score),
          expected.map((b) => b.score),
        ),
      ).toBeLessThan(2e-4);
    });
  });

  // What a loss does ends at the log-probs: one of each kind is enough for the path to all weights.
  const some = objectives.filter(([name]) => trained === 'lora' || name === 'sft' || name === 'grpo with k3');
  test.each(some)('gradients: %s', async (_, objective) => {
    const { value } = lossAndGradients(s.reference, s.batch, objective);
    const { loss, gradients } = await s.engine.gradients(s.batch, objective);
    expect(Math.abs(loss - value)).toBeLessThan(2e-5 * Math.max(1, Math.abs(value)));
    expectTensors(gradients, s.reference.gradients, 2e-4);
  });

  test('AdamW steps with clipping and decay', async () => {
    const reference = { ...s.reference, weights: new Map(s.reference.weights) };
    for (const name of reference.trainable) reference.weights.set(name, reference.weights.get(name)!.slice());
    const optimizer = new ReferenceOptimizer(reference);
    // A larger eps keeps rounding noise of vanishing gradients from becoming whole steps.
    const options: OptimizerOptions = { learningRate: 3e-3, weightDecay: 0.1, maxGradNorm: 0.5, eps: 1e-4 };
    const objective = policyObjective('dapo', { eLow: 0.9, eHigh: 9, beta: 0.1, temperature });
    for (let step = 0; step < 3; step++) {
      const expected = lossAndGradients(reference, s.batch, objective);
      const norm = optimizer.step(options);
      const { metrics, tokens } = await s.engine.trainStep(s.batch, objective, options);
      expect(Math.abs(metrics['loss']! - expected.value)).toBeLessThan(
        2e-5 * Math.max(1, Math.abs(expected.value)),
      );
      expect(Math.abs(metrics['grad_norm']! / norm - 1)).toBeLessThan(2e-4);
      s.batch.forEach(({ lossMask }, i) => {
        const inLoss = (values: ArrayLike<number>): number[] =>
          Array.from(values).filter((_, t) => t > 0 && lossMask[t] === 1);
        const { losses, ratios, kls } = expected.outputs!;
        expect(absoluteError(inLoss(tokens[i]!.losses!), inLoss(losses[i]!))).toBeLessThan(1e-3);
        expect(absoluteError(inLoss(tokens[i]!.ratios!), inLoss(ratios[i]!))).toBeLessThan(1e-3);
        expect(absoluteError(inLoss(tokens[i]!.kls!), inLoss(kls[i]!))).toBeLessThan(1e-3);
      });
    }
    const trainedNow = new Map([...reference.trainable].map((name) => [name, reference.weights.get(name)!]));
    expectTensors(await s.engine.parametersByName(), trainedNow, 2e-4);
  });
});

test('dropout: gradients are those of the documented mask, in the first step and in the next', async () => {
  const seed = 5;
  const probability = 0.3;
  const config = { ...randomConfig('llama', seed), numLayers: 2 };
  const model = randomSource(config, seed);
  const plain = randomAdapter(config, seed, linearModules);
  const adapter = { ...plain, config: { ...plain.config, dropout: probability } };
  const base = await loadReference(model, parameterShapes(config).keys());
  const reference = withAdapter(base, adapter);
  const keys = new Map<string, number>();
  for (let layer = 0; layer < config.numLayers; layer++)
    linearModules.forEach((module, index) =>
      keys.set(linearName(layer, module).replace('.weight', ''), layer * linearModules.length + index),
    );
  const kept = (step: number) => (sequence: number) => (layer: string, t: number, i: number) =>
    hash32(77, step, keys.get(layer)!, sequence, t, i) >= Math.round(probability * 2 ** 32)
      ? 1 / (1 - probability)
      : 0;
  const engine = await createEngine({ device, model, adapter, seed: 77, tokensPerMicroBatch: 80 });
  const batch = randomBatch(config, seed, lengths);
  const objective: Objective = { kind: 'sft' };
  for (let step = 0; step < 2; step++) {
    const { value } = lossAndGradients(reference, batch, objective, kept(step));
    const { loss, gradients } = await engine.gradients(batch, objective);
    expect(Math.abs(loss - value)).toBeLessThan(2e-5 * value);
    expectTensors(gradients, reference.gradients, 2e-4);
    await engine.trainStep(batch, objective, { learningRate: 0 });
  }
  // Scoring and generation never drop anything.
  const [tokens] = batch.map((s) => s.tokens);
  const [logits] = await engine.logits([tokens!]);
  expect(absoluteError(logits!, forward(reference, tokens!).logits.data)).toBeLessThan(2e-4);
  engine.destroy();
});
