/**
 * @file Two runs on the same dialogues, pair by pair: the difference of every metric with a bootstrap interval over
 * dialogues, and an exact test (McNemar for yes/no outcomes of a dialogue, the sign test for the rest).
 */
import {
  bootstrapValues,
  type BootstrapOptions,
  type Interval,
  percentiles,
  type RatioData,
} from './bootstrap.ts';
import { DIALOGUE_METRICS, LABEL_METRICS, type Metric, NOVEL_METRICS, pointFigure } from './definitions.ts';
import { signTest } from './exact_tests.ts';
import type { RowFacts } from './row_facts.ts';

/** One metric of run `a`, of run `b`, and `b − a`. */
export interface MetricComparison {
  a: number | null;
  b: number | null;
  difference: number | null;
  interval: Interval;
  /** Pairs in which b is higher, lower, equal. */
  higher: number;
  lower: number;
  equal: number;
  /** Two-sided exact p of "higher and lower are equally likely". */
  p: number;
}

export interface Comparison {
  /** Dialogues (rows) that both runs have. */
  pairs: number;
  unpaired: { a: number; b: number };
  /** How rows were matched. */
  matched_by: 'key' | 'id';
  metrics: Record<string, MetricComparison>;
}

/**
 * Pair the rows of two runs: by key where all rows have one (and some agree), else by id; rows that share it are paired in
 * file order.
 */
export function pairRows(
  a: readonly RowFacts[],
  b: readonly RowFacts[],
): { pairs: [RowFacts, RowFacts][]; by: 'key' | 'id' } {
  const keyed = [...a, ...b].every((r) => r.key !== null);
  const byKey = keyed ? match(a, b, (r) => r.key!) : [];
  if (byKey.length > 0) return { pairs: byKey, by: 'key' };
  return { pairs: match(a, b, (r) => `${r.id}|${r.labels.map((l) => l.id).join(',')}`), by: 'id' };
}

/** Compare two runs. Every metric is computed on the paired rows only. */
export function compareRuns(
  a: readonly RowFacts[],
  b: readonly RowFacts[],
  options: BootstrapOptions = {},
): Comparison {
  const { pairs, by } = pairRows(a, b);
  const as = pairs.map(([x]) => x);
  const bs = pairs.map(([, y]) => y);
  const clusters = as.map((r) => r.cluster);
  const measured = [...LABEL_METRICS, ...DIALOGUE_METRICS, ...NOVEL_METRICS];
  // The same seed draws the same dialogues for both runs: the differences are paired.
  const valuesA = bootstrapValues(
    measured.map((m) => ratioData(m, as)),
    clusters,
    options,
  );
  const valuesB = bootstrapValues(
    measured.map((m) => ratioData(m, bs)),
    clusters,
    options,
  );
  const metrics: Record<string, MetricComparison> = {};
  measured.forEach((metric, k) => {
    const figureA = pointFigure(metric, as);
    const figureB = pointFigure(metric, bs);
    const differences = valuesB[k]!.map((value, s) => value - valuesA[k]![s]!);
    const { higher, lower, equal } = countSigns(metric, pairs);
    metrics[metric.name] = {
      a: figureA,
      b: figureB,
      difference: figureA === null || figureB === null ? null : figureB - figureA,
      interval: percentiles(differences, options.confidence ?? 0.95),
      higher,
      lower,
      equal,
      p: signTest(higher, lower),
    };
  });
  return {
    pairs: pairs.length,
    unpaired: { a: a.length - pairs.length, b: b.length - pairs.length },
    matched_by: by,
    metrics,
  };
}

/** A metric's numerators and denominators, row by row. */
export function ratioData(metric: Metric, rows: readonly RowFacts[]): RatioData {
  return {
    numerators: rows.map((r) => metric.numerator(r)),
    denominators: rows.map((r) => metric.denominator(r)),
  };
}

function countSigns(
  metric: Metric,
  pairs: readonly [RowFacts, RowFacts][],
): { higher: number; lower: number; equal: number } {
  let higher = 0;
  let lower = 0;
  let equal = 0;
  for (const [x, y] of pairs) {
    const figureX = pointFigure(metric, [x]);
    const figureY = pointFigure(metric, [y]);
    if (figureX === null || figureY === null) continue;
    if (figureY > figureX) higher++;
    else if (figureY < figureX) lower++;
    else equal++;
  }
  return { higher, lower, equal };
}

function match(
  a: readonly RowFacts[],
  b: readonly RowFacts[],
  markOf: (row: RowFacts) => string,
): [RowFacts, RowFacts][] {
  const waiting = new Map<string, RowFacts[]>();
  for (const row of b) {
    const list = waiting.get(markOf(row));
    if (list) list.push(row);
    else waiting.set(markOf(row), [row]);
  }
  return a.flatMap((row): [RowFacts, RowFacts][] => {
    const partner = waiting.get(markOf(row))?.shift();
    return partner ? [[row, partner]] : [];
  });
}
