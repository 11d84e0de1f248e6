/**
 * @file Rows of explore and inference: the original's eight fields, which its scripts read unchanged, and ours beside
 * them. The reader takes both the original's files and ours; fields it does not know stay in the row.
 *
 * `topk_names`/`topk_ids` are the ten items retrieved for the last recommendation turn judged, best first.
 */
import * as v from 'valibot';
import type { TurnRecord } from '../../core/run_event.ts';
import { parseJsonl } from './jsonl.ts';
import { MessageSchema } from './processed_set.ts';
import { checkRows } from './rows.ts';
import type { Problem, ReadMode, SourceFile } from './source_file.ts';

const Id = v.pipe(v.number(), v.integer(), v.minValue(0));

const TurnSchema = v.looseObject({
  response: v.string(),
  reply: v.string(),
  intent: v.picklist(['recommendation', 'inquiry', 'malformed']),
  listed: v.array(v.string()),
  retrieved: v.array(Id),
  shown: v.boolean(),
  hit: v.boolean(),
  accepted: v.boolean(),
});

const UsageSchema = v.object({
  promptTokens: v.number(),
  completionTokens: v.number(),
  costUsd: v.optional(v.number()),
});

/** Schema of one row. Everything after `topk_ids` is ours and absent from the original's files. */
export const RolloutRowSchema = v.pipe(
  v.looseObject({
    /** Number of the dialogue; not unique in the original's merged files. */
    id: v.union([v.number(), v.string()]),
    given_dialog: v.array(MessageSchema),
    /** Recommender, seeker, recommender, … */
    generated_dialog: v.array(MessageSchema),
    rec_success: v.boolean(),
    /** The labels. */
    rec_names: v.array(v.string()),
    rec_ids: v.array(Id),
    topk_names: v.array(v.string()),
    topk_ids: v.array(Id),
    /** Globally unique: dialogue key and generation number. */
    key: v.optional(v.string()),
    /** Key of the dialogue: file stem and row. */
    dialogue: v.optional(v.string()),
    generation: v.optional(Id),
    turns: v.optional(v.array(TurnSchema)),
    /** The three notions over all recommendation turns, and the one that paid. */
    success: v.optional(
      v.object({
        retrieved: v.boolean(),
        shown: v.boolean(),
        accepted: v.boolean(),
        rewarded: v.boolean(),
      }),
    ),
    /** 1-based turn of the first success by the notion that paid; 0 = never. */
    success_turn: v.optional(Id),
    /** The original's figure: the last message retrieved a target, whatever its intent. */
    last_turn_success: v.optional(v.boolean()),
    /** Why the episode ended. */
    ended: v.optional(v.string()),
    reward: v.optional(v.number()),
    seed: v.optional(v.number()),
    /** The model that really answered. */
    model: v.optional(v.string()),
    /** Tokens and money by party: recommender (or teacher) and seeker. */
    usage: v.optional(v.record(v.string(), UsageSchema)),
    /** The seeker's replies that could not be read. */
    malformed: v.optional(Id),
    /** Titles of targets redacted from the seeker's replies. */
    leaks: v.optional(Id),
    /** How many exchanges of a teacher's interaction `given_dialog` ends with (turn-aware initialisation). */
    prefix_exchanges: v.optional(Id),
    /** Rewritten by the re-ranker. */
    edited: v.optional(v.boolean()),
  }),
  v.check((r) => r.rec_names.length === r.rec_ids.length, 'rec_names and rec_ids differ in length.'),
  v.check((r) => r.topk_names.length === r.topk_ids.length, 'topk_names and topk_ids differ in length.'),
);

/** One row of an explore or inference file. */
export type RolloutRow = v.InferOutput<typeof RolloutRowSchema>;
/** One exchange as a row keeps it. */
export type RowTurn = TurnRecord;

export interface RolloutFile {
  rows: RolloutRow[];
  problems: Problem[];
  /** See `JsonlFile.wholeLength`. */
  wholeLength: number;
}

/**
 * Read a rollout file, the original's or ours.
 * @throws InputError naming line and field (strict mode; a broken line inside the file in either mode).
 */
export function readRolloutRows(file: SourceFile, mode: ReadMode = 'strict'): RolloutFile {
  const jsonl = parseJsonl(file);
  const { rows, problems } = checkRows(file.name, RolloutRowSchema, jsonl.lines, mode);
  return {
    rows: rows.map((r) => r.value),
    problems: [...jsonl.problems, ...problems],
    wholeLength: jsonl.wholeLength,
  };
}

/** How many exchanges a row's interaction has (a last recommender message without a reply counts). */
export function turnsOf(row: Pick<RolloutRow, 'generated_dialog'>): number {
  return row.generated_dialog.filter((m) => m.role === 'assistant').length;
}
