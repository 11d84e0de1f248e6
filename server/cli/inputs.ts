/** @file Files behind flags: catalogue, dialogues, SFT rows, prompts; their warnings go into the run's log. */
import { readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { systemClock } from '../../src/core/clock.ts';
import { InputError } from '../../src/core/errors.ts';
import type { Stage } from '../../src/core/run_event.ts';
import { readCatalogue } from '../../src/pipeline/data/catalogue.ts';
import { parseJson } from '../../src/pipeline/data/json_text.ts';
import { readProcessedSet, stemOf } from '../../src/pipeline/data/processed_set.ts';
import { readSftData, type SftRow } from '../../src/pipeline/data/sft_data.ts';
import {
  describeProblem,
  type Problem,
  type ReadMode,
  type SourceFile,
} from '../../src/pipeline/data/source_file.ts';
import { createItemTools, type ItemTools } from '../../src/pipeline/item_tools.ts';
import { givenLeaks } from '../../src/pipeline/leak/redact.ts';
import { parsePromptFile, PROMPT_SETS, type PromptSet } from '../../src/pipeline/prompts/prompts.ts';
import type { ProviderAccess } from '../../src/pipeline/participants.ts';
import type { EventSink } from '../../src/pipeline/run/run_log.ts';
import { grpoRows, teacherlessRows, type GrpoRow } from '../../src/pipeline/stages/grpo/rows.ts';
import { sftRowsOfDialogues } from '../../src/pipeline/stages/sft/from_dialogues.ts';
import type { Dialogue } from '../../src/pipeline/types.ts';
import { catalogueFolder, type DataPlace } from '../paths.ts';

/** Where a stage's remarks go. */
export interface LogPlace {
  sink: EventSink;
  stage: Stage;
}

/** Which rows of a file, and what to do about bad ones. */
export interface RangeValues {
  start: number;
  end?: number | undefined;
  bad_rows: 'refuse' | 'skip';
}

const readMode = (values: RangeValues): ReadMode => (values.bad_rows === 'skip' ? 'report' : 'strict');

/** A text file, or an `InputError` that names it. */
export function readText(path: string): SourceFile {
  try {
    return { name: path, text: readFileSync(path, 'utf8') };
  } catch (cause) {
    throw new InputError(`${path} cannot be read.`, 'Check the path and the permissions.', { cause });
  }
}

/** Tell the log about a file's problems: one by one when they are few, else the first ones and their number. */
export function logProblems(log: EventSink, stage: Stage, problems: readonly Problem[]): void {
  const shown = 5;
  for (const problem of problems.slice(0, shown))
    log.emit({ type: 'warning', stage, code: 'input', message: describeProblem(problem) });
  if (problems.length > shown)
    log.emit({
      type: 'warning',
      stage,
      code: 'input',
      message: `${basename(problems[0]!.file)}: ${problems.length - shown} more such remarks.`,
    });
}

/** The catalogue of a run, with everything that reads and judges messages about it. */
export function openItemTools(
  values: DataPlace & { topk: number },
  besideFile: string | undefined,
  log?: LogPlace,
): ItemTools {
  const folder = catalogueFolder(values, besideFile);
  const { catalogue, problems } = readCatalogue({
    entity2id: readText(join(folder, 'entity2id.json')),
    id2info: readText(join(folder, 'id2info.json')),
  });
  if (log) logProblems(log.sink, log.stage, problems);
  return createItemTools(catalogue, { topk: values.topk });
}

/** Dialogues of a processed set in `[start, end)`. */
export function openDialogues(
  path: string,
  tools: ItemTools,
  values: RangeValues,
  log: LogPlace,
): Dialogue[] {
  const { dialogues, problems } = readProcessedSet(readText(path), tools.catalogue, {
    start: values.start,
    end: values.end,
    mode: readMode(values),
    suggest: (name) => tools.linker.suggest(name),
  });
  logProblems(log.sink, log.stage, problems);
  const named = dialogues.filter((dialogue) => givenLeaks(dialogue).length > 0).length;
  if (named > 0)
    log.sink.emit({
      type: 'warning',
      stage: log.stage,
      code: 'given_leak',
      message: `${basename(path)}: ${named} of ${dialogues.length} given dialogues name a target already; \`tart evaluate\` shows the figures without such targets as novel only.`,
    });
  return dialogues;
}

/** The prompts of a run: the user's file, or the built-in set that fits the model. */
export function openPrompts(file: string | undefined, modelName: string): PromptSet {
  if (file) return parsePromptFile(readText(file).text, basename(file));
  return modelName === 'demo' ? PROMPT_SETS.demo : PROMPT_SETS.standard;
}

/** True when a JSON file holds SFT data (rows with an interaction) rather than a processed set. */
function holdsInteractions(file: SourceFile): boolean {
  const rows = parseJson(file);
  return (
    Array.isArray(rows) &&
    rows.some((row: unknown) => typeof row === 'object' && row !== null && 'interaction' in row)
  );
}

/** Rows to fine-tune on: SFT data, or a processed set whose human recommender is the example. */
export function openTrainingRows(
  path: string,
  values: RangeValues,
  tools: () => ItemTools,
  log: LogPlace,
): SftRow[] {
  const file = readText(path);
  if (holdsInteractions(file)) {
    const { rows, problems } = readSftData(file, readMode(values));
    logProblems(log.sink, log.stage, problems);
    return rows.slice(values.start, values.end);
  }
  const { rows, silent } = sftRowsOfDialogues(openDialogues(path, tools(), values, log));
  log.sink.emit({
    type: 'warning',
    stage: log.stage,
    code: 'processed_set',
    message: `${basename(path)} has no teacher: the recommender turns of its dialogues are trained (${silent} dialogues have none).`,
  });
  return rows;
}

/** Dialogues to sample groups for: SFT data (with the teacher's exchanges), or a processed set. */
export function openGrpoRows(path: string, tools: ItemTools, values: RangeValues, log: LogPlace): GrpoRow[] {
  const file = readText(path);
  if (!holdsInteractions(file)) return teacherlessRows(openDialogues(path, tools, values, log));
  const { rows, problems } = readSftData(file, readMode(values));
  logProblems(log.sink, log.stage, problems);
  return grpoRows(rows.slice(values.start, values.end), tools.catalogue, stemOf(path));
}

/** What models behind an address need: the environment's keys, --base_url. */
export const providerAccess = (values: { base_url?: string | undefined }): ProviderAccess => ({
  environment: process.env,
  baseUrl: values.base_url,
  clock: systemClock,
});
