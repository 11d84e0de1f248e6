/** @file The float64 reference against Hugging Face's numbers in `../shared/golden` (skipped where the folder is absent). */
import { basename } from 'node:path';
import { beforeAll, describe, expect, it, test } from 'vitest';
import { maskedMean } from '../../src/core/loss/metrics.ts';
import { parameterShapes } from '../../src/gpu/formats/open_model.ts';
import { beamSearch, greedy } from '../../src/gpu/reference/generate.ts';
import { scoreTokens } from '../../src/gpu/reference/logprobs.ts';
import { forward } from '../../src/gpu/reference/model.ts';
import type { ReferenceModel } from '../../src/gpu/reference/parameters.ts';
import { loadReference, withAdapter, withoutAdapter } from '../../src/gpu/reference/parameters.ts';
import { lossAndGradients, ReferenceOptimizer } from '../../src/gpu/reference/training.ts';
import {
  goldenOptimizer,
  goldenParameters,
  goldenPolicyBatch,
  goldenPolicyObjective,
  goldenSequences,
  goldenSftBatch,
  goldenSftObjective,
} from '../golden/golden_batches.ts';
import type { GoldenModel } from '../golden/golden_model.ts';
import { goldenFolders, goldenRows, openGoldenModel, untilStop } from '../golden/golden_model.ts';
import { absoluteError, relativeNormError } from '../support/errors.ts';

const folders = goldenFolders();
if (folders.length === 0)
  it.skip('reference against golden values: ../shared/golden is not here', () => undefined);

describe.each(folders.map((path) => [basename(path), path] as const))('%s', (_, path) => {
  let golden: GoldenModel;
  let base: ReferenceModel;
  beforeAll(async () => {
    golden = await openGoldenModel(path);
    base = await loadReference(golden.source, parameterShapes(golden.source.config).keys());
  });
  const adapted = (name: 'qv' | 'all'): ReferenceModel => withAdapter(base, golden.adapters[name]);

  /** Gradients by name against golden ones: nothing missing, nothing more. */
  function expectGradients(model: ReferenceModel, prefix: string): void {
    const expected = goldenParameters(golden, prefix);
    expect([...model.gradients.keys()].sort()).toEqual([...expected.keys()].sort());
    for (const [name, g] of expected)
      expect(relativeNormError(model.gradients.get(name)!, g), name).toBeLessThan(1e-5);
  }

  test.each(['base', 'qv', 'all'] as const)('logits: %s', (name) => {
    const model = name === 'base' ? withoutAdapter(base) : adapted(name);
    const rows = goldenRows(golden, `${name}.logits`);
    goldenSequences(golden).forEach((tokens, b) => {
      const { logits } = forward(model, tokens);
      expect(absoluteError(logits.data, rows[b]!.slice(0, logits.data.length))).toBeLessThan(2e-5);
    });
  });

  test.each(['qv', 'all'] as const)('SFT with LoRA %s: loss, gradients, five AdamW steps', (name) => {
    const model = adapted(name);
    const optimizer = new ReferenceOptimizer(model);
    const { loss, grad_norm: norms } = golden.json[`${name}.sft`];
    loss.forEach((expected, step) => {
      const { value } = lossAndGradients(model, goldenSftBatch(golden, name), goldenSftObjective);
      expect(Math.abs(value / expected - 1)).toBeLessThan(1e-6);
      if (step === 0) expectGradients(model, `${name}.grad.`);
      const norm = optimizer.step(goldenOptimizer(golden.json, name));
      expect(Math.abs(norm / norms[step]! - 1)).toBeLessThan(1e-5);
    });
    for (const [key, after] of goldenParameters(golden, `${name}.after5.`))
      expect(relativeNormError(model.weights.get(key)!, after), key).toBeLessThan(1e-5);
  });

  test('full parameters: loss and gradients', () => {
    const { value } = lossAndGradients(base, goldenSftBatch(golden, 'qv'), goldenSftObjective);
    expect(Math.abs(value / golden.json.full.loss - 1)).toBeLessThan(1e-6);
    expectGradients(base, 'full.grad.');
  });

  test('policy losses: log-probs, values, metrics, gradients', () => {
    const batch = goldenPolicyBatch(golden);
    const model = adapted('qv');
    const reference = withoutAdapter(model);
    const logprobs = goldenRows(golden, 'grpo.logprobs');
    batch.forEach(({ tokens, refLogprobs, lossMask }, b) => {
      const at = (values: ArrayLike<number>): number[] =>
        Array.from(values).filter((_, t) => lossMask[t] === 1);
      const scored = scoreTokens(forward(model, tokens).logits, tokens).logprobs;
      expect(absoluteError(at(scored), at([0, ...logprobs[b]!].slice(0, tokens.length)))).toBeLessThan(2e-5);
      const ref = scoreTokens(forward(reference, tokens).logits, tokens).logprobs;
      expect(absoluteError(at(ref), at(refLogprobs!))).toBeLessThan(2e-5);
    });
    for (const [variant, expected] of Object.entries(golden.json.grpo)) {
      const { value, scores, outputs } = lossAndGradients(model, batch, goldenPolicyObjective(expected));
      expect(Math.abs(value - expected.loss)).toBeLessThan(1e-5 * Math.max(1, Math.abs(expected.loss)));
      const records = batch.map((s) => ({ mask: s.lossMask }));
      const mean = (of: (i: number, t: number) => number): number => maskedMean(records, of);
      expect(mean((i, t) => outputs!.kls[i]![t]!)).toBeCloseTo(expected.kl_k3, 5);
      expect(mean((i, t) => scores[i]!.entropies[t]!)).toBeCloseTo(expected.entropy, 5);
      expect(mean((i, t) => Number(outputs!.clipped[i]![t] === -1))).toBeCloseTo(expected.clip_low, 9);
      expect(mean((i, t) => Number(outputs!.clipped[i]![t] === 1))).toBeCloseTo(expected.clip_high, 9);
      if ([...golden.tensors.keys()].some((k) => k.startsWith(`grpo.${variant}.grad.`)))
        expectGradients(model, `grpo.${variant}.grad.`);
    }
  });

  test('greedy and five beams', () => {
    const { prompt, greedy: expected, greedy_min24: full, beam5 } = golden.json.generate;
    const stopTokens = golden.stopTokens;
    const model = withoutAdapter(base);
    expect(greedy(model, prompt, { maxNewTokens: 24, stopTokens })).toEqual(expected);
    expect(greedy(model, prompt, { maxNewTokens: 24, minNewTokens: 24, stopTokens })).toEqual(full);
    const beams = beamSearch(model, prompt, 5, { maxNewTokens: 24, stopTokens });
    expect(beams.map((b) => b.tokens)).toEqual(beam5.map((b) => untilStop(b, stopTokens)));
  });
});
