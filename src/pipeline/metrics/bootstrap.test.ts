import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Rng } from '../../core/random.ts';
import { bootstrapIntervals, bootstrapValues, percentiles } from './bootstrap.ts';
import { signTest } from './exact_tests.ts';

const mean = (values: readonly number[]) => ({ numerators: values, denominators: values.map(() => 1) });
const names = (n: number) => Array.from({ length: n }, (_, i) => String(i));

describe('bootstrap', () => {
  it('is the same for the same seed, another for another', () => {
    const data = [mean(Array.from({ length: 30 }, (_, i) => i % 7))];
    const of = (seed: number) => bootstrapIntervals(data, names(30), { seed });
    expect(of(1)).toEqual(of(1));
    expect(of(1)).not.toEqual(of(2));
  });

  it('stays within the data and puts the low end first', () => {
    fc.assert(
      fc.property(
        fc.array(fc.double({ min: -5, max: 5, noNaN: true }), { minLength: 1, maxLength: 30 }),
        (values) => {
          const [interval] = bootstrapIntervals([mean(values)], names(values.length), { samples: 50 });
          expect(interval![0]).toBeGreaterThanOrEqual(Math.min(...values) - 1e-9);
          expect(interval![1]).toBeLessThanOrEqual(Math.max(...values) + 1e-9);
          expect(interval![0]).toBeLessThanOrEqual(interval![1]);
        },
      ),
    );
  });

  it('has the standard error of a mean', () => {
    const rng = new Rng(3);
    const values = Array.from({ length: 400 }, () => (rng.chance(0.3) ? 1 : 0));
    const p = values.reduce<number>((a, b) => a + b, 0) / 400;
    const [sample] = bootstrapValues([mean(values)], names(400), { samples: 2000, seed: 5 });
    const centre = sample!.reduce((a, b) => a + b, 0) / 2000;
    const error = Math.sqrt(sample!.reduce((a, b) => a + (b - centre) ** 2, 0) / 2000);
    expect(centre).toBeCloseTo(p, 2);
    expect(error / Math.sqrt((p * (1 - p)) / 400)).toBeGreaterThan(0.93);
    expect(error / Math.sqrt((p * (1 - p)) / 400)).toBeLessThan(1.07);
  });

  it('draws whole dialogues: rows that belong together do not add certainty', () => {
    const values = Array.from({ length: 40 }, (_, i) => i % 2);
    const four = [...values, ...values, ...values, ...values];
    const together = Array.from({ length: 160 }, (_, i) => String(i % 40));
    expect(bootstrapIntervals([mean(four)], together, { seed: 9 })).toEqual(
      bootstrapIntervals([mean(values)], names(40), { seed: 9 }),
    );
  });

  it('covers the truth about as often as it says', () => {
    let covered = 0;
    for (let run = 0; run < 200; run++) {
      const rng = new Rng(run);
      const values = Array.from({ length: 60 }, () => (rng.chance(0.4) ? 1 : 0));
      const [interval] = bootstrapIntervals([mean(values)], names(60), { samples: 200, seed: run });
      if (interval![0] <= 0.4 && 0.4 <= interval![1]) covered++;
    }
    expect(covered).toBeGreaterThan(175);
  });

  it('says nothing where nothing was measured', () => {
    expect(bootstrapIntervals([{ numerators: [0, 0], denominators: [0, 0] }], names(2))).toEqual([null]);
    expect(percentiles([NaN], 0.95)).toBeNull();
    expect(percentiles([3, 1, 2], 1)).toEqual([1, 3]);
  });
});

describe('signTest', () => {
  it.each([
    [0, 0, 1],
    [0, 1, 1],
    [0, 5, 0.0625],
    [1, 9, 0.021484375],
    [5, 5, 1],
    [10, 20, 0.0987371466],
  ])('of %i and %i is %d', (a, b, p) => {
    expect(signTest(a, b)).toBeCloseTo(p, 9);
    expect(signTest(b, a)).toBeCloseTo(p, 9);
  });

  it('is a probability, and falls as the difference grows', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 2000 }), fc.integer({ min: 0, max: 1999 }), (n, k) => {
        const small = Math.min(k % n, n - (k % n));
        const p = signTest(small, n - small);
        expect(p >= 0 && p <= 1).toBe(true);
        if (small > 0) expect(signTest(small - 1, n - small + 1)).toBeLessThanOrEqual(p);
      }),
    );
  });
});
