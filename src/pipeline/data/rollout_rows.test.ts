import { describe, expect, it } from 'vitest';
import { hasRedial, redialRollouts, sharedFile } from '../../../tests/support/redial.ts';
import { jsonlLine } from './jsonl.ts';
import { readRolloutRows, type RolloutRow, turnsOf } from './rollout_rows.ts';

const original: RolloutRow = {
  id: 3,
  given_dialog: [{ role: 'user', content: 'Hi' }],
  generated_dialog: [
    { role: 'assistant', content: 'What do you like?' },
    { role: 'user', content: 'Heists.' },
    { role: 'assistant', content: 'Heat (1995)?' },
  ],
  rec_success: false,
  rec_names: ['Heat (1995)'],
  rec_ids: [7],
  topk_names: ['Up (2009)'],
  topk_ids: [9],
};
const read = (rows: unknown[], mode: 'strict' | 'report' = 'strict') =>
  readRolloutRows({ name: 'out.jsonl', text: rows.map((r) => JSON.stringify(r)).join('\n') + '\n' }, mode);

describe('readRolloutRows', () => {
  it("reads the original's rows and ours, and keeps unknown fields", () => {
    const ours: RolloutRow = {
      ...original,
      key: 'test:3/0',
      dialogue: 'test:3',
      generation: 0,
      success: { retrieved: true, shown: false, accepted: false, rewarded: true },
      success_turn: 2,
      usage: { recommender: { promptTokens: 10, completionTokens: 2, costUsd: 0.1 } },
      later_field: [1],
    };
    expect(read([original, ours]).rows).toEqual([original, ours]);
    expect(readRolloutRows({ name: 'x', text: jsonlLine(ours) }).rows).toEqual([ours]);
    expect(turnsOf(ours)).toBe(2);
  });

  it.each([
    ['a missing field', { ...original, topk_ids: undefined }, /out\.jsonl, line 2, topk_ids/],
    [
      'a wrong role',
      { ...original, given_dialog: [{ role: 'bot', content: '' }] },
      /line 2, given_dialog\[0\]\.role/,
    ],
    ['labels without ids', { ...original, rec_ids: [] }, /line 2: rec_names and rec_ids differ/],
  ])('refuses %s by line and field', (_, row, message) => {
    expect(() => read([original, row])).toThrow(message);
    const report = read([original, row], 'report');
    expect(report.rows).toHaveLength(1);
    expect(report.problems).toHaveLength(1);
  });
});

describe.skipIf(!hasRedial)('the real transcripts', () => {
  it('are read whole', () => {
    const rows = redialRollouts();
    expect(rows).toHaveLength(1426);
    expect(rows.reduce((sum, r) => sum + r.rec_ids.length, 0)).toBe(2016);
  });

  it('come out as they went in', () => {
    const file = sharedFile('redial/rollouts_turn1to3.jsonl');
    const lines = file.text.trim().split('\n');
    const rows = redialRollouts();
    expect(rows.map((r) => JSON.parse(jsonlLine(r)) as unknown)).toEqual(
      lines.map((l) => JSON.parse(l) as unknown),
    );
  });
});
