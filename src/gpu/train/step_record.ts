/** @file What a training step did to every token, and the metrics read from it (TRL's names), in f64 on the host. */
import { policyMetrics } from '../../core/loss/metrics.ts';
import type { Objective, TokenReport, TrainSequence } from '../../core/policy.ts';

/** Arrays are one a sequence, [T]; 0 outside the loss mask. */
export interface StepRecord {
  loss: number;
  /** Tokens in the loss. */
  lossTokens: number;
  /** All tokens of the batch. */
  tokens: number;
  masks: readonly Uint8Array[];
  logprobs: Float32Array[];
  entropies: Float32Array[];
  correct: Float32Array[];
  samplers: (ArrayLike<number> | undefined)[];
  /** Policy objectives only. */
  policy: {
    losses: Float32Array[];
    ratios: Float32Array[];
    kls: Float32Array[];
    clipped: Int8Array[];
  } | null;
  /** The batch has reference log-probs, so that the KL means something. */
  hasReference: boolean;
}

/** A record to be filled. */
export function emptyRecord(
  batch: readonly TrainSequence[],
  masks: readonly Uint8Array[],
  objective: Objective,
): StepRecord {
  const arrays = () => batch.map((s) => new Float32Array(s.tokens.length));
  return {
    loss: 0,
    lossTokens: masks.reduce((sum, mask) => sum + mask.reduce((a, b) => a + b, 0), 0),
    tokens: batch.reduce((sum, s) => sum + s.tokens.length, 0),
    masks,
    logprobs: arrays(),
    entropies: arrays(),
    correct: arrays(),
    samplers: batch.map((s) => s.samplerLogprobs),
    policy: objective.kind === 'policy' ? { losses: [], ratios: [], kls: [], clipped: [] } : null,
    hasReference: batch.every((s) => s.refLogprobs),
  };
}

/** `loss`, `num_tokens`, `entropy`, `mean_token_accuracy`, and for policy objectives `kl`, `clip_ratio/…`, `sampling/…`. */
export function recordMetrics(record: StepRecord): Record<string, number> {
  const { policy } = record;
  const records = record.masks.map((mask, i) => ({
    mask,
    logprobs: record.logprobs[i]!,
    entropies: record.entropies[i]!,
    ...(policy && { clipped: policy.clipped[i]! }),
    ...(policy && record.hasReference && { kls: policy.kls[i]! }),
    ...(record.samplers[i] && { sampler: record.samplers[i] }),
  }));
  let hits = 0;
  record.correct.forEach((correct) => correct.forEach((c) => (hits += c)));
  return {
    loss: record.loss,
    num_tokens: record.tokens,
    mean_token_accuracy: hits / Math.max(1, record.lossTokens),
    ...policyMetrics(records),
  };
}

/** The record as `trainStep` reports it. */
export function tokenReports(record: StepRecord): TokenReport[] {
  const { policy } = record;
  return record.logprobs.map((logprobs, i) => ({
    logprobs,
    entropies: record.entropies[i]!,
    ...(policy && {
      losses: policy.losses[i]!,
      ratios: policy.ratios[i]!,
      kls: policy.kls[i]!,
      clipped: policy.clipped[i]!,
    }),
  }));
}
