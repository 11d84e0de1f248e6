/** @file The policy loss kernel against float64: golden cases, random batches of odd shapes, micro-batches, masked places. */
import { existsSync, readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { requestDawnDevice } from '../../../server/dawn.ts';
import { parseGrpoLosses } from '../../../tests/golden/grpo_losses_schema.ts';
import { lossCases } from '../../../tests/golden/policy_loss_cases.ts';
import { stepTotals } from '../../core/loss/aggregation.ts';
import { lossTypeNames, policyObjective } from '../../core/loss/loss_types.ts';
import { policyLoss } from '../../core/loss/policy_loss.ts';
import type { LossInputs, LossOutputs, PolicyObjective } from '../../core/loss/types.ts';
import { randomLossInputs } from '../../../tests/support/random_loss_inputs.ts';
import { GpuContext } from '../runtime/context.ts';
import { policyLossOnGpu } from './policy_loss_run.ts';
import { packPolicyBatch } from './policy_loss_batch.ts';

let gpu: GpuContext;
beforeAll(async () => {
  gpu = new GpuContext(await requestDawnDevice());
});
afterAll(() => gpu.device.destroy());

/** Largest difference of a part of the outputs, relative to the part's largest value. */
function worst(actual: readonly ArrayLike<number>[], expected: readonly ArrayLike<number>[]): number {
  let difference = 0;
  let scale = 1e-6;
  expected.forEach((row, i) => {
    expect(actual[i]!.length).toBe(row.length);
    for (let t = 0; t < row.length; t++) {
      const error = Math.abs(actual[i]![t]! - row[t]!);
      difference = Math.max(difference, Number.isNaN(error) ? Infinity : error);
      scale = Math.max(scale, Math.abs(row[t]!));
    }
  });
  return difference / scale;
}

function expectSame(actual: LossOutputs, expected: LossOutputs, tolerance = 1e-4): void {
  expect(Math.abs(actual.value - expected.value)).toBeLessThan(
    tolerance * Math.max(1, Math.abs(expected.value)),
  );
  expect(worst(actual.gradients, expected.gradients)).toBeLessThan(tolerance);
  expect(worst(actual.losses, expected.losses)).toBeLessThan(tolerance);
  expect(worst(actual.ratios, expected.ratios)).toBeLessThan(tolerance);
  expect(worst(actual.kls, expected.kls)).toBeLessThan(tolerance);
  expect(actual.clipped.map((x) => [...x])).toEqual(expected.clipped.map((x) => [...x]));
}

const file = new URL('../../../../shared/golden/grpo_losses.json', import.meta.url);
describe.skipIf(!existsSync(file))('golden losses on the GPU (needs ../shared/golden)', () => {
  const cases = existsSync(file) ? lossCases(parseGrpoLosses(readFileSync(file, 'utf8'))) : [];
  test.each(cases.map((c) => [c.name, c] as const))(
    '%s',
    async (_, { inputs, objective, value, gradients }) => {
      const out = await policyLossOnGpu(gpu, inputs, objective);
      expect(Math.abs(out.value - value)).toBeLessThan(1e-4 * Math.max(1, Math.abs(value)));
      if (gradients) expect(worst(out.gradients, gradients)).toBeLessThan(1e-4);
      expectSame(out, policyLoss(inputs, objective));
    },
  );
});

/** Every named loss, and every option on some loss. */
const objectives: [string, PolicyObjective][] = [
  ...lossTypeNames.map((name): [string, PolicyObjective] => [
    name,
    policyObjective(name, { beta: 0.05, maxCompletionLength: 40, temperature: 0.8 }),
  ]),
  ['grpo, δ', policyObjective('grpo', { delta: 1.05 })],
  ['grpo, k1', policyObjective('grpo', { beta: 0.3, klEstimator: 'k1' })],
  ['grpo, k2, bias-corrected', policyObjective('grpo', { beta: 0.3, klEstimator: 'k2', klImportance: true })],
  ['gspo, bias-corrected', policyObjective('gspo', { beta: 0.3, klImportance: true, eLow: 0.2, eHigh: 0.2 })],
  ['rank_grpo, bias-corrected', policyObjective('rank_grpo', { beta: 0.3, klImportance: true })],
  ['sapo, sequence', policyObjective('sapo', { ratioLevel: 'sequence' })],
  ['dapo, off-policy mask', policyObjective('dapo', { offPolicyMask: 0.01 })],
  ['dapo, entropy mask', policyObjective('dapo', { entropyTopShare: 0.3, beta: 0.1 })],
  [
    'dapo, token mask',
    policyObjective('dapo', { importance: { level: 'token', mode: 'mask', min: 0.9, max: 1.1 } }),
  ],
  [
    'dapo, sequence truncate',
    policyObjective('dapo', { importance: { level: 'sequence', mode: 'truncate', max: 2 } }),
  ],
  [
    'vespo, token truncate',
    policyObjective('vespo', { importance: { level: 'token', mode: 'truncate', max: 1.1 } }),
  ],
  [
    'vespo, sequence mask',
    policyObjective('vespo', { importance: { level: 'sequence', mode: 'mask', max: 1.5 } }),
  ],
];

/** One objective of each ratio level, for the tests that repeat it. */
const few = objectives.filter(([name]) =>
  ['grpo', 'gspo', 'rank_grpo', 'vespo', 'dapo, entropy mask'].includes(name),
);

describe('random batches against float64', () => {
  test.each(objectives)('%s', async (_, objective) => {
    for (const seed of [1, 2]) {
      const inputs = randomLossInputs(seed, { lengths: [1, 7, 130, 2, 33, 1], maskedRows: [3] });
      expectSame(
        await policyLossOnGpu(gpu, inputs, objective, seed === 1 ? 0 : 5),
        policyLoss(inputs, objective),
      );
    }
  });

  test('on-policy without old log-probs: ratio 1, gradient kept', async () => {
    const inputs = randomLossInputs(3, { lengths: [5, 9], maskedRows: [] });
    const bare: LossInputs = {
      sequences: inputs.sequences.map(({ mask, logprobs, advantage }) => ({ mask, logprobs, advantage })),
    };
    const out = await policyLossOnGpu(gpu, bare, policyObjective('grpo'));
    expectSame(out, policyLoss(bare, policyObjective('grpo')), 1e-6);
    expect(out.ratios.every((row) => row.every((r) => r === 1))).toBe(true);
  });
});

test('a masked place never contributes, whatever it holds', async () => {
  const clean = randomLossInputs(4, { lengths: [6, 40, 3], maskedRows: [2], filler: 0 });
  const dirty = randomLossInputs(4, { lengths: [6, 40, 3], maskedRows: [2], filler: 1e4 });
  for (const [, objective] of few) {
    const a = await policyLossOnGpu(gpu, clean, objective);
    const b = await policyLossOnGpu(gpu, dirty, objective);
    expect(b).toEqual(a);
  }
});

test('micro-batches with the totals of the step add up to the step', async () => {
  const { sequences } = randomLossInputs(5, { lengths: [4, 31, 8, 16, 2], maskedRows: [1] });
  for (const [, objective] of few) {
    const totals = stepTotals(sequences, objective);
    const whole = await policyLossOnGpu(gpu, { sequences, totals }, objective);
    const parts = [sequences.slice(0, 1), sequences.slice(1, 4), sequences.slice(4)];
    const outs = [];
    for (const part of parts) outs.push(await policyLossOnGpu(gpu, { sequences: part, totals }, objective));
    expect(outs.flatMap((o) => o.gradients)).toEqual(whole.gradients);
    expect(outs.reduce((a, o) => a + o.value, 0)).toBeCloseTo(whole.value, 5);
  }
});

test('refuses a batch that does not fit', () => {
  const { sequences } = randomLossInputs(6, { lengths: [4, 4], maskedRows: [] });
  const objective = policyObjective('grpo');
  const totals = stepTotals(sequences, objective);
  const pack = (tokens: number, count: number) => () =>
    packPolicyBatch(sequences, objective, totals, { tokens, sequences: count });
  expect(pack(8, 1)).toThrow(/2 sequences do not fit/);
  expect(pack(7, 2)).toThrow(/Sequence 1 of 4 tokens does not fit at 4 of 7/);
  expect(pack(8, 2)).not.toThrow();
});
