/**
 * @file Dynamic sampling: a group in which (nearly) all rollouts succeed or (nearly) all fail teaches nothing and is dropped.
 * What counts is the *number of successes*, never the sum of rewards.
 */
import type { GroupDecision } from '../../../core/run_event.ts';

/** Keep a group of `size` rollouts with `successes` successes? */
export function groupDecision(
  successes: number,
  size: number,
  options: { dynamicSampling: boolean; threshold: number },
): GroupDecision {
  const count = `${successes} of ${size} succeeded`;
  if (!options.dynamicSampling) return { kept: true, reason: count };
  if (successes <= options.threshold)
    return { kept: false, reason: `${count}: too hard (at most ${options.threshold})` };
  if (successes >= size - options.threshold)
    return { kept: false, reason: `${count}: too easy (at least ${size - options.threshold})` };
  return { kept: true, reason: count };
}
