/** @file DAPO's soft overlong punishment: a reward term that grows as a completion nears its length limit. */

/**
 * 0 up to `maxLength − buffer` tokens, falling linearly to −1 at `maxLength`, −1 beyond (DAPO, 2025, eq. 13). Added to
 * the reward.
 */
export function softOverlongPenalty(length: number, maxLength: number, buffer: number): number {
  const free = maxLength - buffer;
  if (length <= free) return 0;
  return length > maxLength ? -1 : (free - length) / buffer;
}
