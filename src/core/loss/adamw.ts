/** @file AdamW with global norm clipping in float64: the reference that `src/gpu/kernels` is held to. */

/** One optimizer's settings. */
export interface AdamWOptions {
  learningRate: number;
  /** Default (0.9, 0.999). */
  betas?: readonly [number, number];
  /** Default 1e-8. */
  eps?: number;
  /** Decoupled: the weight itself shrinks by lr·weightDecay. Default 0. */
  weightDecay?: number;
}

/** Moments of one parameter array, and the number of steps taken. */
export interface AdamWState {
  step: number;
  m: Float64Array;
  v: Float64Array;
}

export const createAdamWState = (size: number): AdamWState => ({
  step: 0,
  m: new Float64Array(size),
  v: new Float64Array(size),
});

/** Global 2-norm of several gradient arrays. */
export function gradientNorm(gradients: Iterable<ArrayLike<number>>): number {
  let sum = 0;
  for (const g of gradients) for (let i = 0; i < g.length; i++) sum += g[i]! * g[i]!;
  return Math.sqrt(sum);
}

/** The factor that clips a gradient of this norm: `min(1, max/(norm + 1e-6))`; 1 when `maxNorm` is 0 or absent. */
export function clipCoefficient(norm: number, maxNorm = 0): number {
  return maxNorm > 0 ? Math.min(1, maxNorm / (norm + 1e-6)) : 1;
}

/**
 * One step in place (Loshchilov & Hutter, 2019; PyTorch's order): decay, moments of `scale·gradient`, bias correction,
 * `x −= lr · m̂ / (√v̂ + eps)`.
 */
export function adamWStep(
  weights: Float64Array,
  gradient: ArrayLike<number>,
  state: AdamWState,
  options: AdamWOptions,
  scale = 1,
): void {
  const { learningRate, betas: [beta1, beta2] = [0.9, 0.999], eps = 1e-8, weightDecay = 0 } = options;
  state.step++;
  const correction1 = 1 - beta1 ** state.step;
  const correction2 = 1 - beta2 ** state.step;
  for (let i = 0; i < weights.length; i++) {
    const g = gradient[i]! * scale;
    const m = (state.m[i] = beta1 * state.m[i]! + (1 - beta1) * g);
    const v = (state.v[i] = beta2 * state.v[i]! + (1 - beta2) * g * g);
    weights[i] =
      weights[i]! * (1 - learningRate * weightDecay) -
      (learningRate * (m / correction1)) / (Math.sqrt(v / correction2) + eps);
  }
}
