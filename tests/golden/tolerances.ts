/**
 * @file How far from the golden values (transformers + PEFT in float64) the engine may be, per precision level.
 *
 * AdamW magnifies noise where a gradient is near zero: its first step is lr·g/|g|, so an entry whose gradient is rounding
 * noise may move by +lr here and by −lr there. An entry of a weight tensor therefore counts in the relative norm only
 * if its first golden gradient is above the noise floor: the gradient tolerance × the tensor's root mean square gradient,
 * below which a gradient within tolerance may have either sign. The entries below it (at most `noisyShare` of a tensor
 * plus `noisyCount`, or the check fails) are held to the absolute bound steps · lr instead, as far as AdamW carries a
 * weight in that many steps.
 */

export type Precision = 'f32' | 'f16';

export interface Tolerances {
  /** Absolute. */
  logits: number;
  /** Absolute; log-probs, per-token entropies, mean KL. */
  logprobs: number;
  /** Relative. */
  loss: number;
  /** Relative, in the norm of a tensor. */
  gradient: number;
  /** Relative, of the global gradient norm that a step reports. */
  gradientNorm: number;
  /** Relative, in the norm of a tensor, after the golden AdamW steps. */
  weights: number;
  noisyShare: number;
  noisyCount: number;
  /** Absolute, of policy losses of `grpo_losses.json` computed on the GPU, and their gradients. */
  policyLoss: number;
  /** Whether greedy and beam outputs must be identical. */
  identicalGeneration: boolean;
}

export const tolerances: Record<Precision, Tolerances> = {
  f32: {
    logits: 2e-4,
    logprobs: 2e-4,
    loss: 1e-5,
    gradient: 2e-4,
    gradientNorm: 2e-4,
    weights: 2e-4,
    noisyShare: 5e-3,
    noisyCount: 2,
    policyLoss: 1e-4,
    identicalGeneration: true,
  },
  // f16 has 11 significant bits: rounding a weight moves it by up to 5e-4 of itself, and all of a model's weights meet in
  // a logit. (A checkpoint stored in f16 loses nothing and stays within the f32 figures.)
  f16: {
    logits: 5e-2,
    logprobs: 3e-2,
    loss: 2e-3,
    gradient: 3e-2,
    gradientNorm: 1e-2,
    weights: 5e-3,
    noisyShare: 1e-1,
    noisyCount: 8,
    policyLoss: 1e-4,
    identicalGeneration: false,
  },
};
