/** @file Metrics, statistics and reward terms on small numbers worked out by hand. */
import { describe, expect, it } from 'vitest';
import { combineRewards, groupAdvantages, itemAdvantages } from './advantages.ts';
import { entropyThreshold, stepTotals } from './aggregation.ts';
import { completionMetrics, policyMetrics, rewardMetrics } from './metrics.ts';
import { softOverlongPenalty } from './soft_overlong.ts';
import { quantile, standardDeviation } from './statistics.ts';

describe('policyMetrics', () => {
  const records = [
    {
      mask: [0, 1, 1, 1, 1],
      logprobs: [1e4, -1, -2, -3, -4],
      entropies: [1e4, 1, 2, 3, 4],
      kls: [1e4, 0.1, 0.2, 0.3, 0.4],
      clipped: [1, -1, 1, 0, 0],
      sampler: [-1e4, -1.5, -2, -3, -3.75],
    },
    { mask: [0, 1], logprobs: [0, -5], entropies: [0, 10], kls: [0, 1], clipped: [-1, -1], sampler: [0, -5] },
    { mask: [0, 0], logprobs: [0, 0], entropies: [0, 0], kls: [0, 0], clipped: [0, 0], sampler: [0, 0] },
  ];

  it('averages over loss tokens; extremes are over sequences that have any', () => {
    const expected = {
      kl: 0.4,
      entropy: 4,
      'clip_ratio/low_mean': 2 / 5,
      'clip_ratio/low_min': 1 / 4,
      'clip_ratio/high_mean': 1 / 5,
      'clip_ratio/high_max': 1 / 4,
      'clip_ratio/region_mean': 3 / 5,
      'sampling/sampling_logp_difference/mean': 0.75 / 5,
      'sampling/sampling_logp_difference/max': 0.5,
    };
    const metrics = policyMetrics(records);
    expect(Object.keys(metrics).sort()).toEqual(Object.keys(expected).sort());
    for (const [name, value] of Object.entries(expected)) expect(metrics[name], name).toBeCloseTo(value, 12);
  });

  it('leaves out what was not recorded, and everything where nothing is in the loss', () => {
    expect(Object.keys(policyMetrics([{ mask: [1], logprobs: [-1], entropies: [2] }]))).toEqual(['entropy']);
    expect(policyMetrics([{ mask: [0], logprobs: [-1], entropies: [2] }])).toEqual({});
  });
});

describe('rewardMetrics', () => {
  it('gives means, the mean of group deviations, and ignores missing scores', () => {
    const rewards = [1, 0, NaN, 2, 2];
    const metrics = rewardMetrics(rewards, groupAdvantages(rewards, [0, 0, 0, 1, 1]), {
      hit: [1, 0, 0, 1, 1],
    });
    expect(metrics['reward']).toBe(1.25);
    expect(metrics['reward_std']).toBeCloseTo((3 * Math.SQRT1_2) / 5, 12);
    expect(metrics['frac_reward_zero_std']).toBe(0.5);
    expect(metrics['rewards/hit/mean']).toBe(0.6);
    expect(metrics['rewards/hit/std']).toBeCloseTo(Math.sqrt(0.3), 12);
  });
});

it('completionMetrics counts completions that ran into the limit', () => {
  const metrics = completionMetrics([
    { length: 3, finishReason: 'stop' },
    { length: 8, finishReason: 'length' },
  ]);
  expect(metrics).toEqual({
    'completions/mean_length': 5.5,
    'completions/min_length': 3,
    'completions/max_length': 8,
    'completions/clipped_ratio': 0.5,
  });
  expect(completionMetrics([])).toEqual({});
});

describe('rewards', () => {
  it('combine by weight; a missing function counts as 0, all missing as no score', () => {
    expect(
      combineRewards(
        [
          [1, 2],
          [NaN, 2],
          [NaN, NaN],
        ],
        [1, 0.5],
      ),
    ).toEqual([2, 1, NaN]);
  });
  it('of items are compared with the same place of the other lists, also in shorter lists', () => {
    const advantages = itemAdvantages([[1, 0], [0], [1, 1]], [0, 0, 0], { eps: 0 });
    expect(advantages.map((row) => row.length)).toEqual([2, 1, 2]);
    expect(advantages[0]![1]).toBeCloseTo(-Math.SQRT1_2, 12);
    expect(advantages[2]![1]).toBeCloseTo(Math.SQRT1_2, 12);
    expect(advantages[1]![0]).toBeCloseTo(-2 / Math.sqrt(3), 12);
  });
  it('soft overlong punishment falls over the buffer', () => {
    expect([0, 15, 16, 20, 21].map((n) => softOverlongPenalty(n, 20, 5))).toEqual([0, 0, -0.2, -1, -1]);
    expect([20, 21].map((n) => softOverlongPenalty(n, 20, 0))).toEqual([0, -1]);
  });
});

describe('statistics', () => {
  it('quantiles interpolate; deviations know their degrees of freedom', () => {
    expect(quantile([4, 1, 3, 2], 0.5)).toBe(2.5);
    expect(quantile([7], 0.9)).toBe(7);
    expect(standardDeviation([1, 3], 0)).toBe(1);
    expect(standardDeviation([1, 3], 1)).toBeCloseTo(Math.SQRT2, 12);
    expect(standardDeviation([5], 1)).toBe(0);
  });
  it('the entropy threshold looks at loss tokens only', () => {
    const sequences = [
      { mask: [1, 0, 1, 1, 1, 1], entropies: [1, 99, 2, 3, 4, 5] },
      { mask: [0], entropies: [99] },
    ];
    expect(entropyThreshold(sequences, 0.25)).toBe(4);
    expect(stepTotals(sequences)).toEqual({
      sequences: 2,
      nonEmptySequences: 1,
      tokens: 5,
      entropyThreshold: -Infinity,
    });
    expect(entropyThreshold([{ mask: [0], entropies: [1] }], 0.5)).toBe(-Infinity);
  });
});
