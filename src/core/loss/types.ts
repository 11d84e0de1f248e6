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
  /** Variational sequence weights; parameters (k, λ) by the sign of A. */
  | { rule: 'vespo'; kPositive: number; lambdaPositive: number; kNegative: number; lambdaNegative: number };

/** How per-token losses `l` become one number; m = loss mask, n_i = Σ_t m. */
export type Aggregation =
  /** mean over sequences of `Σ_t l·m / max(n_i, 1)`; a fully masked sequence stays in the mean (grpo, sapo) */
  | { rule: 'sequence_mean' }
  /** `Σ l·m / Σ m` over the tokens of the micro-batch (bnpo) */
  | { rule: 'token_mean' }
  /** `Σ l·m / (B · length)` (dr_grpo) */
  | { rule: 'constant'; length: number }
  /** `Σ l·m / tokens of the whole optimizer step` (dapo, cispo) */
  | { rule: 'step_tokens' }
  /** mean over sequences of `Σ_t l·m` (luspo; verl's seq-mean-token-sum) */
  | { rule: 'sequence_sum' };

export type KlEstimator = 'k1' | 'k2' | 'k3';

/** Correction for a sampler whose log-probs differ from the trainer's: weight `exp(old − sampler)`. */
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
  /** Multiply the KL by the importance ratio (bias-corrected KL). */
  klImportance?: boolean;
  /** Logits are divided by it before the log-softmax. */
  temperature: number;
  /** Off-policy sequence mask: drop sequences with A < 0 whose mean (old − lp) exceeds this. */
  offPolicyMask?: number;
  /** Keep only the ρ share of masked tokens with the highest entropy. */
  entropyTopShare?: number;
  importance?: ImportanceCorrection;
}
