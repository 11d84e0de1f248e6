/** @file Named losses: what a name means, what it refuses, and AdamW on a problem with a known answer. */
import { describe, expect, it } from 'vitest';
import { UsageError } from '../errors.ts';
import { adamWStep, clipCoefficient, createAdamWState, gradientNorm } from './adamw.ts';
import { lossTypeNames, lossTypes, policyObjective } from './loss_types.ts';
import { policyLoss } from './policy_loss.ts';

describe('policyObjective', () => {
  it('knows a triple and a line of help for every name', () => {
    for (const name of lossTypeNames) {
      expect(lossTypes[name].about).not.toBe('');
      expect(policyObjective(name, { maxCompletionLength: 10 }).kind).toBe('policy');
    }
  });

  it('takes the user’s values over its own', () => {
    const own = policyObjective('gspo');
    expect(own.clip).toEqual({ rule: 'clipped', eLow: 3e-4, eHigh: 4e-4 });
    const given = policyObjective('gspo', { eLow: 0.1, delta: 2, beta: 0.5, ratioLevel: 'token' });
    expect(given.clip).toEqual({ rule: 'clipped', eLow: 0.1, eHigh: 4e-4, delta: 2 });
    expect(given).toMatchObject({ beta: 0.5, ratioLevel: 'token' });
    expect(policyObjective('cispo', { eHigh: 3 }).clip).toEqual({ rule: 'cispo', eHigh: 3 });
  });

  it('refuses what it cannot do', () => {
    expect(() => policyObjective('dr_grpo')).toThrow(UsageError);
    expect(() => policyObjective('grpo', { temperature: 0 })).toThrow(/temperature is 0/);
    expect(() => policyObjective('grpo', { entropyTopShare: 0 })).toThrow(UsageError);
  });

  it('the original’s objective is the masked mean of both terms', () => {
    const objective = policyObjective('learning2interact', { eLow: 0.2, eHigh: 0.2, beta: 0.1 });
    const sequences = [
      { mask: [1, 1, 0], logprobs: [-1, -2, 1e4], old: [-1.5, -2.1, 0], ref: [-1.2, -2.5, 0], advantage: 2 },
      { mask: [1, 0, 0], logprobs: [-3, 0, 0], old: [-3.1, 0, 0], ref: [-3, 0, 0], advantage: -1 },
    ];
    const k3 = (d: number): number => Math.exp(d) - d - 1;
    const clipped = -(1.2 * 2 + Math.exp(0.1) * 2 - Math.exp(0.1)) / 3;
    expect(policyLoss({ sequences }, objective).value).toBeCloseTo(
      clipped + (0.1 * (k3(-0.2) + k3(-0.5))) / 3,
      12,
    );
  });

  it('names the array an objective needs and does not get', () => {
    const sequences = [{ mask: [1], logprobs: [-1], advantage: 1 }];
    expect(() => policyLoss({ sequences }, policyObjective('rank_grpo'))).toThrow(/segment/);
    expect(() => policyLoss({ sequences }, policyObjective('grpo', { entropyTopShare: 0.5 }))).toThrow(
      /entropy/,
    );
  });
});

describe('AdamW', () => {
  it('moves every weight by lr in the first step, whatever the gradient’s size', () => {
    const x = Float64Array.of(1, -2, 3);
    adamWStep(x, [1e-3, -5, 0], createAdamWState(3), { learningRate: 0.01 });
    expect(x[0]).toBeCloseTo(0.99, 6);
    expect(x[1]).toBeCloseTo(-1.99, 6);
    expect(x[2]).toBe(3);
  });
  it('decays weights without a gradient', () => {
    const x = Float64Array.of(2);
    adamWStep(x, [0], createAdamWState(1), { learningRate: 0.1, weightDecay: 0.5 });
    expect(x[0]).toBeCloseTo(1.9, 12);
  });
  it('finds the minimum of a quadratic', () => {
    const x = Float64Array.of(4, -3);
    const state = createAdamWState(2);
    for (let step = 0; step < 2000; step++)
      adamWStep(x, [x[0]! - 1, 4 * (x[1]! - 2)], state, { learningRate: 0.02 });
    expect(Math.abs(x[0]! - 1) + Math.abs(x[1]! - 2)).toBeLessThan(1e-3);
  });
  it('clips by the global norm, only when it is too large', () => {
    expect(gradientNorm([[3], [0, 4]])).toBe(5);
    expect(clipCoefficient(5, 1)).toBeCloseTo(1 / (5 + 1e-6), 15);
    expect(clipCoefficient(0.5, 1)).toBe(1);
    expect(clipCoefficient(5)).toBe(1);
  });
});
