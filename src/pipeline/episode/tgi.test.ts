/** @file The TGI draw: range, one draw a group, every offset possible. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { InputError } from '../../core/errors.ts';
import type { Message } from '../types.ts';
import { drawTgiOffset, tgiPrefix } from './tgi.ts';

describe('drawTgiOffset', () => {
  it('is 0 unless the teacher needed more than T, else within 0 … base_turn − T', () => {
    fc.assert(
      fc.property(
        fc.nat(),
        fc.string(),
        fc.nat(9),
        fc.nat(9),
        fc.integer({ min: 1, max: 9 }),
        (seed, dialogue, epoch, baseTurn, turnNum) => {
          const options = { seed, dialogue, epoch, baseTurn, turnNum };
          const offset = drawTgiOffset(options);
          expect(offset).toBe(drawTgiOffset(options));
          expect(Number.isInteger(offset)).toBe(true);
          expect(offset).toBeGreaterThanOrEqual(0);
          expect(offset).toBeLessThanOrEqual(Math.max(0, baseTurn - turnNum));
        },
      ),
    );
  });
  it('draws every offset equally often, anew for each dialogue and epoch', () => {
    const counts = [0, 0, 0, 0];
    for (let n = 0; n < 4000; n++) {
      const offset = drawTgiOffset({
        seed: 1,
        dialogue: `d:${n >> 1}`,
        epoch: n & 1,
        baseTurn: 5,
        turnNum: 2,
      });
      counts[offset] = counts[offset]! + 1;
    }
    // Binomial(4000, 1/4): standard deviation 27; five of them.
    for (const count of counts) expect(Math.abs(count - 1000)).toBeLessThan(137);
  });
});

describe('tgiPrefix', () => {
  const interaction: Message[] = [
    { role: 'assistant', content: 'a' },
    { role: 'user', content: 'b' },
    { role: 'assistant', content: 'c' },
  ];
  it('gives whole exchanges or says that there are none', () => {
    expect(tgiPrefix(interaction, 0)).toEqual([]);
    expect(tgiPrefix(interaction, 1)).toEqual(interaction.slice(0, 2));
    expect(() => tgiPrefix(interaction, 2)).toThrow(InputError);
    expect(() => tgiPrefix([interaction[1]!, interaction[0]!], 1)).toThrow(InputError);
  });
});
