/**
 * @file Explore: a teacher talks with the seeker over every dialogue; each conversation becomes one row. Rows are written in
 * the order of the dialogues; a row that is finished before its turn waits in a side file, so nothing that was paid for is
 * lost. A stopped run continues where it was, and its file and log equal those of an uninterrupted run.
 */
import { InputError } from '../../core/errors.ts';
import type { NewRunEvent, Stage } from '../../core/run_event.ts';
import { jsonlLine, parseJsonl } from '../data/jsonl.ts';
import { readRolloutRows, type RolloutRow } from '../data/rollout_rows.ts';
import {
  runEpisodes,
  type EpisodeParticipants,
  type EpisodeRequest,
  type EpisodeSettings,
} from '../episode/episode.ts';
import { recordOfRow, rolloutRow } from '../episode/rollout_row.ts';
import { rolloutKey } from '../episode/seeds.ts';
import { readEvents } from '../run/run_log.ts';
import type { Catalogue, Dialogue } from '../types.ts';
import type { StageContext } from './context.ts';

export interface ExploreInput {
  dialogues: readonly Dialogue[];
  catalogue: Catalogue;
  participants: EpisodeParticipants;
  settings: EpisodeSettings;
  /** How many retrieved items a row keeps in `topk_ids`. */
  topk: number;
  /** `--num_concurrent`: dialogues in flight at once. */
  numConcurrent: number;
  /**
   * `false`: each dialogue goes on as soon as its own answers are there (models behind an address).
   * `true`: the dialogues in flight speak in step, one batched call a turn (the policy, rules). Default false.
   */
  inStep?: boolean;
  /** File of the rows in the run's store. */
  path: string;
  stage?: Stage;
  context: StageContext;
}

export interface ExploreSummary {
  dialogues: number;
  /** Shares of dialogues. */
  success: { rewarded: number; retrieved: number; shown: number; accepted: number };
  /** The original's figure: share of dialogues whose last message retrieved a target. */
  lastTurnSuccess: number;
  meanTurns: number;
  malformed: number;
  leaks: number;
  promptTokens: number;
  completionTokens: number;
  costUsd: number;
  path: string;
}

/**
 * Run all dialogues that have no row yet. Throws the signal's reason when aborted and the first participant's error
 * otherwise, in both cases after every finished conversation was written; `InputError` when the file has rows of another run.
 */
export async function runExplore(input: ExploreInput): Promise<ExploreSummary> {
  const { dialogues, context, path, stage = 'explore' } = input;
  const writer = await RowWriter.open(input, stage);
  let failure: { error: unknown } | null = null;
  const size = input.inStep ? Math.max(1, input.numConcurrent) : 1;
  // A batch that was not finished is run again as a whole, so that a continued run computes the same batches.
  const jobs: number[][] = [];
  for (let at = 0; at < dialogues.length; at += size) {
    const job = dialogues.slice(at, at + size).map((_, k) => at + k);
    if (job.some((i) => !writer.has(i))) jobs.push(job);
  }
  let nextJob = 0;
  const work = async (): Promise<void> => {
    while (nextJob < jobs.length && !failure && !context.signal?.aborted) {
      const job = jobs[nextJob++]!;
      try {
        const requests = job.map((i): EpisodeRequest => ({ dialogue: dialogues[i]! }));
        const results = await runEpisodes(requests, input.participants, input.settings, {
          signal: context.signal,
        });
        for (const [k, result] of results.entries()) {
          const index = job[k]!;
          if (writer.has(index)) continue;
          await writer.add(index, rolloutRow(result, input.catalogue, { topk: input.topk }));
        }
      } catch (error) {
        failure ??= { error };
      }
    }
  };
  const workers = input.inStep ? 1 : Math.max(1, input.numConcurrent);
  await Promise.all(Array.from({ length: workers }, work));
  await context.log.flush();
  if (context.signal?.aborted) throw context.signal.reason;
  if (failure) throw (failure as { error: unknown }).error;
  await writer.close();
  const summary = summarise(writer.rows, path);
  context.log.emit({ type: 'done', stage, summary: { ...summary } });
  await context.log.flush();
  return summary;
}

/** Writes rows in the order of the dialogues and tells the log. */
class RowWriter {
  /** Rows in the main file: always those of the first dialogues. */
  readonly rows: RolloutRow[] = [];
  /** Finished rows that wait for an earlier one. */
  private readonly waiting = new Map<number, RolloutRow>();
  private queue: Promise<void> = Promise.resolve();

  private constructor(
    private readonly input: ExploreInput,
    private readonly stage: Stage,
  ) {}

  static async open(input: ExploreInput, stage: Stage): Promise<RowWriter> {
    const writer = new RowWriter(input, stage);
    const { store, log, resume } = input.context;
    const pending = pendingPath(input.path);
    if (!resume) {
      await store.remove(input.path);
      await store.remove(pending);
      await store.write(input.path, '');
      log.emit({ type: 'progress', stage, done: 0, total: input.dialogues.length, unit: 'dialogues' });
      return writer;
    }
    const keys = new Map(input.dialogues.map(({ key }, i) => [rolloutKey(key, 0), i]));
    for (const row of await writer.load(input.path)) {
      const index = row.key === undefined ? undefined : keys.get(row.key);
      if (index !== writer.rows.length) {
        throw new InputError(
          `${input.path}: row ${writer.rows.length} (${row.key ?? 'no key'}) does not belong to this run.`,
          'Resume with the same data and range, or give another --log_name.',
        );
      }
      writer.rows.push(row);
    }
    await store.write(input.path, writer.rows.map((row) => jsonlLine(row)).join(''));
    for (const row of await writer.load(pending)) {
      const index = row.key === undefined ? undefined : keys.get(row.key);
      if (index !== undefined && index >= writer.rows.length) writer.waiting.set(index, row);
    }
    await writer.catchUp();
    await writer.drain();
    return writer;
  }

  has(index: number): boolean {
    return index < this.rows.length || this.waiting.has(index);
  }

  /** Take a finished row. Resolves when it is in the store. */
  add(index: number, row: RolloutRow): Promise<void> {
    this.queue = this.queue.then(async () => {
      if (index !== this.rows.length) {
        await this.input.context.store.append(pendingPath(this.input.path), jsonlLine(row));
      }
      this.waiting.set(index, row);
      await this.drain();
    });
    return this.queue;
  }

  async close(): Promise<void> {
    await this.queue;
    await this.input.context.store.remove(pendingPath(this.input.path));
  }

  /** Move every row whose turn it is to the main file. */
  private async drain(): Promise<void> {
    for (;;) {
      const row = this.waiting.get(this.rows.length);
      if (!row) return;
      await this.input.context.store.append(this.input.path, jsonlLine(row));
      this.waiting.delete(this.rows.length);
      this.rows.push(row);
      this.tell(row, this.rows.length);
    }
  }

  /** Rows of a file; a torn last line is left out. Values stay as they were written, key by key. */
  private async load(path: string): Promise<RolloutRow[]> {
    const bytes = await this.input.context.store.read(path);
    if (!bytes) return [];
    const file = { name: path, text: new TextDecoder().decode(bytes) };
    const { lines } = parseJsonl(file);
    const whole = lines.map(({ value }) => jsonlLine(value)).join('');
    readRolloutRows({ name: path, text: whole });
    return lines.map(({ value }) => value as RolloutRow);
  }

  /** Make the log tell of exactly the rows in the file. */
  private async catchUp(): Promise<void> {
    const { store, log } = this.input.context;
    await log.flush();
    const { events } = await readEvents(store);
    const last = events.findLastIndex(
      (event) => event.type === 'progress' && event.stage === this.stage && event.done <= this.rows.length,
    );
    const told = last < 0 ? -1 : (events[last] as { done: number }).done;
    await log.truncate(last < 0 ? Math.min(1, log.position) : last + 1);
    if (told < 0) this.progress(0);
    for (let n = Math.max(0, told); n < this.rows.length; n++) this.tell(this.rows[n]!, n + 1);
  }

  /** The events of one row; progress last, so that a log is whole up to each progress event. */
  private tell(row: RolloutRow, done: number): void {
    const { log } = this.input.context;
    log.emit({ type: 'rollout', stage: this.stage, step: done - 1, rollout: recordOfRow(row) });
    for (const event of costs(row, this.stage, this.input.participants.seeker.name)) log.emit(event);
    this.progress(done);
  }

  private progress(done: number): void {
    const total = this.input.dialogues.length;
    this.input.context.log.emit({ type: 'progress', stage: this.stage, done, total, unit: 'dialogues' });
  }
}

function pendingPath(path: string): string {
  return `${path}.pending`;
}

function costs(row: RolloutRow, stage: Stage, seeker: string): NewRunEvent[] {
  return Object.entries(row.usage ?? {}).map(([party, used]) => ({
    type: 'cost',
    stage,
    model: party === 'seeker' ? seeker : (row.model ?? party),
    promptTokens: used.promptTokens,
    completionTokens: used.completionTokens,
    costUsd: used.costUsd ?? 0,
  }));
}

function summarise(rows: readonly RolloutRow[], path: string): ExploreSummary {
  const share = (is: (row: RolloutRow) => boolean | undefined): number =>
    rows.length === 0 ? 0 : rows.filter((row) => is(row)).length / rows.length;
  const sum = (of: (row: RolloutRow) => number): number => rows.reduce((total, row) => total + of(row), 0);
  const tokens = (field: 'promptTokens' | 'completionTokens' | 'costUsd'): number =>
    sum((row) => Object.values(row.usage ?? {}).reduce((total, used) => total + (used[field] ?? 0), 0));
  return {
    dialogues: rows.length,
    success: {
      rewarded: share((row) => row.success?.rewarded),
      retrieved: share((row) => row.success?.retrieved),
      shown: share((row) => row.success?.shown),
      accepted: share((row) => row.success?.accepted),
    },
    lastTurnSuccess: share((row) => row.last_turn_success === true),
    meanTurns: rows.length === 0 ? 0 : sum((row) => row.turns?.length ?? 0) / rows.length,
    malformed: sum((row) => row.malformed ?? 0),
    leaks: sum((row) => row.leaks ?? 0),
    promptTokens: tokens('promptTokens'),
    completionTokens: tokens('completionTokens'),
    costUsd: tokens('costUsd'),
    path,
  };
}
