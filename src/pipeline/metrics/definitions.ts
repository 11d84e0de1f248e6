/**
 * @file Every metric as a ratio of two sums over rows, `Σ numerator / Σ denominator`: one form for point figures,
 * intervals and comparisons.
 */
import type { RowFacts } from './row_facts.ts';

/** A metric. Rows with a zero denominator say nothing about it. */
export interface Metric {
  name: string;
  /** What the figure is, for the table. */
  label: string;
  unit: 'share' | 'score' | 'turns' | 'count' | 'usd';
  numerator(row: RowFacts): number;
  denominator(row: RowFacts): number;
}

/** Figures per label: every target of every row is one query. */
export const LABEL_METRICS: readonly Metric[] = labelMetrics('', () => true);
/** The same over labels that the given dialogue does not name. */
export const NOVEL_METRICS: readonly Metric[] = labelMetrics('novel_', (label) => label.novel);

/** nDCG of a single relevant item at a rank: `1 / log2(rank + 1)`. */
export function discountedGain(rank: number): number {
  return 1 / Math.log2(rank + 1);
}

function labelMetrics(prefix: string, counts: (label: RowFacts['labels'][number]) => boolean): Metric[] {
  const make = (
    name: string,
    label: string,
    unit: Metric['unit'],
    gain: (rank: number) => number,
  ): Metric => ({
    name: prefix + name,
    label,
    unit,
    numerator: (row) => {
      let sum = 0;
      for (const l of row.labels) if (counts(l) && l.rank > 0 && l.rank <= 10) sum += gain(l.rank);
      return sum;
    },
    denominator: (row) => row.labels.filter(counts).length,
  });
  return [
    make('hit1', 'hit@1', 'share', (rank) => (rank <= 1 ? 1 : 0)),
    make('hit5', 'hit@5', 'share', (rank) => (rank <= 5 ? 1 : 0)),
    make('hit10', 'hit@10', 'share', () => 1),
    make('mrr', 'MRR@10', 'score', (rank) => 1 / rank),
    make('ndcg10', 'nDCG@10', 'score', discountedGain),
  ];
}

const one = () => 1;
const share = (name: string, label: string, is: (row: RowFacts) => boolean | null): Metric => ({
  name,
  label,
  unit: 'share',
  numerator: (row) => (is(row) ? 1 : 0),
  denominator: (row) => (is(row) === null ? 0 : 1),
});

/** Figures per dialogue. */
export const DIALOGUE_METRICS: readonly Metric[] = [
  share('success_recorded', 'success, as recorded', (r) => r.success.recorded),
  share('success_retrieved', 'success: retrieved', (r) => r.success.retrieved),
  share('success_shown', 'success: shown', (r) => r.success.shown),
  share('success_accepted', 'success: accepted', (r) => r.success.accepted),
  share('success_strict', 'success: shown and accepted', (r) => r.success.strict),
  share('success_last_turn', 'success: retrieved at the last turn', (r) => r.success.lastTurn),
  share('novel_success_retrieved', 'novel targets: retrieved', (r) => r.success.novelRetrieved),
  share('novel_success_shown', 'novel targets: shown', (r) => r.success.novelShown),
  {
    name: 'turns',
    label: 'turns',
    unit: 'turns',
    numerator: (r) => r.turns,
    denominator: one,
  },
  {
    name: 'turn_of_success',
    label: 'turn of success',
    unit: 'turns',
    numerator: (r) => r.successTurn,
    denominator: (r) => (r.successTurn > 0 ? 1 : 0),
  },
  {
    name: 'recommendation_turns',
    label: 'turns that recommend',
    unit: 'share',
    numerator: (r) => r.recommendations,
    denominator: (r) => r.messages,
  },
  {
    name: 'format_valid',
    label: 'messages of valid form',
    unit: 'share',
    numerator: (r) => r.wellFormed,
    denominator: (r) => r.messages,
  },
  {
    name: 'out_of_catalogue',
    label: 'listed titles outside the catalogue',
    unit: 'share',
    numerator: (r) => r.outOfCatalogue ?? 0,
    denominator: (r) => (r.outOfCatalogue === null ? 0 : r.titles),
  },
  {
    name: 'repeated_titles',
    label: 'listed titles that repeat',
    unit: 'share',
    numerator: (r) => r.repeated,
    denominator: (r) => r.titles,
  },
  share('leaked', 'dialogues in which the seeker leaked', (r) => r.leaked),
  {
    name: 'named_labels',
    label: 'labels the given dialogue names',
    unit: 'share',
    numerator: (r) => r.labels.filter((l) => !l.novel).length,
    denominator: (r) => r.labels.length,
  },
  {
    name: 'malformed_replies',
    label: 'unreadable seeker replies per dialogue',
    unit: 'count',
    numerator: (r) => r.malformed,
    denominator: one,
  },
  share('edited', 'dialogues rewritten by the re-ranker', (r) => r.edited),
];

/** Figures of cost, per dialogue. */
export const COST_METRICS: readonly Metric[] = [
  {
    name: 'prompt_tokens',
    label: 'prompt tokens',
    unit: 'count',
    numerator: (r) => r.promptTokens,
    denominator: one,
  },
  {
    name: 'completion_tokens',
    label: 'completion tokens',
    unit: 'count',
    numerator: (r) => r.completionTokens,
    denominator: one,
  },
  { name: 'cost_usd', label: 'cost', unit: 'usd', numerator: (r) => r.costUsd, denominator: one },
];

/** `Σ numerator / Σ denominator`, or null when no row says anything. */
export function pointFigure(metric: Metric, rows: readonly RowFacts[]): number | null {
  let numerator = 0;
  let denominator = 0;
  for (const row of rows) {
    numerator += metric.numerator(row);
    denominator += metric.denominator(row);
  }
  return denominator === 0 ? null : numerator / denominator;
}
