/**
 * @file Kept rollouts become training sequences: old log-probs are those recorded while sampling (the policy's own
 * teacher-forced ones where nothing was sampled: rewritten turns, the teacher's rollout), reference log-probs come from the
 * reference, and the difference between sampled and teacher-forced log-probs is measured.
 */
import type { Policy } from '../../../core/policy.ts';
import type { GroupRollout } from './groups.ts';
import type { Pending } from './state.ts';
import { lossMask, type MaskRule } from './transcript.ts';

export interface ScoreOptions extends MaskRule {
  temperature: number;
  /** β; 0 = no reference needed. */
  beta: number;
}

/** A kept rollout with its group and advantage. */
export interface KeptRollout {
  rollout: GroupRollout;
  group: number;
  advantage: number;
}

/** Score kept rollouts under the policy they were sampled from; call before the next update. */
export async function scoreRollouts(
  policy: Policy,
  kept: readonly KeptRollout[],
  options: ScoreOptions,
): Promise<Pending[]> {
  if (kept.length === 0) return [];
  const { temperature, beta } = options;
  const sequences = kept.map(({ rollout }) => rollout.transcript.tokens);
  const current = await policy.logprobs(sequences, { temperature });
  const reference = beta > 0 ? await policy.logprobs(sequences, { temperature, reference: true }) : null;
  return kept.map(({ rollout, group, advantage }, i) => {
    const { transcript, record, reward } = rollout;
    const mask = lossMask(transcript, options);
    const mismatch = { sum: 0, tokens: 0, max: 0 };
    const old = transcript.tokens.map((_, t) => {
      const sampled = transcript.logprobs[t]!;
      const forced = current[i]![t]!;
      if (!Number.isNaN(sampled)) {
        const difference = Math.abs(forced - sampled);
        mismatch.sum += difference;
        mismatch.tokens++;
        mismatch.max = Math.max(mismatch.max, difference);
      }
      if (mask[t] === 0) return 0;
      return Number.isNaN(sampled) ? forced : sampled;
    });
    return {
      key: record.key,
      group,
      tokens: transcript.tokens,
      lossMask: mask,
      old,
      ref: reference ? transcript.tokens.map((_, t) => (mask[t] === 0 ? 0 : reference[i]![t]!)) : [],
      reward: reward.reward,
      success: reward.success,
      bonus: reward.bonus,
      advantage,
      completionTokens: transcript.turns.reduce((n, turn) => n + turn.end - turn.start, 0),
      clipped: transcript.turns.some((turn) => turn.finishReason === 'length'),
      mismatch,
    };
  });
}
