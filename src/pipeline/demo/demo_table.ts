/** @file The table that ends the demo: base, teacher, SFT and GRPO on the test dialogues, and what each step gained. */
import type { RolloutRow } from '../data/rollout_rows.ts';
import type { Interval } from '../metrics/bootstrap.ts';
import type { MetricComparison } from '../metrics/compare.ts';
import { DIALOGUE_METRICS, LABEL_METRICS } from '../metrics/definitions.ts';
import { evaluateRows } from '../metrics/report.ts';
import { alignColumns, formatFigure } from '../metrics/table.ts';
import type { TitleLinker } from '../response/title_linker.ts';
import type { DemoModel } from './run_demo.ts';

/** Figures of one model; an interval is null where nothing was measured. */
export interface DemoTableRow {
  model: DemoModel;
  dialogues: number;
  figures: Record<string, { value: number | null; interval: Interval }>;
}

/** A step of the recipe on the same dialogues: the later model against the earlier one. */
export interface DemoGain {
  from: DemoModel;
  to: DemoModel;
  /** Share of dialogues in which a target was retrieved. */
  success: MetricComparison;
}

export interface DemoTable {
  seed: number;
  rows: DemoTableRow[];
  gains: DemoGain[];
}

/** Columns of the table, in order. */
const columns = [
  'success_retrieved',
  'success_shown',
  'success_accepted',
  'hit1',
  'hit5',
  'hit10',
  'turns',
] as const;
const heads: Record<(typeof columns)[number], string> = {
  success_retrieved: 'retrieved',
  success_shown: 'shown',
  success_accepted: 'accepted',
  hit1: 'hit@1',
  hit5: 'hit@5',
  hit10: 'hit@10',
  turns: 'turns',
};
const names: Record<DemoModel, string> = { base: 'base', teacher: 'teacher', sft: 'SFT', grpo: 'GRPO' };
const order: readonly DemoModel[] = ['base', 'teacher', 'sft', 'grpo'];
const steps: readonly (readonly [DemoModel, DemoModel])[] = [
  ['base', 'sft'],
  ['sft', 'grpo'],
];

/** Figures, intervals and paired gains from the rows of every model. */
export function demoTable(
  rows: Record<DemoModel, readonly RolloutRow[]>,
  seed: number,
  linker: TitleLinker,
): DemoTable {
  const table = order.map((model): DemoTableRow => {
    const report = evaluateRows(rows[model], { name: model, linker, seed });
    const valueOf = (column: (typeof columns)[number]): number | null =>
      column === 'hit1' || column === 'hit5' || column === 'hit10'
        ? report[column]
        : (report.per_dialogue[column] ?? null);
    return {
      model,
      dialogues: report.dialogues,
      figures: Object.fromEntries(
        columns.map((column) => [
          column,
          { value: valueOf(column), interval: report.intervals[column] ?? null },
        ]),
      ),
    };
  });
  const gains = steps.map(([from, to]): DemoGain => {
    const report = evaluateRows(rows[to], {
      name: to,
      linker,
      seed,
      compare: { name: from, rows: rows[from] },
    });
    return { from, to, success: report.compare!.metrics['success_retrieved']! };
  });
  return { seed, rows: table, gains };
}

const unitOf = (name: string) =>
  [...LABEL_METRICS, ...DIALOGUE_METRICS].find((metric) => metric.name === name)?.unit ?? 'score';

/** The table as text, 95 % intervals under the figures, gains below. */
export function renderDemoTable({ rows, gains, seed }: DemoTable): string {
  const lines: string[][] = [['', ...columns.map((c) => heads[c])]];
  for (const { model, figures } of rows) {
    const cells = columns.map((c) => ({ ...figures[c]!, unit: unitOf(c) }));
    lines.push([
      names[model],
      ...cells.map(({ value, unit }) => (value === null ? '–' : formatFigure(value, unit))),
    ]);
    lines.push([
      '',
      ...cells.map(({ interval, unit }) =>
        interval ? `${plain(interval[0], unit)}–${plain(interval[1], unit)}` : '',
      ),
    ]);
  }
  const dialogues = rows[0]?.dialogues ?? 0;
  const text = [
    `${dialogues} test dialogues that no stage saw, seed ${seed}; 95 % bootstrap intervals underneath`,
    '',
    ...alignColumns(lines),
    '',
  ];
  for (const { from, to, success } of gains)
    if (success.difference !== null && success.interval)
      text.push(
        `  ${names[from]} → ${names[to]}: ${signed(success.difference)} points of success ` +
          `(${signed(success.interval[0])} … ${signed(success.interval[1])}; better in ${success.higher} dialogues, ` +
          `worse in ${success.lower}; p = ${success.p < 0.0001 ? '< 0.0001' : success.p.toFixed(4)})`,
      );
  return text.join('\n');
}

const signed = (share: number): string => `${share >= 0 ? '+' : '−'}${Math.abs(100 * share).toFixed(1)}`;
const plain = (value: number, unit: ReturnType<typeof unitOf>): string =>
  formatFigure(value, unit).replace(' %', '');
