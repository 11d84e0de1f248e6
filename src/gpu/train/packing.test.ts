import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { bucket, pack, placeOf, planPacks } from './packing.ts';

/** Sequences over two tokens, so that long common prefixes are frequent; some are copies of others with another end. */
const batches = fc
  .array(fc.array(fc.integer({ min: 0, max: 1 }), { minLength: 1, maxLength: 12 }), {
    minLength: 1,
    maxLength: 12,
  })
  .map((tails) =>
    tails.map((tail, i) => [
      ...Array.from({ length: i % 3 === 0 ? 0 : 9 + (i % 2) }, (_, t) => t % 3),
      ...tail,
    ]),
  );

describe('packing', () => {
  it('lets every token see exactly its own past, whatever is shared', () => {
    fc.assert(
      fc.property(batches, fc.integer({ min: 1, max: 60 }), fc.boolean(), (sequences, budget, share) => {
        const shareable = sequences.map((s) => s.length - 1);
        const parts = planPacks(sequences, budget, share ? shareable : undefined);
        const seen = parts.flatMap((groups) => groups.flatMap((g) => g.members));
        expect([...seen].sort((a, b) => a - b)).toEqual(sequences.map((_, i) => i));
        if (!share) expect(seen).toEqual(sequences.map((_, i) => i));
        for (const groups of parts) {
          const batch = pack(sequences, groups);
          const keysOf = (n: number) => {
            const keys: number[] = [];
            for (let j = batch.prefixes[2 * n]!; j < batch.prefixes[2 * n + 1]!; j++) keys.push(j);
            for (let j = batch.starts[n]!; j <= n; j++) keys.push(j);
            return keys;
          };
          for (const member of batch.members) {
            const tokens = sequences[member.index]!;
            tokens.forEach((token, t) => {
              const n = placeOf(member, t);
              expect(batch.tokens[n]).toBe(token);
              expect(batch.positions[n]).toBe(t);
              expect(keysOf(n)).toEqual(tokens.slice(0, t + 1).map((_, s) => placeOf(member, s)));
            });
          }
          // A key is walked over by the queries that see it: n … ends[n] must cover them.
          for (let n = 0; n < batch.used; n++)
            for (const j of keysOf(n)) expect(n < batch.ends[j]! && n >= j).toBe(true);
          expect(batch.used <= budget || batch.members.length === 1).toBe(true);
          expect(batch.tokens.length).toBe(bucket(batch.used));
        }
      }),
    );
  });

  it('computes the prompt of a group once', () => {
    const prompt = Array.from({ length: 100 }, (_, t) => t);
    const group = Array.from({ length: 8 }, (_, i) => [...prompt, 200 + i, 7, 7]);
    const [groups, ...others] = planPacks(
      group,
      1000,
      group.map(() => 99),
    );
    expect(others).toEqual([]);
    expect(groups).toEqual([{ prefixLength: 99, members: [0, 1, 2, 3, 4, 5, 6, 7] }]);
    expect(pack(group, groups!).used).toBe(99 + 8 * 4);
  });

  it('keeps at most an eighth of filling', () => {
    for (let n = 1; n < 5000; n += 7) {
      expect(bucket(n)).toBeGreaterThanOrEqual(n);
      expect(bucket(n) % 64).toBe(0);
      if (n > 512) expect(bucket(n)).toBeLessThan(n * 1.126);
    }
  });
});
