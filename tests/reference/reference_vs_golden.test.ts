/** @file The float64 reference against Hugging Face's numbers in `../shared/golden` (skipped where the folder is absent). */
import { existsSync, readdirSync } from 'node:fs';
import { basename } from 'node:path';
import * as v from 'valibot';
import { beforeAll, describe, expect, it, test } from 'vitest';
import { folderFiles } from '../../server/files.ts';
import { maskedMean } from '../../src/core/loss/metrics.ts';
import { openModel, parameterShapes } from '../../src/gpu/formats/open_model.ts';
import type { Adapter } from '../../src/gpu/formats/peft.ts';
import { readJson } from '../../src/gpu/formats/text_files.ts';
import { beamSearch, greedy } from '../../src/gpu/reference/generate.ts';
import { scoreTokens } from '../../src/gpu/reference/logprobs.ts';
import { forward } from '../../src/gpu/reference/model.ts';
import type { ReferenceModel } from '../../src/gpu/reference/parameters.ts';
import { loadReference, withAdapter, withoutAdapter } from '../../src/gpu/reference/parameters.ts';
import { lossAndGradients, ReferenceOptimizer } from '../../src/gpu/reference/training.ts';
import { readAdapter } from '../golden/forward_checks.ts';
import type { GoldenBatch, GoldenModel } from '../golden/golden_model.ts';
import { openGolden, readBatch, readGroup, readRows } from '../golden/golden_model.ts';
import { grpoBatch, objectiveOf } from '../golden/grpo_checks.ts';
import { sftBatch, sftObjective } from '../golden/sft_checks.ts';
import { absoluteError, relativeNormError } from '../support/errors.ts';

const root = process.env.GOLDEN_DIR ?? new URL('../../../shared/golden', import.meta.url).pathname;
const folders = existsSync(root)
  ? readdirSync(root)
      .map((name) => `${root}/${name}`)
      .filter((path) => existsSync(`${path}/golden.json`))
  : [];
if (folders.length === 0)
  it.skip('reference against golden values: ../shared/golden is not here', () => undefined);

const ids = v.array(v.number());
const generationSchema = v.object({ prompt: ids, greedy: ids, greedy_min24: ids, beam5: v.array(ids) });
const stopSchema = v.object({ eos_token_id: v.union([v.number(), ids]) });

describe.each(folders.map((path) => [basename(path), path] as const))('%s', (name, path) => {
  let golden: GoldenModel;
  let batch: GoldenBatch;
  let base: ReferenceModel;
  let adapters: Record<'qv' | 'all', Adapter>;
  beforeAll(async () => {
    golden = await openGolden(folderFiles(path), name);
    batch = await readBatch(golden);
    const source = await openModel(golden.files);
    base = await loadReference(source, parameterShapes(source.config).keys());
    adapters = {
      qv: await readAdapter(golden, 'qv', source.config),
      all: await readAdapter(golden, 'all', source.config),
    };
  });
  const adapted = (section: 'qv' | 'all'): ReferenceModel => withAdapter(base, adapters[section]);

  /** Golden tensors by the reference's names: `….q_proj.lora_A.default.weight` is `….q_proj.lora_A`. */
  async function goldenTensors(prefix: string): Promise<Map<string, Float32Array>> {
    const group = await readGroup(golden, prefix);
    return new Map(
      [...group].map(([key, data]) => [key.replace(/\.(lora_[AB])\.default\.weight$/, '.$1'), data]),
    );
  }
  /** Gradients by name against golden ones: nothing missing, nothing more. */
  async function expectGradients(model: ReferenceModel, prefix: string): Promise<void> {
    const expected = await goldenTensors(prefix);
    expect([...model.gradients.keys()].sort()).toEqual([...expected.keys()].sort());
    for (const [key, g] of expected)
      expect(relativeNormError(model.gradients.get(key)!, g), key).toBeLessThan(1e-5);
  }

  test.each(['base', 'qv', 'all'] as const)('logits: %s', async (section) => {
    const model = section === 'base' ? withoutAdapter(base) : adapted(section);
    const expected = await golden.tensors.read(`${section}.logits`);
    batch.tokens.forEach((tokens, b) => {
      const { data, cols } = forward(model, tokens).logits;
      const start = b * batch.T * cols;
      expect(absoluteError(data, expected.subarray(start, start + data.length))).toBeLessThan(2e-5);
    });
  });

  test.each(['qv', 'all'] as const)(
    'SFT with LoRA %s: loss, gradients, five AdamW steps',
    async (section) => {
      const model = adapted(section);
      const optimizer = new ReferenceOptimizer(model);
      const sequences = await sftBatch(golden, section, batch);
      const { loss, grad_norm: norms, optimizer: settings } = golden.sft.get(section)!;
      for (const [step, expected] of loss.entries()) {
        const { value } = lossAndGradients(model, sequences, sftObjective);
        expect(Math.abs(value / expected - 1)).toBeLessThan(1e-6);
        if (step === 0) await expectGradients(model, `${section}.grad.`);
        const norm = optimizer.step({
          learningRate: settings.lr,
          betas: settings.betas,
          eps: settings.eps,
          weightDecay: settings.weight_decay,
          maxGradNorm: settings.max_grad_norm,
        });
        expect(Math.abs(norm / norms[step]! - 1)).toBeLessThan(1e-5);
      }
      for (const [key, after] of await goldenTensors(`${section}.after5.`))
        expect(relativeNormError(model.weights.get(key)!, after), key).toBeLessThan(1e-5);
    },
  );

  test('full parameters: loss and gradients', async () => {
    const { value } = lossAndGradients(base, await sftBatch(golden, 'qv', batch), sftObjective);
    expect(Math.abs(value / golden.json.full.loss - 1)).toBeLessThan(1e-6);
    await expectGradients(base, 'full.grad.');
  });

  test('policy losses: log-probs, values, metrics, gradients', async () => {
    const sequences = await grpoBatch(golden, batch);
    const model = adapted('qv');
    const expectedLogprobs = await readRows(golden, 'grpo.logprobs', batch, 1);
    sequences.forEach(({ tokens, refLogprobs, lossMask }, b) => {
      const masked = (values: ArrayLike<number>): number[] =>
        Array.from(values).filter((_, t) => lossMask[t] === 1);
      const scored = scoreTokens(forward(model, tokens).logits, tokens).logprobs;
      expect(absoluteError(masked(scored), masked(expectedLogprobs[b]!))).toBeLessThan(2e-5);
      const ref = scoreTokens(forward(withoutAdapter(model), tokens).logits, tokens).logprobs;
      expect(absoluteError(masked(ref), masked(refLogprobs!))).toBeLessThan(2e-5);
    });
    for (const [variant, expected] of Object.entries(golden.json.grpo)) {
      const { value, scores, outputs } = lossAndGradients(model, sequences, objectiveOf(expected));
      expect(Math.abs(value - expected.loss)).toBeLessThan(1e-5 * Math.max(1, Math.abs(expected.loss)));
      const records = sequences.map((s) => ({ mask: s.lossMask }));
      const mean = (of: (i: number, t: number) => number): number => maskedMean(records, of);
      expect(mean((i, t) => outputs!.kls[i]![t]!)).toBeCloseTo(expected.kl_k3, 5);
      expect(mean((i, t) => scores[i]!.entropies[t]!)).toBeCloseTo(expected.entropy, 5);
      expect(mean((i, t) => Number(outputs!.clipped[i]![t] === -1))).toBeCloseTo(expected.clip_low, 9);
      expect(mean((i, t) => Number(outputs!.clipped[i]![t] === 1))).toBeCloseTo(expected.clip_high, 9);
      const prefix = `grpo.${variant}.grad.`;
      if ([...golden.tensors.tensors.keys()].some((key) => key.startsWith(prefix)))
        await expectGradients(model, prefix);
    }
  });

  test('greedy and five beams', async () => {
    const { eos_token_id: eos } = v.parse(stopSchema, await readJson(golden.files, 'generation_config.json'));
    const stopTokens = [eos].flat();
    const expected = v.parse(generationSchema, golden.json.generate);
    // Hugging Face pads behind the stop token.
    const untilStop = (row: number[]): number[] => {
      const stop = row.findIndex((token) => stopTokens.includes(token));
      return row.slice(0, stop < 0 ? undefined : stop + 1);
    };
    const model = withoutAdapter(base);
    const { prompt } = expected;
    const limits = { maxNewTokens: 24, stopTokens };
    expect(greedy(model, prompt, limits)).toEqual(untilStop(expected.greedy));
    expect(greedy(model, prompt, { ...limits, minNewTokens: 24 })).toEqual(expected.greedy_min24);
    expect(beamSearch(model, prompt, 5, limits).map((b) => b.tokens)).toEqual(expected.beam5.map(untilStop));
  });
});
