/** @file Files behind flags: catalogue, dialogues, SFT rows, prompts; their warnings go into the run's log. */
import { readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { InputError } from '../../src/core/errors.ts';
import type { Stage } from '../../src/core/run_event.ts';
import { readCatalogue } from '../../src/pipeline/data/catalogue.ts';
import { readProcessedSet } from '../../src/pipeline/data/processed_set.ts';
import { describeProblem, type Problem, type SourceFile } from '../../src/pipeline/data/source_file.ts';
import { createItemTools, type ItemTools } from '../../src/pipeline/item_tools.ts';
import { parsePromptFile, PROMPT_SETS, type PromptSet } from '../../src/pipeline/prompts/prompts.ts';
import type { EventSink } from '../../src/pipeline/run/run_log.ts';
import type { Dialogue } from '../../src/pipeline/types.ts';
import { catalogueFolder, type DataPlace } from '../paths.ts';

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
  log?: { sink: EventSink; stage: Stage },
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
  values: { start: number; end?: number | undefined; bad_rows: string },
  log: { sink: EventSink; stage: Stage },
): Dialogue[] {
  const { dialogues, problems } = readProcessedSet(readText(path), tools.catalogue, {
    start: values.start,
    end: values.end,
    mode: values.bad_rows === 'skip' ? 'report' : 'strict',
    suggest: (name) => tools.linker.link(name).item?.name,
  });
  logProblems(log.sink, log.stage, problems);
  return dialogues;
}

/** The prompts of a run: the user's file, or the built-in set that fits the model. */
export function openPrompts(file: string | undefined, modelName: string): PromptSet {
  if (file) return parsePromptFile(readText(file).text, basename(file));
  return modelName === 'demo' ? PROMPT_SETS.demo : PROMPT_SETS.standard;
}
