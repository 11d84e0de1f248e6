/** @file Learning-rate schedules at the places where they turn. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { scheduleFactor, scheduleNames } from './schedule.ts';

const curve = (name: (typeof scheduleNames)[number], total: number, warmup: number): number[] =>
  Array.from({ length: total }, (_, step) => scheduleFactor(name, step, total, warmup));

describe('scheduleFactor', () => {
  it('warms up, then falls to the end', () => {
    expect(curve('linear', 6, 2)).toEqual([0, 0.5, 1, 0.75, 0.5, 0.25]);
    expect(curve('constant_with_warmup', 4, 2)).toEqual([0, 0.5, 1, 1]);
    expect(curve('constant', 3, 2)).toEqual([1, 1, 1]);
    const cosine = curve('cosine', 4, 0);
    [1, 0.5 + Math.SQRT1_2 / 2, 0.5, 0.5 - Math.SQRT1_2 / 2].forEach((x, i) =>
      expect(cosine[i]).toBeCloseTo(x, 12),
    );
  });

  it('ends at 0, without a floor, and stays there', () => {
    for (const name of ['linear', 'cosine'] as const)
      for (const step of [10, 11, 1000]) expect(scheduleFactor(name, step, 10, 3)).toBeCloseTo(0, 12);
  });

  it('stays in [0, 1] and never rises after the warm-up', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...scheduleNames),
        fc.integer({ min: 1, max: 50 }),
        fc.nat(60),
        (name, total, warmup) => {
          const factors = curve(name, total, warmup);
          factors.forEach((f, step) => {
            expect(f).toBeGreaterThanOrEqual(0);
            expect(f).toBeLessThanOrEqual(1);
            if (step > warmup) expect(f).toBeLessThanOrEqual(factors[step - 1]!);
          });
        },
      ),
    );
  });
});
