/** @file Random arguments of a policy loss for tests: odd lengths, ragged masks, all optional arrays, noise where masked. */
import { Rng } from '../../src/core/random.ts';
import type { LossInputs } from '../../src/core/loss/types.ts';

/**
 * Sequences of the given lengths. Ratios stay near 1 but cross the usual clip ranges; `maskedRows` have no loss token;
 * masked places hold ±`filler` (default 1e4).
 */
export function randomLossInputs(
  seed: number,
  options: { lengths: readonly number[]; maskedRows?: readonly number[]; filler?: number },
): LossInputs {
  const rng = new Rng(seed);
  const { lengths, maskedRows = [], filler = 1e4 } = options;
  const normal = (): number => Math.sqrt(-2 * Math.log(rng.next())) * Math.cos(2 * Math.PI * rng.next());
  return {
    sequences: lengths.map((T, b) => {
      const mask = Array.from({ length: T }, () =>
        maskedRows.includes(b) ? 0 : rng.chance(0.7) || T === 1 ? 1 : 0,
      );
      const sign = (): number => (rng.chance(0.5) ? filler : -filler);
      const where = (values: number[]): number[] => {
        const fillers = values.map(sign);
        return values.map((x, t) => (mask[t] === 1 ? x : fillers[t]!));
      };
      const logprobs = Array.from({ length: T }, () => -0.05 - 4 * rng.next());
      const near = (values: readonly number[], spread: number): number[] =>
        values.map((x) => x + spread * normal());
      const old = near(logprobs, 0.2);
      return {
        mask,
        logprobs: where(logprobs),
        old: where(old),
        ref: where(near(logprobs, 0.3)),
        sampler: where(near(old, 0.05)),
        entropies: where(logprobs.map(() => 2 * rng.next())),
        segments: Array.from({ length: T }, (_, t) => Math.floor(t / 5) % 4),
        advantage: b % 2 === 0 ? normal() : Array.from({ length: T }, normal),
      };
    }),
  };
}
