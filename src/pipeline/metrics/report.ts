/**
 * @file What `tart evaluate` says: one JSON object with the original's figures at the top (`hit1 hit5 hit10 mrr ndcg10` and
 * the counts beside them) and everything else in named sections. `table.ts` renders it for reading.
 */
import { InputError } from '../../core/errors.ts';
import type { RolloutRow } from '../data/rollout_rows.ts';
import type { TitleLinker } from '../response/title_linker.ts';
import { bootstrapIntervals, type Interval } from './bootstrap.ts';
import { compareRuns, type Comparison, ratioData } from './compare.ts';
import {
  COST_METRICS,
  DIALOGUE_METRICS,
  LABEL_METRICS,
  type Metric,
  NOVEL_METRICS,
  pointFigure,
} from './definitions.ts';
import { labelFigures, type LabelFigures, successesByTurn } from './label_metrics.ts';
import { factsOf, type RowFacts } from './row_facts.ts';

export interface EvaluateOptions {
  /** The run's or the file's name, repeated in the report. */
  name: string;
  /** With it titles are judged against the catalogue; without it out-of-catalogue figures are null. */
  linker?: TitleLinker;
  /** Resamples of the bootstrap. Default 1000. */
  bootstrap?: number;
  seed?: number;
  /** Default 0.95. */
  confidence?: number;
  /** A second run, compared on the same dialogues: this run is `b`, the other `a`. */
  compare?: { name: string; rows: readonly RolloutRow[] };
}

/** The JSON of `tart evaluate --json`. Figures are null where nothing was measured. */
export interface EvaluationReport extends LabelFigures {
  name: string;
  per_dialogue: Record<string, number | null>;
  /** Dialogues by the turn of their first success. */
  success_by_turn: Record<string, number>;
  /** Per label, for labels that the given dialogue does not name. */
  novel_only: { labels: number } & Record<string, number | null>;
  /** Totals over all rows, and per dialogue. */
  cost: {
    prompt_tokens: number;
    completion_tokens: number;
    cost_usd: number;
    per_dialogue: Record<string, number | null>;
  };
  /** Bootstrap intervals of every figure, by its name. */
  intervals: Record<string, Interval>;
  bootstrap: { samples: number; seed: number; confidence: number; unit: 'dialogue' };
  compare?: Comparison & { a_name: string; b_name: string };
  /** What a reader of the figures should know. */
  notes: string[];
}

/** Evaluate a file of rows. @throws InputError when there is no row. */
export function evaluateRows(rows: readonly RolloutRow[], options: EvaluateOptions): EvaluationReport {
  if (rows.length === 0)
    throw new InputError(
      `${options.name}: there is no row to evaluate.`,
      'Run `tart inference` or `tart explore` first.',
    );
  const linker = options.linker && holdsLabels(options.linker, rows) ? options.linker : undefined;
  const report = reportFacts(
    rows.map((row) => factsOf(row, linker)),
    { ...options, linker },
  );
  if (options.linker && !linker)
    report.notes.push(
      'The catalogue does not hold the labels of these rows under their numbers (see --kg_dataset); it was not used.',
    );
  return report;
}

/** Whether a catalogue is the one that the rows were made with. */
function holdsLabels({ catalogue }: TitleLinker, rows: readonly RolloutRow[]): boolean {
  return rows.every((row) => row.rec_ids.every((id, i) => catalogue.byId(id)?.name === row.rec_names[i]));
}

/** The report over facts that were counted already. */
export function reportFacts(facts: readonly RowFacts[], options: EvaluateOptions): EvaluationReport {
  const settings = {
    samples: options.bootstrap ?? 1000,
    seed: options.seed ?? 0,
    confidence: options.confidence ?? 0.95,
  };
  const measured = [...LABEL_METRICS, ...DIALOGUE_METRICS, ...NOVEL_METRICS, ...COST_METRICS];
  const intervals = bootstrapIntervals(
    measured.map((m) => ratioData(m, facts)),
    facts.map((f) => f.cluster),
    settings,
  );
  const figures = (metrics: readonly Metric[], prefix = '') =>
    Object.fromEntries(metrics.map((m) => [m.name.slice(prefix.length), pointFigure(m, facts)]));
  const total = (of: (row: RowFacts) => number) => facts.reduce((sum, row) => sum + of(row), 0);
  const report: EvaluationReport = {
    name: options.name,
    ...labelFigures(facts),
    per_dialogue: figures(DIALOGUE_METRICS),
    success_by_turn: successesByTurn(facts),
    novel_only: {
      labels: total((row) => row.labels.filter((l) => l.novel).length),
      ...figures(NOVEL_METRICS, 'novel_'),
    },
    cost: {
      prompt_tokens: total((row) => row.promptTokens),
      completion_tokens: total((row) => row.completionTokens),
      cost_usd: total((row) => row.costUsd),
      per_dialogue: figures(COST_METRICS),
    },
    intervals: Object.fromEntries(measured.map((m, i) => [m.name, intervals[i]!])),
    bootstrap: { ...settings, unit: 'dialogue' },
    notes: [],
  };
  if (options.compare) {
    const other = options.compare.rows.map((row) => factsOf(row, options.linker));
    report.compare = {
      a_name: options.compare.name,
      b_name: options.name,
      ...compareRuns(other, facts, settings),
    };
  }
  return report;
}
