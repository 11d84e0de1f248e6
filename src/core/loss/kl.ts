/** @file Per-token estimators of KL(policy ‖ reference) from the sampled token alone (J. Schulman, "Approximating KL divergence"). */
import type { KlEstimator } from './types.ts';

/** An estimate and its derivative with respect to the policy's log-prob. */
export interface KlEstimate {
  kl: number;
  /** ∂kl/∂lp */
  slope: number;
}

/**
 * Estimate from `d = ref − lp`: k1 = −d, k2 = d²/2, k3 = e^d − d − 1 (never negative, low variance; by its series near 0,
 * where the difference would cancel).
 */
export function klEstimate(estimator: KlEstimator, logprob: number, ref: number): KlEstimate {
  const d = ref - logprob;
  switch (estimator) {
    case 'k1':
      return { kl: -d, slope: 1 };
    case 'k2':
      return { kl: (d * d) / 2, slope: -d };
    case 'k3':
      return {
        kl: Math.abs(d) < 1e-4 ? d * d * (1 / 2 + d / 6 + (d * d) / 24) : Math.expm1(d) - d,
        slope: -Math.expm1(d),
      };
  }
}
