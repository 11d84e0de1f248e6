import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { groupDecision } from './dynamic_sampling.ts';
import { rolloutReward, type RewardRule } from './rewards.ts';

const rollout = (successTurn: number, valid = true) => ({
  success: { shown: false, retrieved: false, accepted: false, rewarded: successTurn > 0 },
  successTurn,
  valid,
});
const rule: RewardRule = { turnNum: 3, turnNumOffset: 1, penalty: 0.5, bonus: 0.2 };
const noTeacher = { baseTurn: 0, prefix: 0 };

describe('rewards', () => {
  it.each([
    ['in time', 2, 1],
    ['too late', 3, -0.5],
    ['never', 0, -0.5],
  ])('%s', (_, turn, reward) => {
    expect(rolloutReward(rollout(turn), rule, noTeacher).reward).toBe(reward);
  });

  it('a failure without a penalty is 0, not -0', () => {
    expect(Object.is(rolloutReward(rollout(0), { ...rule, penalty: 0 }, noTeacher).reward, 0)).toBe(true);
  });

  it.each([
    ['beats the teacher', 2, { baseTurn: 3, prefix: 0 }, 1.2],
    ['ties with the teacher', 2, { baseTurn: 2, prefix: 0 }, 1],
    ['beats it, given exchanges counted', 1, { baseTurn: 3, prefix: 1 }, 1.2],
    ['ties, given exchanges counted', 2, { baseTurn: 3, prefix: 1 }, 1],
    ['no teacher known', 1, noTeacher, 1],
  ])('bonus: %s', (_, turn, teacher, reward) => {
    expect(rolloutReward(rollout(turn), rule, teacher).reward).toBeCloseTo(reward);
  });

  it('never pays a bonus on a failure, whatever else is true', () => {
    fc.assert(
      fc.property(
        fc.nat(5),
        fc.boolean(),
        fc.record({ baseTurn: fc.nat(9), prefix: fc.nat(4) }),
        fc.record({
          turnNum: fc.integer({ min: 1, max: 5 }),
          turnNumOffset: fc.nat(4),
          penalty: fc.double({ min: 0, max: 2, noNaN: true }),
          bonus: fc.double({ min: 0, max: 2, noNaN: true }),
        }),
        (turn, valid, teacher, rules) => {
          const out = rolloutReward(rollout(turn, valid), rules, teacher);
          const success = valid && turn > 0 && turn <= rules.turnNum - rules.turnNumOffset;
          expect(out.success).toBe(success ? 1 : 0);
          expect(out.reward).toBe(success ? 1 + out.bonus : 0 - rules.penalty);
          if (!success) expect(out.bonus).toBe(0);
        },
      ),
    );
  });
});

describe('dynamic sampling', () => {
  it('keeps everything when it is off', () => {
    for (let n = 0; n <= 8; n++)
      expect(groupDecision(n, 8, { dynamicSampling: false, threshold: 3 }).kept).toBe(true);
  });

  it('drops ≤ threshold and ≥ G − threshold', () => {
    const kept = (threshold: number) =>
      [0, 1, 2, 3, 4, 5, 6, 7, 8].filter(
        (n) => groupDecision(n, 8, { dynamicSampling: true, threshold }).kept,
      );
    expect(kept(0)).toEqual([1, 2, 3, 4, 5, 6, 7]);
    expect(kept(1)).toEqual([2, 3, 4, 5, 6]);
    expect(kept(3)).toEqual([4]);
  });

  it('says why', () => {
    const why = (n: number) => groupDecision(n, 4, { dynamicSampling: true, threshold: 1 }).reason;
    expect(why(1)).toBe('1 of 4 succeeded: too hard (at most 1)');
    expect(why(3)).toBe('3 of 4 succeeded: too easy (at least 3)');
  });
});
