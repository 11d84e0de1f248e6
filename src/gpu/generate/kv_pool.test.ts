/** @file The book of cache entries: ranges never overlap, and everything comes back. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { EntryRange } from './kv_pool.ts';
import { RangeAllocator } from './kv_pool.ts';

test('taken ranges never overlap, and what is given back is free again in one piece', () => {
  const action = fc.oneof(
    fc.record({ take: fc.integer({ min: 0, max: 40 }) }),
    fc.record({ give: fc.nat() }),
  );
  fc.assert(
    fc.property(fc.array(action, { maxLength: 80 }), (actions) => {
      const book = new RangeAllocator(100);
      let taken: EntryRange[] = [];
      for (const a of actions) {
        if ('take' in a) {
          const range = book.take(a.take);
          if (range) taken.push(range);
        } else if (taken.length > 0) {
          const [range] = taken.splice(a.give % taken.length, 1);
          book.give(range!);
        }
        const owner = new Array<number>(100).fill(0);
        for (const { start, length } of taken) for (let i = start; i < start + length; i++) owner[i]!++;
        expect(Math.max(...owner)).toBeLessThanOrEqual(1);
        expect(book.available).toBe(100 - owner.reduce((x, y) => x + y, 0));
      }
      for (const range of taken) book.give(range);
      taken = [];
      expect(book.take(100)).toEqual({ start: 0, length: 100 });
      expect(book.take(1)).toBeNull();
    }),
  );
});
