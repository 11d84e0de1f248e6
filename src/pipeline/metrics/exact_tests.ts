/** @file Exact paired tests: McNemar's on yes/no outcomes, the sign test on differences. Both are a fair coin's two-sided tail. */

/**
 * Two-sided p of a fair coin showing at most `min(a, b)` or at least `max(a, b)` heads in `a + b` throws; 1 without throws.
 * With the counts of discordant pairs this is McNemar's exact test, with those of positive and negative differences the sign test.
 */
export function signTest(a: number, b: number): number {
  const n = a + b;
  if (n === 0) return 1;
  const logHalf = n * Math.log(0.5);
  let logChoose = 0;
  let tail = 0;
  for (let k = 0; k <= Math.min(a, b); k++) {
    if (k > 0) logChoose += Math.log((n - k + 1) / k);
    tail += Math.exp(logChoose + logHalf);
  }
  return Math.min(1, 2 * tail);
}
