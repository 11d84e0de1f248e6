/**
 * @file The policy objective as data: ratio level, clip rule and aggregation are three independent settings. The same
 * object drives the float64 TypeScript (`policy_loss.ts`, tests and teaching) and the WGSL (`src/gpu/kernels/policy_loss.ts`).
 */

/**
 * Where the importance ratio r = exp(lp − old) is taken: per token, per sequence (`exp(Σ m(lp−old)/n)`, GSPO, with the
 * gradient of the sequence), or per item (the same over the tokens of one recommended item, Rank-GRPO).
 */
export type RatioLevel = 'token' | 'sequence' | 'item';

/** How a ratio and an advantage A become a per-token loss. */
export type ClipRule =
  /** `−min(min(r, δ)·A, clip(r, 1−eLow, 1+eHigh)·A)` */
  | { rule: 'clipped'; eLow: number; eHigh: number; delta?: number }
  /** `−sg(min(r, eHigh))·A·lp` */
  | { rule: 'cispo'; eHigh: number }
  /** `−(4/τ)·σ(τ(r−1))·A`, τ by the sign of A */
  | { rule: 'sapo'; tauPositive: number; tauNegative: number }
  /**
   * `−sg(φ(w))·A·lp`, φ(w) = exp(λ + k·ln w − λ·w) with w = exp(Σ m(lp−old)) of the whole sequence (VESPO: variational
   * sequence weights, φ(1) = 1); parameters (k, λ) by the sign of A. The ratio level does not enter.
   */
  | { rule: 'vespo'; kPositive: number; lambdaPositive: number; kNegative: number; lambdaNegative: number }
  /**
   * `−keep·r·A + klTau·(ln r)²`; a token is not kept when its probability moved further than a limit in the direction
   * A pushes: `p − p_old > maskHigh` for A > 0, `< −maskLow` for A < 0 (DPPO's binary TV mask with Kimi's squared log
   * ratio, as prime-rl trains).
   */
  | { rule: 'dppo'; maskLow: number; maskHigh: number; klTau: number };

/** How per-token losses `l` become one number; m = loss mask, n_i = Σ_t m. */
export type Aggregation =
  /**
   * mean over sequences of `Σ_t l·m / max(n_i, 1)`; a fully masked sequence stays in the mean (grpo, sapo) unless
   * `dropEmpty` takes it out of the denominator (verl, OpenRLHF).
   */
  | { rule: 'sequence_mean'; dropEmpty?: boolean }
  /**
   * `Σ l·m / Σ m` over the tokens of the mini-batch, i.e. of one optimizer step, so that the result does not depend on
   * the split into micro-batches (bnpo)
   */
  | { rule: 'token_mean' }
  /** `Σ l·m / (B · length)` (dr_grpo) */
  | { rule: 'constant'; length: number }
  /** `Σ l·m / tokens of the whole optimizer step` (dapo, cispo) */
  | { rule: 'step_tokens' }
  /** mean over sequences of `Σ_t l·m` (luspo; verl's seq-mean-token-sum) */
  | { rule: 'sequence_sum' }
  /** `Σ l·m / length`, however many sequences there are (verl's seq-mean-token-sum-norm) */
  | { rule: 'sum_over_length'; length: number };

export type KlEstimator = 'k1' | 'k2' | 'k3';

/**
 * Correction for a sampler whose log-probs differ from the trainer's: the loss (not the KL) is multiplied by
 * `exp(old − sampler)` of the token, or by `exp(Σ m(old − sampler))` of the sequence. VESPO takes it into w instead.
 */
export interface ImportanceCorrection {
  level: 'token' | 'sequence';
  /** `truncate`: min(w, max); `mask`: 0 outside [min, max]. */
  mode: 'truncate' | 'mask';
  max: number;
  min?: number;
}

/** Everything that defines a policy-gradient loss. */
export interface PolicyObjective {
  kind: 'policy';
  ratioLevel: RatioLevel;
  clip: ClipRule;
  aggregation: Aggregation;
  /** β, weight of the KL term; 0 = no KL. */
  beta: number;
  klEstimator: KlEstimator;
  /** Multiply the KL by the importance ratio r, gradient included (bias-corrected KL, DeepSeek-V3.2). */
  klImportance?: boolean;
  /** What the ratio divides by: log-probs at rollout time, or the sampler's own record (prime-rl). Default `old`. */
  ratioBase?: 'old' | 'sampler';
  /** Logits are divided by it before the log-softmax. */
  temperature: number;
  /**
   * Off-policy sequence mask: drop tokens with A < 0 of sequences whose mean (old − lp) exceeds this; the sampler's
   * log-probs stand for `old` where they are known (DeepSeek-V3.2).
   */
  offPolicyMask?: number;
  /** Keep only the ρ share of loss tokens with the highest entropy (at or above the (1−ρ) quantile of the step). */
  entropyTopShare?: number;
  importance?: ImportanceCorrection;
}

/** One sequence of a policy loss. Arrays are [T] and aligned; places where `mask` is 0 are never read. */
export interface LossSequence {
  /** Log-probs under the current policy. */
  logprobs: ArrayLike<number>;
  /** Loss mask m: 1 = the policy wrote this token and is trained on it. */
  mask: ArrayLike<number>;
  /** One number, or one a token (item-level credit). */
  advantage: number | ArrayLike<number>;
  /** Log-probs at rollout time; absent = the current ones (ratio 1, gradient kept). */
  old?: ArrayLike<number>;
  /** Log-probs under the reference; absent = no KL. */
  ref?: ArrayLike<number>;
  /** Log-probs the sampler recorded. */
  sampler?: ArrayLike<number>;
  /** Entropy of the predicted distribution, for the entropy mask. */
  entropies?: ArrayLike<number>;
  /** Item number of each token, for ratio level `item`. */
  segments?: ArrayLike<number>;
}

/** What the denominators of a whole optimizer step are, so that micro-batches add up to it. */
export interface StepTotals {
  /** Sequences in the step. */
  sequences: number;
  /** Sequences with at least one loss token. */
  nonEmptySequences: number;
  /** Loss tokens in the step. */
  tokens: number;
  /** Entropy at or above which a token counts, when the objective has `entropyTopShare`. */
  entropyThreshold: number;
}

/** A policy loss's arguments: some sequences, and the totals of the step they belong to (default: they are the step). */
export interface LossInputs {
  sequences: readonly LossSequence[];
  totals?: StepTotals;
}

/** A policy loss's results; arrays are one a sequence, [T]; 0 (ratio 1) where the mask is 0. */
export interface LossOutputs {
  /** The scalar that is minimised (this micro-batch's part of it). */
  value: number;
  /** ∂value/∂logprobs. */
  gradients: Float64Array[];
  /** Per-token loss before aggregation, KL included. */
  losses: Float64Array[];
  /** Importance ratio at the objective's level. */
  ratios: Float64Array[];
  /** Per-token KL estimate against the reference, before β. */
  kls: Float64Array[];
  /** −1 stopped below, +1 stopped above, 0 free (TRL's definition: only where the clip stops the gradient). */
  clipped: Int8Array[];
}
