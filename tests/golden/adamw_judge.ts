/**
 * @file Judging weights after AdamW steps. Where a gradient is rounding noise, AdamW's step is noise of full size: see
 * tolerances.ts for the rule applied here.
 */
import type { Tolerances } from './tolerances.ts';

export interface AdamWJudgement {
  /** ‖actual − expected‖ / ‖expected‖ over the entries above the noise floor. */
  worst: number;
  /** Entries below the floor, and the share of the tensor they are. */
  noisy: number;
  share: number;
  /** Largest |actual − expected| among them. */
  noisyWorst: number;
  /** Whether all three are within their bounds. */
  passed: boolean;
}

/**
 * Judge one tensor. `gradient` is the golden gradient of the first step, `reach` = steps · learning rate, the farthest that
 * AdamW can carry a weight. Throws `RangeError` when the lengths differ.
 */
export function judgeAdamW(
  actual: Float32Array,
  expected: Float32Array,
  gradient: Float32Array,
  reach: number,
  tolerance: Tolerances,
): AdamWJudgement {
  const n = expected.length;
  if (actual.length !== n || gradient.length !== n)
    throw new RangeError(
      `Tensors of ${actual.length}, ${n} and ${gradient.length} entries cannot be compared.`,
    );
  const rms = Math.sqrt(gradient.reduce((sum, g) => sum + g * g, 0) / n);
  const floor = tolerance.gradient * rms;
  let off = 0;
  let norm = 0;
  let noisy = 0;
  let noisyWorst = 0;
  for (let i = 0; i < n; i++) {
    const d = Math.abs(actual[i]! - expected[i]!);
    if (Math.abs(gradient[i]!) < floor) {
      noisy++;
      noisyWorst = Math.max(noisyWorst, Number.isNaN(d) ? Infinity : d);
    } else {
      off += d * d;
      norm += expected[i]! ** 2;
    }
  }
  const worst = Number.isNaN(off) ? Infinity : off === 0 ? 0 : Math.sqrt(off / norm);
  const share = noisy / n;
  const passed =
    worst <= tolerance.weights &&
    noisy <= tolerance.noisyCount + tolerance.noisyShare * n &&
    noisyWorst <= reach;
  return { worst, noisy, share, noisyWorst, passed };
}
