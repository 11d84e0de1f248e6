/** @file The invariants of spec/training.md as properties: they hold for every loss, every random batch. */
import fc from 'fast-check';
import { describe, expect, it, test } from 'vitest';
import { randomLossInputs } from '../../../tests/support/random_loss_inputs.ts';
import { gdpoAdvantages, groupAdvantages } from './advantages.ts';
import { stepTotals } from './aggregation.ts';
import type { LossTypeName } from './loss_types.ts';
import { lossTypeNames, policyObjective } from './loss_types.ts';
import { policyLoss } from './policy_loss.ts';
import { sftLoss } from './sft_loss.ts';
import type { LossInputs, LossSequence, PolicyObjective } from './types.ts';

const lengths = fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 5 });
const seeds = fc.integer({ min: 1, max: 1e6 });

const named = (name: LossTypeName, beta = 0.07): PolicyObjective =>
  policyObjective(name, { beta, maxCompletionLength: 11, klImportance: beta > 0 });
/** Objectives beyond the names: every option somewhere. */
const objectives: [string, PolicyObjective][] = [
  ...lossTypeNames.map((name): [string, PolicyObjective] => [name, named(name)]),
  ['clipped with δ', policyObjective('grpo', { delta: 1.05 })],
  ['k1', policyObjective('dapo', { beta: 0.3, klEstimator: 'k1' })],
  ['k2', policyObjective('gspo', { beta: 0.3, klEstimator: 'k2', klImportance: true })],
  ['sapo of sequences', policyObjective('sapo', { ratioLevel: 'sequence' })],
  ['sapo of items', policyObjective('sapo', { ratioLevel: 'item' })],
  ['entropy mask', policyObjective('dapo', { entropyTopShare: 0.4, beta: 0.1 })],
  [
    'token importance',
    policyObjective('dapo', { importance: { level: 'token', mode: 'truncate', max: 1.02 } }),
  ],
  [
    'sequence importance',
    policyObjective('dapo', { importance: { level: 'sequence', mode: 'mask', max: 1.2 } }),
  ],
];
const detached = (o: PolicyObjective): boolean => o.clip.rule === 'cispo' || o.clip.rule === 'vespo';

/** The same batch at the moment of the rollout: old = current. */
function onPolicy(inputs: LossInputs): LossInputs {
  return {
    sequences: inputs.sequences.map((s, b): LossSequence => ({
      mask: s.mask,
      logprobs: s.logprobs,
      old: s.logprobs,
      sampler: s.logprobs,
      segments: s.segments,
      advantage: b - 1.5,
    })),
  };
}

const count = (mask: ArrayLike<number>): number => Array.from(mask).filter((m) => m !== 0).length;

/** Sum of |x − y| over two ragged arrays. */
function distance(a: readonly ArrayLike<number>[], b: readonly ArrayLike<number>[]): number {
  expect(a.map((row) => row.length)).toEqual(b.map((row) => row.length));
  return a.reduce(
    (sum, row, i) => sum + Array.from(row).reduce((s, x, t) => s + Math.abs(x - b[i]![t]!), 0),
    0,
  );
}

describe('on policy', () => {
  test.each(['grpo', 'gspo', 'rank_grpo'] as const)('%s: value = −mean A', (name) => {
    fc.assert(
      fc.property(seeds, lengths, (seed, T) => {
        const inputs = onPolicy(randomLossInputs(seed, { lengths: T }));
        const filled = inputs.sequences.filter((s) => count(s.mask) > 0);
        const mean = filled.reduce((a, s) => a + (s.advantage as number), 0) / T.length;
        expect(policyLoss(inputs, named(name, 0)).value).toBeCloseTo(-mean, 12);
      }),
    );
  });

  test.each(lossTypeNames)('%s: gradient = REINFORCE, −w·A a token', (name) => {
    fc.assert(
      fc.property(seeds, lengths, (seed, T) => {
        const inputs = onPolicy(randomLossInputs(seed, { lengths: T }));
        const totals = stepTotals(inputs.sequences);
        const expected = inputs.sequences.map((s) => {
          const n = count(s.mask);
          const weight = {
            sequence_mean: 1 / (Math.max(n, 1) * T.length),
            token_mean: 1 / Math.max(totals.tokens, 1),
            step_tokens: 1 / Math.max(totals.tokens, 1),
            constant: 1 / (11 * T.length),
            sequence_sum: 1 / T.length,
            sum_over_length: NaN,
          }[named(name).aggregation.rule];
          return Array.from(s.mask, (m) => (m === 1 ? -weight * (s.advantage as number) : 0));
        });
        expect(distance(policyLoss(inputs, named(name, 0)).gradients, expected)).toBeLessThan(1e-12);
      }),
    );
  });
});

describe('every loss', () => {
  test.each(objectives)('%s: a masked place never contributes', (_, objective) => {
    fc.assert(
      fc.property(seeds, lengths, (seed, T) => {
        const clean = policyLoss(
          randomLossInputs(seed, { lengths: T, filler: 0, maskedRows: [1] }),
          objective,
        );
        const dirty = policyLoss(
          randomLossInputs(seed, { lengths: T, filler: 1e4, maskedRows: [1] }),
          objective,
        );
        expect(dirty).toEqual(clean);
      }),
    );
  });

  test.each(objectives)('%s: independent of the micro-batch split', (_, objective) => {
    fc.assert(
      fc.property(seeds, lengths, fc.nat(5), (seed, T, at) => {
        const { sequences } = randomLossInputs(seed, { lengths: T });
        const totals = stepTotals(sequences, objective);
        const whole = policyLoss({ sequences }, objective);
        const parts = [sequences.slice(0, at), sequences.slice(at)].map((part) =>
          policyLoss({ sequences: part, totals }, objective),
        );
        expect(parts.reduce((a, o) => a + o.value, 0)).toBeCloseTo(whole.value, 12);
        expect(parts.flatMap((o) => o.gradients)).toEqual(whole.gradients);
      }),
    );
  });

  test.each(objectives.filter(([, o]) => !detached(o)))(
    '%s: gradient = finite differences',
    (_, objective) => {
      fc.assert(
        fc.property(seeds, lengths, (seed, T) => {
          const { sequences } = randomLossInputs(seed, { lengths: T });
          const totals = stepTotals(sequences, objective);
          const { gradients } = policyLoss({ sequences, totals }, objective);
          const h = 1e-6;
          const moved = (b: number, t: number, by: number): number => {
            const shifted = sequences.map((s, i) =>
              i === b ? { ...s, logprobs: Array.from(s.logprobs, (x, u) => (u === t ? x + by : x)) } : s,
            );
            return policyLoss({ sequences: shifted, totals }, objective).value;
          };
          sequences.forEach((s, b) => {
            for (let t = 0; t < s.mask.length; t++) {
              const slope = (moved(b, t, h) - moved(b, t, -h)) / (2 * h);
              expect(Math.abs(slope - gradients[b]![t]!)).toBeLessThan(1e-7);
            }
          });
        }),
        { numRuns: 20, seed: 7 },
      );
    },
  );

  test.each(['cispo', 'vespo'] as const)('%s: gradient = its detached weight', (name) => {
    fc.assert(
      fc.property(seeds, lengths, (seed, T) => {
        const { sequences } = randomLossInputs(seed, { lengths: T });
        const out = policyLoss({ sequences }, named(name, 0));
        const tokens = Math.max(stepTotals(sequences).tokens, 1);
        // loss = weight · lp, so the weight is loss / lp.
        const expected = sequences.map((s, b) =>
          Array.from(s.mask, (m, t) => (m === 1 ? out.losses[b]![t]! / s.logprobs[t]! / tokens : 0)),
        );
        expect(distance(out.gradients, expected)).toBeLessThan(1e-12);
      }),
    );
  });

  test.each(objectives)('%s: the value is the weighted sum of the reported token losses', (_, objective) => {
    const { sequences } = randomLossInputs(11, { lengths: [3, 8, 1] });
    const scaled = policyLoss({ sequences }, { ...objective, aggregation: { rule: 'token_mean' } });
    const sum = scaled.losses.reduce((a, row) => a + row.reduce((x, y) => x + y, 0), 0);
    expect(scaled.value).toBeCloseTo(sum / stepTotals(sequences).tokens, 12);
  });
});

describe('advantages', () => {
  const rewards = fc.array(
    fc.tuple(fc.double({ min: -3, max: 3, noNaN: true }), fc.integer({ min: 0, max: 3 })),
    {
      minLength: 1,
      maxLength: 24,
    },
  );
  it('of a group sum to 0, under every option', () => {
    fc.assert(
      fc.property(
        rewards,
        fc.constantFrom('group', 'batch', 'none'),
        fc.constantFrom(0, 1),
        fc.constantFrom('mean', 'leave_one_out'),
        (rows, scale, ddof, baseline) => {
          const groups = rows.map(([, g]) => g);
          const { advantages } = groupAdvantages(
            rows.map(([r]) => r),
            groups,
            { scale, ddof, baseline } as const,
          );
          for (const g of new Set(groups)) {
            const sum = advantages.reduce((a, x, i) => a + (groups[i] === g ? x : 0), 0);
            expect(Math.abs(sum)).toBeLessThan(1e-6);
          }
        },
      ),
    );
  });

  it('are exactly 0 where all rewards of a group are equal, and the group is counted', () => {
    const { advantages, fractionZeroStd } = groupAdvantages([0.1, 0.1, 0.1, 1, 0], [7, 7, 7, 2, 2]);
    expect(advantages.slice(0, 3)).toEqual([0, 0, 0]);
    expect(fractionZeroStd).toBe(0.5);
  });

  it('leave a rollout without a score out of its group', () => {
    const scored = groupAdvantages([1, 0, 0.5], [0, 0, 0]);
    const withGap = groupAdvantages([1, NaN, 0, 0.5], [0, 0, 0, 0]);
    expect(withGap.advantages).toEqual([scored.advantages[0], 0, scored.advantages[1], scored.advantages[2]]);
  });

  it('of GDPO do not depend on the scale of one reward function', () => {
    const rows = [
      [1, 0.2],
      [0, 0.1],
      [0.5, 0],
      [0.25, 0.4],
    ];
    const options = { ddof: 1, eps: 0 } as const;
    const a = gdpoAdvantages(rows, [1, 1], [0, 0, 1, 1], options);
    const b = gdpoAdvantages(
      rows.map(([x, y]) => [x!, 1000 * y!]),
      [1, 1],
      [0, 0, 1, 1],
      options,
    );
    expect(distance([a], [b])).toBeLessThan(1e-9);
  });
});

describe('SFT', () => {
  test.each(['nll', 'dft'] as const)('%s: masked places, splits, gradient', (kind) => {
    fc.assert(
      fc.property(seeds, lengths, fc.nat(5), (seed, T, at) => {
        const { sequences } = randomLossInputs(seed, { lengths: T });
        const whole = sftLoss(sequences, kind);
        expect(sftLoss(randomLossInputs(seed, { lengths: T, filler: 0 }).sequences, kind)).toEqual(whole);
        const parts = [sequences.slice(0, at), sequences.slice(at)].map((part) =>
          sftLoss(part, kind, whole.tokens),
        );
        expect(parts.reduce((a, o) => a + o.value, 0)).toBeCloseTo(whole.value, 12);
        expect(parts.flatMap((o) => o.gradients)).toEqual(whole.gradients);
        // value = Σ gradient · lp, because a detached weight multiplies lp.
        const linear = sequences.reduce(
          (a, s, b) =>
            a +
            Array.from(s.mask).reduce<number>(
              (x, m, t) => x + (m === 1 ? whole.gradients[b]![t]! * s.logprobs[t]! : 0),
              0,
            ),
          0,
        );
        expect(linear).toBeCloseTo(whole.value, 12);
      }),
    );
  });
});
