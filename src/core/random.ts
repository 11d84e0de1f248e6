/**
 * @file Seeded randomness. `hash32` is a counter-based generator (the same function exists in WGSL, see
 * `src/gpu/kernels/random.ts`); `Rng` is a small stateful stream whose state is one number and can be saved.
 */

/** One round of the PCG output permutation on 32 bits (RXS-M-XS; M. E. O'Neill, 2014). */
export function pcg32(value: number): number {
  const state = (Math.imul(value, 747796405) + 2891336453) >>> 0;
  const word = Math.imul(((state >>> ((state >>> 28) + 4)) ^ state) >>> 0, 277803737) >>> 0;
  return ((word >>> 22) ^ word) >>> 0;
}

/** Hash any number of 32-bit integers to one uniform 32-bit integer, order-sensitive. */
export function hash32(...values: number[]): number {
  let h = 0;
  for (const v of values) h = pcg32((h ^ (v >>> 0)) >>> 0);
  return h;
}

/** Hash a string to 32 bits (FNV-1a), to derive seeds from names. */
export function hashString(text: string): number {
  let h = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193) >>> 0;
  return h >>> 0;
}

/** Uniform float in (0, 1) from 32 random bits: 24 bits, never exactly 0 or 1. */
export function toUnit(bits: number): number {
  return ((bits >>> 8) + 0.5) / 16777216;
}

/** A seeded stream of random numbers. `state` (one 32-bit counter beside the seed) restores it exactly. */
export class Rng {
  /** How many numbers were drawn; save and restore this to resume the stream. */
  counter = 0;
  constructor(readonly seed: number) {}

  /** Uniform float in (0, 1). */
  next(): number {
    return toUnit(hash32(this.seed, this.counter++));
  }
  /** Uniform integer in [0, n). */
  int(n: number): number {
    return Math.min(n - 1, Math.floor(this.next() * n));
  }
  /** True with probability p. */
  chance(p: number): boolean {
    return this.next() < p;
  }
  /** One element of a non-empty array. */
  pick<T>(items: readonly T[]): T {
    if (items.length === 0) throw new RangeError('Rng.pick needs a non-empty array.');
    return items[this.int(items.length)]!;
  }
  /** A shuffled copy (Fisher–Yates). */
  shuffle<T>(items: readonly T[]): T[] {
    const out = [...items];
    for (let i = out.length - 1; i > 0; i--) {
      const j = this.int(i + 1);
      [out[i], out[j]] = [out[j]!, out[i]!];
    }
    return out;
  }
  /** A new independent stream named by integers or strings: same names, same stream. */
  fork(...names: (number | string)[]): Rng {
    return new Rng(hash32(this.seed, ...names.map((n) => (typeof n === 'string' ? hashString(n) : n))));
  }
}
