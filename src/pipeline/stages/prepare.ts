/**
 * @file Prepare: rows of explore (the original's or ours) → SFT data. Keeps successes, re-ranks the list that succeeded, puts
 * transcripts in order, and says how many rows were dropped or rewritten and why.
 */
import { InputError } from '../../core/errors.ts';
import { stemOf } from '../data/processed_set.ts';
import { readRolloutRows, type RolloutRow } from '../data/rollout_rows.ts';
import { keepLast, splitExchanges, writeSftData, type SftRow } from '../data/sft_data.ts';
import { describeProblem, type ReadMode, type SourceFile } from '../data/source_file.ts';
import type { Judge, Rewriter } from '../episode/episode.ts';
import { ruleIntent } from '../response/intent.ts';
import type { TitleReader } from '../seeker/intent.ts';
import type { Catalogue, Item, Judgement, Message } from '../types.ts';
import type { StageContext } from './context.ts';

export interface PrepareOptions {
  /** `--success_only`: keep successful dialogues only. */
  successOnly: boolean;
  /** `--rerank`: rewrite the last list of a successful dialogue, hit targets first. */
  rerank: boolean;
  /** `--last N`: all but the last N exchanges join the dialogue (`_last2`). */
  last?: number | undefined;
  /** First row to use and the one after the last; absent = all. */
  start?: number | undefined;
  end?: number | undefined;
  /** `report` leaves rows out that cannot be read; `strict` (the default) throws. */
  mode?: ReadMode;
}

/** Why a row is not in the SFT data. */
export type DropReason =
  | 'not_successful'
  | 'no_interaction'
  | 'empty_dialogue'
  | 'unknown_targets'
  | 'empty_recommender_message'
  | 'empty_seeker_reply';

/** What was changed in a row that is. */
export type Change =
  | 'reranked'
  | 'list_written_for_titles_in_text'
  | 'not_reranked_no_recommendation'
  | 'empty_last_reply_removed'
  | 'same_role_joined'
  | 'leading_seeker_messages_moved'
  | 'empty_given_messages_removed'
  | 'unknown_target_removed'
  | 'exchanges_moved_to_dialogue';

export interface PrepareReport {
  read: number;
  written: number;
  dropped: Partial<Record<DropReason, number>>;
  changed: Partial<Record<Change, number>>;
  /** Exchanges of a written row (base_turn) → how many rows. */
  baseTurns: Record<number, number>;
}

export interface PrepareTools {
  catalogue: Catalogue;
  /** Both needed to re-rank. */
  judge?: Judge;
  rewriter?: Rewriter;
  /** Finds the titles of a message without a list ("have you seen X or Y?"), which then come right after the hits. */
  titles?: TitleReader;
}

/** A row that is not used, and why. */
class Drop {
  constructor(readonly reason: DropReason) {}
}

/**
 * Turn rows into SFT data. `stem` and the number of the row in its file (`rows` begin at `options.start`) name rows that
 * have no key of their own.
 * Throws `InputError` when nothing is left.
 */
export async function prepareRows(
  rows: readonly RolloutRow[],
  stem: string,
  tools: PrepareTools,
  options: PrepareOptions,
): Promise<{ rows: SftRow[]; report: PrepareReport }> {
  const report: PrepareReport = { read: rows.length, written: 0, dropped: {}, changed: {}, baseTurns: {} };
  const out: SftRow[] = [];
  for (const [i, row] of rows.entries()) {
    const made = await prepareRow(row, `${stem}:${(options.start ?? 0) + i}`, tools, options);
    if (made instanceof Drop) {
      report.dropped[made.reason] = (report.dropped[made.reason] ?? 0) + 1;
      continue;
    }
    for (const change of made.changes) report.changed[change] = (report.changed[change] ?? 0) + 1;
    out.push(made.row);
    report.baseTurns[made.row.base_turn] = (report.baseTurns[made.row.base_turn] ?? 0) + 1;
  }
  report.written = out.length;
  if (out.length === 0) {
    const reasons = Object.entries(report.dropped).map(([reason, count]) => `${reason} ${count}`);
    throw new InputError(
      `${stem}: none of ${rows.length} rows can be used (${reasons.join(', ') || 'the file is empty'}).`,
      'Explore more dialogues, or prepare without --success_only.',
    );
  }
  return { rows: out, report };
}

/** Read a file of rows, prepare it, write the SFT data to `path` in the run's store, and tell the log. */
export async function runPrepare(input: {
  file: SourceFile;
  tools: PrepareTools;
  options: PrepareOptions;
  path: string;
  context: StageContext;
}): Promise<PrepareReport> {
  const { file, tools, options, path, context } = input;
  const { log, store, signal } = context;
  signal?.throwIfAborted();
  const { rows: all, problems } = readRolloutRows(file, options.mode);
  const rows = all.slice(options.start, options.end);
  for (const problem of problems) {
    log.emit({ type: 'warning', stage: 'prepare', code: 'file', message: describeProblem(problem) });
  }
  const prepared = await prepareRows(rows, stemOf(file.name), tools, options);
  await store.write(path, writeSftData(prepared.rows));
  const { report } = prepared;
  log.emit({ type: 'metrics', stage: 'prepare', name: 'prepare', metrics: { ...report } });
  log.emit({ type: 'progress', stage: 'prepare', done: rows.length, total: rows.length, unit: 'rows' });
  log.emit({ type: 'done', stage: 'prepare', summary: { ...report, path } });
  await log.flush();
  return report;
}

async function prepareRow(
  row: RolloutRow,
  key: string,
  tools: PrepareTools,
  options: PrepareOptions,
): Promise<{ row: SftRow; changes: Change[] } | Drop> {
  const changes: Change[] = [];
  if (options.successOnly && !row.rec_success) return new Drop('not_successful');
  const targets = row.rec_names
    .map((name) => tools.catalogue.byName(name))
    .filter((item) => item !== undefined);
  if (targets.length === 0) return new Drop('unknown_targets');
  if (targets.length < row.rec_names.length) changes.push('unknown_target_removed');

  let dialog = row.given_dialog.filter(({ content }) => content.trim() !== '');
  if (dialog.length < row.given_dialog.length) changes.push('empty_given_messages_removed');
  const first = row.generated_dialog.findIndex(({ role }) => role === 'assistant');
  if (first < 0) return new Drop('no_interaction');
  if (first > 0) {
    dialog = [
      ...dialog,
      ...row.generated_dialog.slice(0, first).filter(({ content }) => content.trim() !== ''),
    ];
    changes.push('leading_seeker_messages_moved');
  }
  if (dialog.length === 0) return new Drop('empty_dialogue');
  let interaction = tidy(row.generated_dialog.slice(first), changes);
  if (interaction instanceof Drop) return interaction;

  if (options.rerank && row.rec_success)
    interaction = await rerankLast(row, interaction, targets, tools, changes);

  let made: SftRow = {
    dialog,
    interaction,
    target_items: targets.map(({ name }) => name),
    base_turn: splitExchanges(interaction).length,
    key: row.key ?? key,
  };
  if (options.last !== undefined && made.base_turn > options.last) {
    made = keepLast(made, options.last);
    changes.push('exchanges_moved_to_dialogue');
  }
  return { row: made, changes };
}

/** Exchanges in order: messages of one role joined, no empty message; a last reply that is empty goes. */
function tidy(messages: readonly Message[], changes: Change[]): Message[] | Drop {
  const out: Message[] = [];
  for (const { role, content } of messages) {
    const last = out.at(-1);
    if (last?.role !== role) out.push({ role, content: content.trim() });
    else {
      last.content = `${last.content} ${content.trim()}`.trim();
      if (!changes.includes('same_role_joined')) changes.push('same_role_joined');
    }
  }
  if (out.at(-1)?.role === 'user' && out.at(-1)?.content === '') {
    out.pop();
    changes.push('empty_last_reply_removed');
  }
  const empty = out.find(({ content }) => content === '');
  if (empty) return new Drop(empty.role === 'assistant' ? 'empty_recommender_message' : 'empty_seeker_reply');
  return out;
}

/**
 * Re-rank the last recommender message of a success. What was retrieved when the row was made counts before what this run's
 * retriever finds; titles recommended without a list become a list.
 */
async function rerankLast(
  row: RolloutRow,
  interaction: readonly Message[],
  targets: readonly Item[],
  { judge, rewriter, catalogue, titles }: PrepareTools,
  changes: Change[],
): Promise<Message[]> {
  if (!judge || !rewriter) throw new RangeError('--rerank needs a judge and a rewriter.');
  const at = interaction.findLastIndex(({ role }) => role === 'assistant');
  const text = interaction[at]!.content;
  const [judged] = await judge.judge([{ text, targets }]);
  const known = row.topk_ids.filter((id) => catalogue.byId(id) !== undefined);
  const hits = targets.filter(({ id }) => known.includes(id)).map(({ id }) => id);
  const judgement: Judgement = {
    ...judged!,
    retrieved: [...new Set([...known, ...judged!.retrieved])],
    retrievedTargets: known.length > 0 ? hits : judged!.retrievedTargets,
  };
  const before = [...row.given_dialog, ...interaction.slice(0, at)].map(({ content }) => content);
  const intent = row.turns?.at(-1)?.intent ?? ruleIntent(text, before);
  if (judgement.listed.length === 0 && intent !== 'recommendation') {
    changes.push('not_reranked_no_recommendation');
    return [...interaction];
  }
  if (judgement.listed.length > 0) changes.push('reranked');
  else {
    changes.push('list_written_for_titles_in_text');
    judgement.linked = [...new Set(titles?.named(text).map(({ id }) => id) ?? [])];
    judgement.listed = judgement.linked.map((id) => catalogue.byId(id!)!.name);
  }
  const content = rewriter.rerank(text, judgement);
  return interaction.map((message, i) => (i === at ? { ...message, content } : message));
}
