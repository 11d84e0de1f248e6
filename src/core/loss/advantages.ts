/**
 * @file Advantages: rewards compared inside their group (the rollouts of one dialogue). `A = (R − mean_g)/(std + eps)`.
 * A NaN reward means "not scored": it is left out of the statistics and its advantage is 0.
 */
import { known, mean, standardDeviation } from './statistics.ts';

/** How rewards become advantages. All of it is logged with every run: at G = 2 `ddof` alone changes A by 41 %. */
export interface AdvantageOptions {
  /**
   * What the difference from the group's mean is divided by: the group's deviation, the whole batch's, or nothing
   * (Dr. GRPO). Default `group`.
   */
  scale: 'group' | 'batch' | 'none';
  /** Degrees of freedom taken off in the deviation: 1 = sample, 0 = population. */
  ddof: 0 | 1;
  /** Added to the deviation. TRL 1e-4; verl and the original system 1e-6; OpenRLHF 1e-9. */
  eps: number;
  /** Baseline: the group's mean, or the mean of the others in the group (RLOO). */
  baseline: 'mean' | 'leave_one_out';
}

/** TRL's defaults. */
export const defaultAdvantageOptions: AdvantageOptions = {
  scale: 'group',
  ddof: 1,
  eps: 1e-4,
  baseline: 'mean',
};

/** Advantages of a batch and what they were made from. Arrays are one a rollout. */
export interface Advantages {
  advantages: number[];
  /** Mean reward of the rollout's group. */
  groupMeans: number[];
  /** Deviation of the rollout's group, before eps. */
  groupStds: number[];
  /** Share of groups in which all rewards are equal (their advantages are 0). `frac_reward_zero_std`. */
  fractionZeroStd: number;
}

/**
 * Advantages of rollouts. `groupOf[i]` names the group of rollout i (any numbers; groups may differ in size).
 * Throws `RangeError` when the arrays differ in length.
 */
export function groupAdvantages(
  rewards: ArrayLike<number>,
  groupOf: ArrayLike<number>,
  options: Partial<AdvantageOptions> = {},
): Advantages {
  const { scale, ddof, eps, baseline } = { ...defaultAdvantageOptions, ...options };
  if (rewards.length !== groupOf.length)
    throw new RangeError(`${rewards.length} rewards, but ${groupOf.length} group numbers.`);
  const members = membersOf(groupOf);
  const batchStd = standardDeviation(known(rewards), ddof);
  const out: Advantages = {
    advantages: new Array<number>(rewards.length).fill(0),
    groupMeans: new Array<number>(rewards.length).fill(NaN),
    groupStds: new Array<number>(rewards.length).fill(0),
    fractionZeroStd: 0,
  };
  let flat = 0;
  for (const rows of members.values()) {
    const scored = known(rows.map((i) => rewards[i]!));
    const average = mean(scored);
    const std = standardDeviation(scored, ddof);
    if (std === 0) flat++;
    const divisor = scale === 'none' ? 1 : (scale === 'group' ? std : batchStd) + eps;
    const others =
      baseline === 'leave_one_out' && scored.length > 1 ? scored.length / (scored.length - 1) : 1;
    for (const i of rows) {
      out.groupMeans[i] = average;
      out.groupStds[i] = std;
      if (std > 0 && !Number.isNaN(rewards[i]!))
        out.advantages[i] = (others * (rewards[i]! - average)) / divisor;
    }
  }
  out.fractionZeroStd = members.size === 0 ? 0 : flat / members.size;
  return out;
}

/** Weighted sum of several reward functions a rollout; NaN entries count as 0, all NaN gives NaN. `rewards` [B, functions]. */
export function combineRewards(rewards: readonly ArrayLike<number>[], weights: ArrayLike<number>): number[] {
  return rewards.map((row) => {
    let sum = 0;
    let scored = 0;
    for (let k = 0; k < weights.length; k++)
      if (!Number.isNaN(row[k]!)) {
        sum += weights[k]! * row[k]!;
        scored++;
      }
    return scored === 0 ? NaN : sum;
  });
}

/**
 * GDPO: normalise every reward function inside its group first, add up with the weights, then normalise over the batch,
 * so that a reward with a small spread is not drowned by one with a large spread. `rewards` [B, functions].
 */
export function gdpoAdvantages(
  rewards: readonly ArrayLike<number>[],
  weights: ArrayLike<number>,
  groupOf: ArrayLike<number>,
  options: Pick<AdvantageOptions, 'ddof' | 'eps'> = defaultAdvantageOptions,
): number[] {
  const normalised = Array.from(
    { length: weights.length },
    (_, k) =>
      groupAdvantages(
        rewards.map((row) => row[k]!),
        groupOf,
        { ...options, scale: 'group' },
      ).advantages,
  );
  const sums = rewards.map((_, i) => normalised.reduce((a, column, k) => a + weights[k]! * column[i]!, 0));
  const average = mean(sums);
  const std = standardDeviation(sums, options.ddof);
  return sums.map((s) => (std === 0 ? 0 : (s - average) / (std + options.eps)));
}

/**
 * Rank-GRPO: a reward an item, compared with the same place in the other lists of the group.
 * `itemRewards` [B, items] → advantages [B, items].
 */
export function itemAdvantages(
  itemRewards: readonly ArrayLike<number>[],
  groupOf: ArrayLike<number>,
  options: Partial<AdvantageOptions> = {},
): number[][] {
  const items = Math.max(0, ...itemRewards.map((row) => row.length));
  const columns = Array.from(
    { length: items },
    (_, k) =>
      groupAdvantages(
        itemRewards.map((row) => row[k] ?? NaN),
        groupOf,
        options,
      ).advantages,
  );
  return itemRewards.map((row, i) => Array.from(row, (_, k) => columns[k]![i]!));
}

function membersOf(groupOf: ArrayLike<number>): Map<number, number[]> {
  const members = new Map<number, number[]>();
  for (let i = 0; i < groupOf.length; i++) {
    const rows = members.get(groupOf[i]!);
    if (rows) rows.push(i);
    else members.set(groupOf[i]!, [i]);
  }
  return members;
}
