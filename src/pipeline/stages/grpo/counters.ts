/**
 * @file What happened to all rollouts of the policy since the last update, kept or dropped, as sums that can be saved. The
 * teacher's rollouts (`--off_policy`) are only counted: they say nothing about the policy.
 */
import * as v from 'valibot';
import type { Group } from './groups.ts';

const count = v.number();
export const countersSchema = v.object({
  rollouts: count,
  shown: count,
  retrieved: count,
  accepted: count,
  lastTurn: count,
  rewarded: count,
  turns: count,
  malformed: count,
  resampled: count,
  invalid: count,
  edited: count,
  offPolicy: count,
  groups: count,
  droppedGroups: count,
  sampledTokens: count,
  seekerTokens: count,
  seekerCost: count,
  leaks: count,
  seconds: count,
  reasons: v.record(v.string(), count),
});
export type Counters = v.InferOutput<typeof countersSchema>;

export function newCounters(): Counters {
  return {
    rollouts: 0,
    shown: 0,
    retrieved: 0,
    accepted: 0,
    lastTurn: 0,
    rewarded: 0,
    turns: 0,
    malformed: 0,
    resampled: 0,
    invalid: 0,
    edited: 0,
    offPolicy: 0,
    groups: 0,
    droppedGroups: 0,
    sampledTokens: 0,
    seekerTokens: 0,
    seekerCost: 0,
    leaks: 0,
    seconds: 0,
    reasons: {},
  };
}

/** Add a group. */
export function countGroup(c: Counters, group: Group, kept: boolean): void {
  c.groups++;
  if (!kept) c.droppedGroups++;
  for (const { record, transcript, reward, invalid, offPolicy, lastTurnSuccess } of group.rollouts) {
    if (offPolicy) {
      c.offPolicy++;
      continue;
    }
    c.rollouts++;
    c.shown += Number(record.success.shown);
    c.retrieved += Number(record.success.retrieved);
    c.accepted += Number(record.success.accepted);
    c.lastTurn += Number(lastTurnSuccess);
    c.rewarded += reward.success;
    c.turns += record.turns.length;
    c.malformed += record.malformed;
    c.invalid += Number(invalid);
    c.edited += Number(record.edited);
    c.sampledTokens += transcript.turns.reduce((n, t) => n + t.end - t.start, 0);
  }
  c.seekerTokens += group.seeker.promptTokens + group.seeker.completionTokens;
  c.seekerCost += group.seeker.costUsd;
  c.leaks += group.seeker.leaks;
  for (const [reason, n] of Object.entries(group.resampled)) {
    c.reasons[reason] = (c.reasons[reason] ?? 0) + n;
    if (!reason.includes(':')) c.resampled += n;
  }
}

/** The counters as metrics of the update that ends them. */
export function counterMetrics(c: Counters): Record<string, number> {
  const share = (n: number): number => (c.rollouts === 0 ? 0 : n / c.rollouts);
  return {
    'rollouts/success_shown': share(c.shown),
    'rollouts/success_retrieved': share(c.retrieved),
    'rollouts/success_accepted': share(c.accepted),
    'rollouts/success_rewarded': share(c.rewarded),
    'rollouts/success_last_turn': share(c.lastTurn),
    'rollouts/turns': share(c.turns),
    'rollouts/malformed': c.malformed,
    'rollouts/resampled': c.resampled,
    'rollouts/kept_invalid': c.invalid,
    'rollouts/edited_fraction': share(c.edited),
    'rollouts/off_policy_fraction': c.offPolicy === 0 ? 0 : c.offPolicy / (c.rollouts + c.offPolicy),
    'rollouts/groups': c.groups,
    'rollouts/groups_dropped': c.droppedGroups,
    'rollouts/leaks': c.leaks,
    'teacher/tokens': c.seekerTokens,
    'teacher/cost_usd': c.seekerCost,
    ...Object.fromEntries(Object.entries(c.reasons).map(([reason, n]) => [`rollouts/reason/${reason}`, n])),
    ...(c.seconds > 0 ? { 'perf/rollout_tokens_per_second': c.sampledTokens / c.seconds } : {}),
  };
}
