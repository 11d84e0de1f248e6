/** @file Means, deviations and quantiles that know about missing values (NaN). */

/** The numbers that are not NaN. */
export function known(values: ArrayLike<number>): number[] {
  return Array.from(values).filter((v) => !Number.isNaN(v));
}

/** Arithmetic mean; NaN of nothing. */
export function mean(values: readonly number[]): number {
  return values.reduce((a, b) => a + b, 0) / values.length;
}

/**
 * Standard deviation with `ddof` degrees of freedom taken off (1 = sample, 0 = population). 0 for fewer than two values,
 * and exactly 0 when all are equal, whatever rounding the mean suffered.
 */
export function standardDeviation(values: readonly number[], ddof: 0 | 1): number {
  if (values.length < 2 || values.every((v) => v === values[0])) return 0;
  const m = mean(values);
  return Math.sqrt(values.reduce((a, v) => a + (v - m) ** 2, 0) / (values.length - ddof));
}

/** The q-quantile (0 ≤ q ≤ 1) with linear interpolation between neighbours, as numpy and torch do by default. */
export function quantile(values: readonly number[], q: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  const at = q * (sorted.length - 1);
  const low = Math.floor(at);
  const high = Math.min(low + 1, sorted.length - 1);
  return sorted[low]! + (at - low) * (sorted[high]! - sorted[low]!);
}
