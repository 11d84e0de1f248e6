import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { defaultAdvantageOptions } from '../../../core/loss/advantages.ts';
import { policyObjective } from '../../../core/loss/loss_types.ts';
import type { TrainSequence } from '../../../core/policy.ts';
import { Rng } from '../../../core/random.ts';
import { BigramPolicy } from '../../testing/bigram_policy.ts';
import type { Pending } from './state.ts';
import { miniBatches, updatePolicy, type UpdateInput, type UpdateStep } from './update.ts';

const pending = (n: number, over: Partial<Pending> = {}): Pending => ({
  key: `k${n}`,
  group: Math.floor(n / 2),
  tokens: [1, 2, 3, (n % 4) + 1],
  lossMask: [0, 0, 1, 1],
  old: [0, 0, -1.5, -1.6],
  ref: [0, 0, -1.4, -1.7],
  reward: n % 2,
  success: n % 2,
  bonus: 0,
  advantage: (n % 2) - 0.5,
  completionTokens: 2,
  clipped: n === 0,
  mismatch: { sum: 0.25 * n, tokens: 2, max: 0.1 * n },
  ...over,
});

async function update(over: Partial<UpdateInput> = {}) {
  const policy = new BigramPolicy(6);
  const seen: TrainSequence[][] = [];
  const steps: UpdateStep[] = [];
  const train = policy.trainStep.bind(policy);
  policy.trainStep = (batch, objective, optimizer) => {
    seen.push([...batch]);
    return train(batch, objective, optimizer);
  };
  const input: UpdateInput = {
    policy,
    batch: Array.from({ length: 6 }, (_, n) => pending(n)),
    objective: policyObjective('grpo', { beta: 0.1 }),
    advantages: defaultAdvantageOptions,
    ppoEpochs: 1,
    miniBatchSize: 6,
    seed: 1,
    update: 0,
    optimizer: (k) => ({ learningRate: 0.01 * (k + 1) }),
    ...over,
  };
  await updatePolicy(input, (step) => steps.push(step));
  return { seen, steps };
}

describe('mini-batches', () => {
  it('visit every rollout once a pass, none larger than asked for', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 40 }),
        fc.integer({ min: 1, max: 45 }),
        fc.integer({ min: 1, max: 3 }),
        (n, size, passes) => {
          const batches = miniBatches(n, size, passes, new Rng(n));
          const perPass = Math.ceil(n / size);
          expect(batches).toHaveLength(passes * perPass);
          for (let pass = 0; pass < passes; pass++) {
            const part = batches.slice(pass * perPass, (pass + 1) * perPass);
            expect(part.every((b) => b.length <= size)).toBe(true);
            expect(part.flat().sort((a, b) => a - b)).toEqual(Array.from({ length: n }, (_, i) => i));
          }
        },
      ),
    );
  });
});

describe('update', () => {
  it('is one optimizer step on the whole batch by default', async () => {
    const { seen, steps } = await update();
    expect(seen.map((b) => b.length)).toEqual([6]);
    expect(seen[0]![3]).toMatchObject({
      advantage: 0.5,
      oldLogprobs: [0, 0, -1.5, -1.6],
      refLogprobs: [0, 0, -1.4, -1.7],
    });
    expect(steps[0]!.metrics).toMatchObject({
      learning_rate: 0.01,
      reward: 0.5,
      'rewards/success/mean': 0.5,
      'completions/clipped_ratio': 1 / 6,
      'sampling/sampling_logp_difference/mean': (0.25 * 15) / 12,
      'sampling/sampling_logp_difference/max': 0.5,
    });
  });

  it('shows rollout figures once, learning rates of every step', async () => {
    const { steps } = await update({ ppoEpochs: 2, miniBatchSize: 4 });
    expect(steps.map((s) => s.rollouts.length)).toEqual([4, 2, 4, 2]);
    expect(steps.map((s) => 'reward' in s.metrics)).toEqual([true, false, false, false]);
    expect(steps.map((s) => s.metrics['learning_rate'])).toEqual([0.01, 0.02, 0.03, 0.04]);
  });

  it('divides centred advantages by the deviation of the batch with scale_rewards batch', async () => {
    const { seen } = await update({ advantages: { ...defaultAdvantageOptions, scale: 'batch' } });
    // Rewards 0 1 0 1 0 1: sample deviation √0.3.
    expect(seen[0]![1]!.advantage).toBeCloseTo(0.5 / (Math.sqrt(0.3) + 1e-4), 10);
  });

  it('records what the loss used, and nothing outside the mask', async () => {
    const { steps } = await update({ batch: [pending(1), pending(2, { ref: [] })] });
    const [one] = steps[0]!.rollouts;
    expect(one!.logprobs.slice(0, 2)).toEqual([0, 0]);
    expect(one!.logprobs[2]).toBeLessThan(0);
    expect(one!.ratios.slice(0, 2)).toEqual([1, 1]);
    expect(one!.ratios[2]).toBeCloseTo(Math.exp(one!.logprobs[2]! + 1.5), 4);
    expect(one!.kls[2]).toBeGreaterThan(0);
    expect(steps[0]!.metrics).not.toHaveProperty('kl');
  });
});
