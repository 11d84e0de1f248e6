/** @file What a GRPO checkpoint holds beside the engine's state: how far the run is, and the half-collected batch. */
import * as v from 'valibot';
import { countersSchema } from './counters.ts';

const numbers = v.array(v.number());

/** A kept rollout that waits for its update. Per-token arrays are [T] and aligned with `tokens`. */
export const pendingSchema = v.object({
  key: v.string(),
  /** Number of the group in the run. */
  group: v.number(),
  tokens: numbers,
  lossMask: numbers,
  /** Log-probs at rollout time; 0 outside the mask. */
  old: numbers,
  /** Log-probs under the reference; empty when β = 0. */
  ref: numbers,
  reward: v.number(),
  /** Parts of the reward. */
  success: v.number(),
  bonus: v.number(),
  advantage: v.number(),
  /** Tokens of the recommender, and whether its last turn ran out of length. */
  completionTokens: v.number(),
  clipped: v.boolean(),
  /** |teacher-forced − sampled| over the sampled tokens: sum, number, largest. */
  mismatch: v.object({ sum: v.number(), tokens: v.number(), max: v.number() }),
});
export type Pending = v.InferOutput<typeof pendingSchema>;

export const grpoStateSchema = v.object({
  stage: v.literal('grpo'),
  /** Optimizer steps made. */
  step: v.number(),
  /** Updates (collected batches) made. */
  updates: v.number(),
  /** Dialogues visited, counted over the epochs; the next one to visit. */
  cursor: v.number(),
  /** Groups made. */
  groups: v.number(),
  /** Tokens trained on. */
  numTokens: v.number(),
  logPosition: v.number(),
  /** Fingerprint of the data. */
  data: v.number(),
  /** The reference on the probe sequences. */
  probe: numbers,
  pending: v.array(pendingSchema),
  counters: countersSchema,
});
export type GrpoState = v.InferOutput<typeof grpoStateSchema>;
