/** @file The supervised loss over log-probs of the target tokens: plain cross-entropy, or Dynamic Fine-Tuning. */
import { countLossTokens } from './aggregation.ts';

export interface SftLossOutputs {
  value: number;
  /** ∂value/∂logprobs, one a sequence, [T]. */
  gradients: Float64Array[];
  /** Supervised tokens seen here. */
  tokens: number;
}

/** Log-probs of the target tokens and which of them are supervised; both [T]. Masked places are never read. */
export interface SftSequence {
  logprobs: ArrayLike<number>;
  mask: ArrayLike<number>;
}

/**
 * `Σ −lp / tokens` over supervised tokens; `dft` weights each token by its own detached probability, `Σ −sg(p)·lp/tokens`
 * (Wu et al., 2025). `tokens` is the number of supervised tokens of the **whole optimizer step**, so that micro-batches
 * add up; default: those given here.
 */
export function sftLoss(
  sequences: readonly SftSequence[],
  kind: 'nll' | 'dft' = 'nll',
  tokens: number = sequences.reduce((n, s) => n + countLossTokens(s.mask), 0),
): SftLossOutputs {
  const denominator = Math.max(tokens, 1);
  let value = 0;
  let seen = 0;
  const gradients = sequences.map(({ logprobs, mask }) => {
    const gradient = new Float64Array(mask.length);
    for (let t = 0; t < mask.length; t++) {
      if (mask[t] === 0) continue;
      const lp = logprobs[t]!;
      const weight = (kind === 'dft' ? Math.exp(lp) : 1) / denominator;
      value -= weight * lp;
      gradient[t] = -weight;
      seen++;
    }
    return gradient;
  });
  return { value, gradients, tokens: seen };
}
