/** @file How far numbers are from where they should be. */

function sameLength(a: ArrayLike<number>, b: ArrayLike<number>): void {
  if (a.length !== b.length) throw new RangeError(`${a.length} numbers against ${b.length}.`);
}

/** Largest |a − b|; Infinity when anything is NaN. */
export function absoluteError(a: ArrayLike<number>, b: ArrayLike<number>): number {
  sameLength(a, b);
  let worst = 0;
  for (let i = 0; i < a.length; i++) {
    const error = Math.abs(a[i]! - b[i]!);
    worst = Math.max(worst, Number.isNaN(error) ? Infinity : error);
  }
  return worst;
}

/** ‖a − b‖ / ‖b‖; ‖a‖ when b is 0; Infinity when anything is NaN. */
export function relativeNormError(a: ArrayLike<number>, b: ArrayLike<number>): number {
  sameLength(a, b);
  let difference = 0;
  let norm = 0;
  for (let i = 0; i < a.length; i++) {
    difference += (a[i]! - b[i]!) ** 2;
    norm += b[i]! ** 2;
  }
  if (Number.isNaN(difference)) return Infinity;
  return norm === 0 ? Math.sqrt(difference) : Math.sqrt(difference / norm);
}
