/** @file The evaluation report as a table for a terminal. */
import type { Interval } from './bootstrap.ts';
import type { MetricComparison } from './compare.ts';
import { COST_METRICS, DIALOGUE_METRICS, LABEL_METRICS, type Metric, NOVEL_METRICS } from './definitions.ts';
import type { EvaluationReport } from './report.ts';

/** The report for reading: figures with their intervals, by section, then the comparison if there is one. */
export function renderReport(report: EvaluationReport): string {
  const { intervals, bootstrap } = report;
  const percent = Math.round(bootstrap.confidence * 100);
  const lines = [
    `${report.name}: ${report.dialogues} dialogues, ${report.labels} labels, ${report.success} recorded successes`,
    `(figures with ${percent} % intervals, ${bootstrap.samples} bootstrap resamples by dialogue, seed ${bootstrap.seed})`,
  ];
  const section = (
    title: string,
    metrics: readonly Metric[],
    of: (m: Metric) => number | null | undefined,
  ) => {
    const rows = metrics.flatMap((m) => {
      const value = of(m);
      return value === null || value === undefined
        ? []
        : [[m.label, formatFigure(value, m.unit), formatInterval(intervals[m.name] ?? null, m.unit)]];
    });
    if (rows.length > 0) lines.push('', title, ...alignColumns(rows));
  };
  const top: Record<string, number | null> = {
    hit1: report.hit1,
    hit5: report.hit5,
    hit10: report.hit10,
    mrr: report.mrr,
    ndcg10: report.ndcg10,
  };
  section('Per label', LABEL_METRICS, (m) => top[m.name]);
  section(
    `Per label, novel only (${report.novel_only.labels} labels that the given dialogue does not name)`,
    NOVEL_METRICS,
    (m) => report.novel_only[m.name.slice('novel_'.length)],
  );
  section('Per dialogue', DIALOGUE_METRICS, (m) => report.per_dialogue[m.name]);
  lines.push('', 'By turn', ...turnTable(report));
  if (report.cost.prompt_tokens + report.cost.completion_tokens > 0)
    section('Cost per dialogue', COST_METRICS, (m) => report.cost.per_dialogue[m.name]);
  if (report.compare) lines.push('', ...comparisonLines(report.compare));
  if (report.notes.length > 0) lines.push('', ...report.notes);
  return `${lines.join('\n')}\n`;
}

/** Rows with their columns aligned: the first to the left, the others to the right; two spaces in front. */
export function alignColumns(rows: readonly (readonly string[])[]): string[] {
  const widths: number[] = [];
  for (const row of rows) row.forEach((cell, c) => (widths[c] = Math.max(widths[c] ?? 0, cell.length)));
  return rows.map((row) =>
    `  ${row.map((cell, c) => (c === 0 ? cell.padEnd(widths[c]!) : cell.padStart(widths[c]!))).join('  ')}`.trimEnd(),
  );
}

/** A figure in its unit: shares in percent. */
export function formatFigure(value: number, unit: Metric['unit']): string {
  switch (unit) {
    case 'share':
      return `${(100 * value).toFixed(1)} %`;
    case 'score':
      return value.toFixed(4);
    case 'turns':
      return value.toFixed(2);
    case 'usd':
      return `$${value.toFixed(4)}`;
    case 'count':
      return value.toFixed(Math.abs(value) >= 100 ? 0 : 2);
  }
}

function formatInterval(interval: Interval, unit: Metric['unit']): string {
  return interval ? `${formatFigure(interval[0], unit)} … ${formatFigure(interval[1], unit)}` : '';
}

function turnTable(report: EvaluationReport): string[] {
  const turns = Object.keys(report.turns);
  const all = [...new Set([...turns, ...Object.keys(report.success_by_turn)])].sort(
    (a, b) => Number(a) - Number(b),
  );
  return alignColumns([
    ['turn', ...all],
    ['labels hit, by turns of the dialogue', ...all.map((t) => String(report.turns[t] ?? 0))],
    ['dialogues, by turn of first success', ...all.map((t) => String(report.success_by_turn[t] ?? 0))],
  ]);
}

function comparisonLines(comparison: NonNullable<EvaluationReport['compare']>): string[] {
  const { a_name: a, b_name: b, pairs, unpaired, metrics } = comparison;
  const head = `Compared on ${pairs} dialogues both have (matched by ${comparison.matched_by}; only in ${a}: ${unpaired.a}, only in ${b}: ${unpaired.b})`;
  const all = [
    ...LABEL_METRICS,
    ...NOVEL_METRICS.map((m) => ({ ...m, label: `novel ${m.label}` })),
    ...DIALOGUE_METRICS,
  ];
  const rows = all.flatMap((m) => {
    const row: MetricComparison | undefined = metrics[m.name];
    if (!row || row.a === null || row.b === null || row.difference === null) return [];
    const sign = row.difference > 0 ? '+' : '';
    return [
      [
        m.label,
        formatFigure(row.a, m.unit),
        formatFigure(row.b, m.unit),
        sign + formatFigure(row.difference, m.unit),
        formatInterval(row.interval, m.unit),
        formatP(row.p),
      ],
    ];
  });
  return [head, ...alignColumns([['', a, b, 'difference', 'interval', 'p'], ...rows])];
}

function formatP(p: number): string {
  return p < 0.0001 ? '<0.0001' : p.toFixed(4);
}
