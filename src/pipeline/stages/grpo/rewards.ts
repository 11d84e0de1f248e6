/**
 * @file The reward of a rollout: 1 for a success within T − offset, else minus the penalty. The bonus is paid only on top of
 * such a success, and only when it took fewer exchanges than the teacher's.
 */
import type { RolloutRecord } from '../../../core/run_event.ts';

export interface RewardRule {
  /** T */
  turnNum: number;
  /** A success must come within T minus this. */
  turnNumOffset: number;
  /** Reward of a failure is minus this. */
  penalty: number;
  bonus: number;
}

export interface RewardOf {
  reward: number;
  /** 1 or 0. */
  success: number;
  /** The bonus that was paid. */
  bonus: number;
}

/**
 * Reward of one rollout. `baseTurn` = exchanges the teacher took for the whole dialogue (0 = unknown, no bonus), of which
 * `prefix` already stand in the given dialogue (TGI) and count as the rollout's own. An invalid rollout is a failure.
 */
export function rolloutReward(
  rollout: Pick<RolloutRecord, 'success' | 'successTurn'> & { valid: boolean },
  rule: RewardRule,
  teacher: { baseTurn: number; prefix: number },
): RewardOf {
  const { success, successTurn, valid } = rollout;
  const inTime = valid && success.rewarded && successTurn <= rule.turnNum - rule.turnNumOffset;
  if (!inTime) return { reward: rule.penalty === 0 ? 0 : -rule.penalty, success: 0, bonus: 0 };
  const bonus = teacher.baseTurn > 0 && teacher.prefix + successTurn < teacher.baseTurn ? rule.bonus : 0;
  return { reward: 1 + bonus, success: 1, bonus };
}
