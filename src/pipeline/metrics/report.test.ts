import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { hasRedial, redialRollouts, sharedCatalogue, sharedFile } from '../../../tests/support/redial.ts';
import { film, trickyCatalogue } from '../../../tests/support/tricky_catalogue.ts';
import { InputError } from '../../core/errors.ts';
import type { RolloutRow } from '../data/rollout_rows.ts';
import { TitleLinker } from '../response/title_linker.ts';
import { evaluateRows } from './report.ts';
import { factsOf } from './row_facts.ts';
import { renderReport } from './table.ts';

const linker = new TitleLinker(trickyCatalogue);
const items = trickyCatalogue.items;

/** A row of the original's kind: `ranks[i]` is the rank of label i in the ten (0 = not there). */
function row(
  id: number,
  ranks: readonly number[],
  options: { turns?: number; given?: string; said?: string } = {},
): RolloutRow {
  const labels = ranks.map((_, i) => items[i]!);
  const rest = items.slice(ranks.length).map((x) => x.id);
  const topk = Array.from({ length: 10 }, (_, at) => {
    const label = ranks.indexOf(at + 1);
    return label >= 0 ? labels[label]!.id : rest[at]!;
  });
  const turns = options.turns ?? 1;
  return {
    id,
    given_dialog: [{ role: 'user', content: options.given ?? 'Hello' }],
    generated_dialog: Array.from({ length: turns }, () => [
      { role: 'assistant' as const, content: options.said ?? 'What do you like?' },
      { role: 'user' as const, content: 'Good films.' },
    ]).flat(),
    rec_success: ranks.some((r) => r > 0),
    rec_names: labels.map((l) => l.name),
    rec_ids: labels.map((l) => l.id),
    topk_names: topk.map((x) => trickyCatalogue.byId(x)!.name),
    topk_ids: topk,
  };
}
const ranksArb = fc.uniqueArray(fc.integer({ min: 1, max: 10 }), { minLength: 1, maxLength: 4 });
const rowsArb = fc
  .array(fc.tuple(ranksArb, fc.integer({ min: 1, max: 7 })), { minLength: 1, maxLength: 12 })
  .map((list) =>
    list.map(([ranks, turns], i) =>
      row(
        i,
        ranks.map((r) => (r % 3 === 0 ? 0 : r)),
        { turns },
      ),
    ),
  );
const evaluate = (rows: RolloutRow[], more = {}) =>
  evaluateRows(rows, { name: 'test', bootstrap: 50, linker, ...more });

describe('evaluateRows', () => {
  it('counts labels, ranks and turns', () => {
    const report = evaluate([row(0, [1, 0]), row(1, [5], { turns: 2 }), row(2, [0], { turns: 3 })]);
    expect(report).toMatchObject({
      dialogues: 3,
      labels: 4,
      hit1: 1 / 4,
      hit5: 2 / 4,
      hit10: 2 / 4,
      mrr: (1 + 1 / 5) / 4,
      ndcg10: (1 + 1 / Math.log2(6)) / 4,
      turns: { 1: 1, 2: 1, 3: 0, 4: 0, 5: 0 },
      success: 2,
      avg_turn: 2,
      success_by_turn: { 1: 1, 2: 1, 3: 0, 4: 0, 5: 0 },
    });
    expect(report.per_dialogue).toMatchObject({
      success_recorded: 2 / 3,
      turn_of_success: 1.5,
      turns: 2,
      success_accepted: null,
    });
  });

  it('keeps its bounds and orders', () => {
    fc.assert(
      fc.property(rowsArb, (rows) => {
        const r = evaluate(rows, { bootstrap: 5 });
        expect(0 <= r.hit1! && r.hit1! <= r.hit5! && r.hit5! <= r.hit10! && r.hit10! <= 1).toBe(true);
        // Reciprocal rank ≤ discounted gain ≤ hit, each at least the share of first places.
        expect(
          r.hit1! <= r.mrr! + 1e-12 && r.mrr! <= r.ndcg10! + 1e-12 && r.ndcg10! <= r.hit10! + 1e-12,
        ).toBe(true);
        const hits = Object.values(r.turns).reduce((a, b) => a + b, 0);
        expect(hits / r.labels).toBeCloseTo(r.hit10!, 12);
        for (const [name, value] of Object.entries(r.per_dialogue))
          if (name.startsWith('success') && value !== null) expect(value >= 0 && value <= 1).toBe(true);
        for (const interval of Object.values(r.intervals))
          if (interval) expect(interval[0] <= interval[1]).toBe(true);
      }),
      { numRuns: 50 },
    );
  });

  it('does not depend on the order of the rows, but for rounding', () => {
    fc.assert(
      fc.property(rowsArb, (rows) => {
        const [a, b] = [evaluate(rows), evaluate([...rows].reverse())];
        for (const key of ['hit1', 'hit5', 'hit10', 'mrr', 'ndcg10'] as const)
          expect(b[key]).toBeCloseTo(a[key]!, 12);
        expect(b.per_dialogue).toEqual(a.per_dialogue);
      }),
      { numRuns: 20 },
    );
  });

  it('does not judge titles by the catalogue of other labels', () => {
    const other = {
      ...row(0, [1], { said: 'Here: 1. Heat (1995) 2. Up (2009)' }),
      rec_names: ['Pari (1995)'],
    };
    const report = evaluate([other]);
    expect(report.per_dialogue).toMatchObject({ out_of_catalogue: null, success_shown: 0 });
    expect(report.notes.join()).toMatch(/--kg_dataset/);
    expect(renderReport(report)).toMatch(/--kg_dataset/);
  });

  it('refuses an empty file', () => {
    expect(() => evaluate([])).toThrow(InputError);
  });
});

describe('facts of a row', () => {
  it('reads labels the given dialogue names as not novel', () => {
    const facts = factsOf(row(0, [1, 2], { given: `I liked ${items[0]!.name}.` }), linker);
    expect(facts.labels.map((l) => l.novel)).toEqual([false, true]);
    const report = evaluate([row(0, [1, 2], { given: `I liked ${items[0]!.name}.` })]);
    expect(report.novel_only).toMatchObject({ labels: 1, hit1: 0, hit5: 1 });
    expect(report.per_dialogue['named_labels']).toBe(0.5);
  });

  it('judges lists: shown, outside the catalogue, repeats, form', () => {
    const said = 'Here: 1. Heat (1995) 2. Nowhere Film (2020) 3. Heat (1996) 4. Up (2009)';
    const facts = factsOf(row(0, [0], { said }), linker);
    expect(facts).toMatchObject({
      titles: 4,
      outOfCatalogue: 1,
      repeated: 1,
      messages: 1,
      recommendations: 1,
      wellFormed: 0,
    });
    expect(facts.success).toMatchObject({
      shown: true,
      retrieved: false,
      lastTurn: false,
      accepted: null,
      strict: null,
    });
    const without = factsOf(row(0, [0], { said }));
    expect(without).toMatchObject({ outOfCatalogue: null, repeated: 0 });
    expect(without.success.shown).toBe(true);
  });

  it('takes our records where a row has them', () => {
    const base = row(0, [0], { turns: 2 });
    const turn = {
      response: 'x',
      reply: 'y',
      intent: 'recommendation' as const,
      listed: [],
      retrieved: [items[0]!.id],
      shown: false,
      hit: true,
      accepted: false,
    };
    const facts = factsOf(
      {
        ...base,
        key: 'test:0/0',
        dialogue: 'test:0',
        turns: [turn, { ...turn, retrieved: [], hit: false, shown: true, accepted: true }],
        success: { retrieved: true, shown: true, accepted: true, rewarded: true },
        success_turn: 1,
        leaks: 2,
        usage: {
          recommender: { promptTokens: 5, completionTokens: 3, costUsd: 0.5 },
          seeker: { promptTokens: 1, completionTokens: 1 },
        },
      },
      linker,
    );
    expect(facts).toMatchObject({
      key: 'test:0/0',
      cluster: 'test:0',
      successTurn: 1,
      leaked: true,
      promptTokens: 6,
      completionTokens: 4,
      costUsd: 0.5,
    });
    expect(facts.success).toMatchObject({
      retrieved: true,
      shown: true,
      accepted: true,
      strict: true,
      lastTurn: false,
      novelRetrieved: true,
    });
  });

  it('sees a leak only where the seeker names what nobody named before', () => {
    const base = row(0, [1]);
    const say = (...contents: string[]) =>
      factsOf(
        {
          ...base,
          generated_dialog: contents.map((content, i) => ({
            role: i % 2 ? ('user' as const) : ('assistant' as const),
            content,
          })),
        },
        linker,
      ).leaked;
    expect(say('What do you like?', 'I want Heat (1995).')).toBe(true);
    expect(say('Have you seen Heat (1995)?', 'Yes, Heat (1995) is it.')).toBe(false);
    expect(say('What do you like?', 'I want [title].')).toBe(false);
    expect(film('Heat (1995)')).toBe(items[0]);
  });
});

describe('comparison', () => {
  const a = [row(0, [0]), row(1, [3]), row(2, [0]), row(3, [1])];
  const b = [row(3, [1]), row(2, [2]), row(1, [3]), row(0, [1]), row(9, [1])];

  it('pairs the same dialogues and leaves the others out', () => {
    const { compare } = evaluate(b, { compare: { name: 'a', rows: a } });
    expect(compare).toMatchObject({
      pairs: 4,
      unpaired: { a: 0, b: 1 },
      matched_by: 'id',
      a_name: 'a',
      b_name: 'test',
    });
    expect(compare!.metrics['hit10']).toMatchObject({
      a: 0.5,
      b: 1,
      difference: 0.5,
      higher: 2,
      lower: 0,
      equal: 2,
      p: 0.5,
    });
  });

  it('of a run with itself is nothing at all', () => {
    fc.assert(
      fc.property(rowsArb, (rows) => {
        const { compare } = evaluate(rows, { compare: { name: 'same', rows } });
        for (const metric of Object.values(compare!.metrics)) {
          expect(metric.difference ?? 0).toBe(0);
          if (metric.interval) expect(metric.interval).toEqual([0, 0]);
          expect(metric.p).toBe(1);
        }
      }),
      { numRuns: 20 },
    );
  });

  it('matches by key where rows have one', () => {
    const keyed = (rows: RolloutRow[]) =>
      rows.map((r, i) => ({ ...r, id: 0, key: `test:${String(r.id)}/0`, generation: i }));
    const { compare } = evaluate(keyed(b), { compare: { name: 'a', rows: keyed(a) } });
    expect(compare).toMatchObject({ pairs: 4, matched_by: 'key' });
  });
});

describe('renderReport', () => {
  it('shows every figure with its interval, and the comparison', () => {
    const text = renderReport(
      evaluate([row(0, [1]), row(1, [0])], { compare: { name: 'before', rows: [row(0, [0]), row(1, [0])] } }),
    );
    expect(text).toMatch(/^test: 2 dialogues, 2 labels, 1 recorded successes/);
    expect(text).toMatch(/hit@10 +50\.0 % +0\.0 % … 100\.0 %/);
    expect(text).toMatch(/success: retrieved +50\.0 %/);
    expect(text).toMatch(/hit@10 +0\.0 % +50\.0 % +\+50\.0 %.*1\.0000/);
    expect(text).not.toMatch(/NaN|undefined|null/);
  });
});

describe.skipIf(!hasRedial)('on the real transcripts', () => {
  it('gives the expected figures to the last digit, with and without the catalogue', () => {
    const expected = (JSON.parse(sharedFile('redial/expected_metrics.json').text) as Record<string, object>)[
      'rollouts_turn1to3.jsonl'
    ]!;
    const rows = redialRollouts();
    for (const real of [undefined, new TitleLinker(sharedCatalogue('redial'))]) {
      const report = evaluateRows(rows, { name: 'rollouts_turn1to3', linker: real, bootstrap: 20 });
      const figures = Object.fromEntries(
        Object.keys(expected).map((key) => [key, report[key as keyof typeof report]]),
      );
      expect(figures).toEqual(expected);
    }
  });
});
