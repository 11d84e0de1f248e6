/** @file Edit distance with transpositions (optimal string alignment), stopped as soon as it exceeds a limit. */

/**
 * Insertions, deletions, substitutions and swaps of neighbours that turn `a` into `b`; `limit + 1` when there are more
 * than `limit`. O(|a|·limit) time by the band around the diagonal.
 */
export function editDistance(a: string, b: string, limit: number): number {
  const n = a.length;
  const m = b.length;
  if (Math.abs(n - m) > limit) return limit + 1;
  const tooFar = limit + 1;
  let before = new Array<number>(m + 1).fill(tooFar);
  let previous = Array.from({ length: m + 1 }, (_, j) => Math.min(j, tooFar));
  let current = new Array<number>(m + 1).fill(tooFar);
  for (let i = 1; i <= n; i++) {
    current.fill(tooFar);
    if (i <= limit) current[0] = i;
    let best = current[0]!;
    for (let j = Math.max(1, i - limit); j <= Math.min(m, i + limit); j++) {
      const same = a[i - 1] === b[j - 1];
      let d = Math.min(previous[j]! + 1, current[j - 1]! + 1, previous[j - 1]! + (same ? 0 : 1));
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1])
        d = Math.min(d, before[j - 2]! + 1);
      current[j] = Math.min(d, tooFar);
      if (d < best) best = d;
    }
    if (best > limit) return tooFar;
    [before, previous, current] = [previous, current, before];
  }
  return previous[m]!;
}
