import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Message } from '../../core/message.ts';
import { keepLast, movePrefix, readSftData, splitExchanges, type SftRow, writeSftData } from './sft_data.ts';

const exchange = (n: number): Message[] => [
  { role: 'assistant', content: `question ${n}` },
  { role: 'user', content: `answer ${n}` },
];
const row = (turns: number): SftRow => ({
  dialog: [{ role: 'user', content: 'Hi' }],
  interaction: Array.from({ length: turns }, (_, i) => exchange(i)).flat(),
  target_items: ['Heat (1995)'],
  base_turn: turns,
});
const read = (value: unknown, mode: 'strict' | 'report' = 'strict') =>
  readSftData({ name: 'sft.json', text: JSON.stringify(value) }, mode);

describe('readSftData', () => {
  it('reads what writeSftData writes', () => {
    const rows = [row(1), { ...row(3), key: 'train:4' }];
    expect(readSftData({ name: 'sft.json', text: writeSftData(rows) })).toEqual({ rows, problems: [] });
  });

  it('puts a wrong base_turn right, with a warning', () => {
    const { rows, problems } = read([{ ...row(2), base_turn: 5 }]);
    expect(rows[0]!.base_turn).toBe(2);
    expect(problems).toMatchObject([{ severity: 'warning', row: 0, field: 'base_turn' }]);
  });

  it.each([
    ['no interaction', { ...row(1), interaction: [] }, /sft\.json, row 1, interaction/],
    [
      'an interaction that the user begins',
      { ...row(1), interaction: row(1).dialog },
      /row 1: the interaction must begin/,
    ],
    ['no targets', { ...row(1), target_items: undefined }, /row 1, target_items/],
  ])('refuses %s', (_, bad, message) => {
    expect(() => read([row(1), bad])).toThrow(message);
    expect(read([row(1), bad], 'report').rows).toHaveLength(1);
  });
});

describe('TGI prefixes', () => {
  it('move exchanges without losing, adding or reordering a message', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 6 }), fc.integer({ min: 0, max: 8 }), (turns, count) => {
        const before = row(turns);
        const after = movePrefix(before, count);
        expect([...after.dialog, ...after.interaction]).toEqual([...before.dialog, ...before.interaction]);
        expect(after.base_turn).toBe(Math.max(0, turns - count));
        expect(splitExchanges(after.interaction)).toHaveLength(after.base_turn);
        expect(keepLast(before, count).base_turn).toBe(Math.min(turns, count));
      }),
    );
  });

  it('count a last recommender message without an answer', () => {
    expect(splitExchanges([...exchange(0), { role: 'assistant', content: 'bye' }])).toHaveLength(2);
  });
});
