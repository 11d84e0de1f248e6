/** @file Numbers about a step under TRL's metric names, so that people's dashboards work. Pure functions of the records. */
import { countLossTokens } from './aggregation.ts';
import type { Advantages } from './advantages.ts';
import { known, mean, standardDeviation } from './statistics.ts';
import type { LossSequence } from './types.ts';

/** Per-token records of a step's sequences, all [T]; places where `mask` is 0 are never read. */
export interface TokenRecord {
  mask: ArrayLike<number>;
  logprobs: ArrayLike<number>;
  entropies?: ArrayLike<number>;
  kls?: ArrayLike<number>;
  clipped?: ArrayLike<number>;
  sampler?: LossSequence['sampler'];
}

/** Mean over all loss tokens of all sequences; 0 when there is none. */
export function maskedMean(
  records: readonly Pick<TokenRecord, 'mask'>[],
  value: (record: number, t: number) => number,
): number {
  let sum = 0;
  let n = 0;
  records.forEach(({ mask }, i) => {
    for (let t = 0; t < mask.length; t++)
      if (mask[t] !== 0) {
        sum += value(i, t);
        n++;
      }
  });
  return n === 0 ? 0 : sum / n;
}

/**
 * `kl`, `entropy`, `clip_ratio/low_mean|low_min|high_mean|high_max|region_mean` (the extremes are over sequences) and
 * `sampling/sampling_logp_difference/mean|max`; each only where its record is there.
 */
export function policyMetrics(records: readonly TokenRecord[]): Record<string, number> {
  const metrics: Record<string, number> = {};
  const used = records.filter((r) => countLossTokens(r.mask) > 0);
  if (used.length === 0) return metrics;
  if (used.every((r) => r.kls)) metrics['kl'] = maskedMean(used, (i, t) => used[i]!.kls![t]!);
  if (used.every((r) => r.entropies))
    metrics['entropy'] = maskedMean(used, (i, t) => used[i]!.entropies![t]!);
  if (used.every((r) => r.clipped)) {
    const is = (sign: number) => (r: TokenRecord, t: number) => (r.clipped![t] === sign ? 1 : 0);
    const low = is(-1);
    const high = is(1);
    metrics['clip_ratio/low_mean'] = maskedMean(used, (i, t) => low(used[i]!, t));
    metrics['clip_ratio/low_min'] = Math.min(...used.map((r) => maskedMean([r], (_, t) => low(r, t))));
    metrics['clip_ratio/high_mean'] = maskedMean(used, (i, t) => high(used[i]!, t));
    metrics['clip_ratio/high_max'] = Math.max(...used.map((r) => maskedMean([r], (_, t) => high(r, t))));
    metrics['clip_ratio/region_mean'] = maskedMean(used, (i, t) => Math.abs(used[i]!.clipped![t]!));
  }
  if (used.every((r) => r.sampler)) {
    const difference = (i: number, t: number): number =>
      Math.abs(used[i]!.logprobs[t]! - used[i]!.sampler![t]!);
    metrics['sampling/sampling_logp_difference/mean'] = maskedMean(used, difference);
    let max = 0;
    maskedMean(used, (i, t) => (max = Math.max(max, difference(i, t))));
    metrics['sampling/sampling_logp_difference/max'] = max;
  }
  return metrics;
}

/** `reward`, `reward_std` (mean of the groups' deviations), `frac_reward_zero_std`, and `rewards/<name>/mean|std`. */
export function rewardMetrics(
  rewards: readonly number[],
  advantages: Advantages,
  byName: Readonly<Record<string, readonly number[]>> = {},
): Record<string, number> {
  const metrics: Record<string, number> = {
    reward: meanOrZero(known(rewards)),
    reward_std: meanOrZero(advantages.groupStds),
    frac_reward_zero_std: advantages.fractionZeroStd,
  };
  for (const [name, values] of Object.entries(byName)) {
    metrics[`rewards/${name}/mean`] = meanOrZero(known(values));
    metrics[`rewards/${name}/std`] = standardDeviation(known(values), 1);
  }
  return metrics;
}

/** `completions/mean_length|min_length|max_length|clipped_ratio` (clipped = ended by the length limit). */
export function completionMetrics(
  completions: readonly { length: number; finishReason: 'stop' | 'length' }[],
): Record<string, number> {
  if (completions.length === 0) return {};
  const lengths = completions.map((c) => c.length);
  return {
    'completions/mean_length': mean(lengths),
    'completions/min_length': Math.min(...lengths),
    'completions/max_length': Math.max(...lengths),
    'completions/clipped_ratio':
      completions.filter((c) => c.finishReason === 'length').length / lengths.length,
  };
}

const meanOrZero = (values: readonly number[]): number => (values.length === 0 ? 0 : mean(values));
