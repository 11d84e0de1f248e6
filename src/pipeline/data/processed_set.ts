/**
 * @file Processed sets: `<name>_processed_{train,test}.json`, an array of `{dialog, target_items}`.
 *
 * Two messages of one role in a row are kept as they stand (chat templates of the supported families render them, and
 * `given_dialog` in the output stays what the file says); they are counted in a warning. A dialogue that ends with the
 * assistant is kept too: the recommender then speaks again. What a recommender cannot work with is an error: no message at
 * all, a message without text, a role other than user or assistant, no target, a target that is not in the catalogue.
 */
import * as v from 'valibot';
import { InputError, UsageError } from '../../core/errors.ts';
import type { Message } from '../../core/message.ts';
import type { Catalogue, Dialogue, Item } from '../types.ts';
import { parseJson } from './json_text.ts';
import {
  issueMessage,
  issuePath,
  type Problem,
  ProblemList,
  type ReadMode,
  type SourceFile,
} from './source_file.ts';

/** Schema of a message in any of the recipe's files. */
export const MessageSchema = v.object({ role: v.picklist(['user', 'assistant']), content: v.string() });

const RowSchema = v.looseObject({
  dialog: v.array(v.looseObject({ role: v.string(), content: v.string() })),
  target_items: v.array(v.string()),
});

/** A longer message is reported: prompts will cut it. Characters. */
export const LONG_MESSAGE = 20_000;

/** Half of an emoji: text that UTF-8 cannot carry. */
const LONE_SURROGATE = /\p{Surrogate}/u;

export interface ProcessedSetOptions {
  /** First row, from 0 (`--start`). Absent = 0. */
  start?: number;
  /** Row after the last (`--end`). Absent = all. */
  end?: number;
  /** `strict` (the default) throws the first error; `report` leaves bad rows out and says so. */
  mode?: ReadMode;
  /** Nearest catalogue name of an unknown target, for the message. */
  suggest?: (name: string) => string | undefined;
}

export interface ProcessedSet {
  dialogues: Dialogue[];
  problems: Problem[];
  /** Rows in the file, whatever `start` and `end` say. */
  rowsInFile: number;
}

/**
 * Read a processed set. Only rows in `[start, end)` are checked and returned; `index` stays the row in the file.
 * @throws InputError (strict mode, or broken JSON in either), UsageError for an impossible range.
 */
export function readProcessedSet(
  file: SourceFile,
  catalogue: Catalogue,
  options: ProcessedSetOptions = {},
): ProcessedSet {
  const value = parseJson(file);
  if (!Array.isArray(value))
    throw new InputError(
      `${file.name}: expected an array of {dialog, target_items}, found ${value === null ? 'null' : typeof value}.`,
      'Give a processed set; see the README on file formats.',
    );
  const rows: unknown[] = value;
  const [start, end] = checkRange(options, rows.length, file.name);
  const list = new ProblemList(file.name, options.mode ?? 'strict');
  const stem = stemOf(file.name);
  const dialogues: Dialogue[] = [];
  for (let row = start; row < end; row++) {
    const read = readRow(rows[row], row, catalogue, list, options.suggest);
    if (read) dialogues.push({ key: `${stem}:${row}`, index: row, ...read });
  }
  return { dialogues, problems: list.problems, rowsInFile: rows.length };
}

/** Dialogues → the text of a processed set. */
export function writeProcessedSet(dialogues: readonly Pick<Dialogue, 'dialog' | 'targets'>[]): string {
  const rows = dialogues.map((d) => ({ dialog: d.dialog, target_items: d.targets.map((t) => t.name) }));
  return `[\n${rows.map((r) => JSON.stringify(r)).join(',\n')}\n]\n`;
}

/** File name without folders and extension: the first half of a dialogue's key. */
export function stemOf(name: string): string {
  return name.replace(/^.*[/\\]/, '').replace(/\.(json|jsonl)$/i, '');
}

function checkRange(options: ProcessedSetOptions, length: number, file: string): [number, number] {
  const start = options.start ?? 0;
  const end = Math.min(options.end ?? length, length);
  if (!Number.isInteger(start) || start < 0) throw new UsageError(`--start ${start} is not a row number.`);
  if (options.end !== undefined && (!Number.isInteger(options.end) || options.end < 0))
    throw new UsageError(`--end ${options.end} is not a row number.`);
  if (length === 0)
    throw new InputError(`${file}: the set has no rows.`, 'Give a file with at least one dialogue.');
  if (start >= end)
    throw new UsageError(
      `--start ${start} and --end ${options.end ?? length} leave no row of the ${length} in ${file}.`,
      'Choose 0 ≤ start < end.',
    );
  return [start, end];
}

function readRow(
  value: unknown,
  row: number,
  catalogue: Catalogue,
  list: ProblemList,
  suggest: ProcessedSetOptions['suggest'],
): { dialog: Message[]; targets: Item[] } | null {
  const parsed = v.safeParse(RowSchema, value);
  if (!parsed.success) {
    for (const issue of parsed.issues) {
      const field = issuePath(issue);
      list.error(field === null ? { row } : { row, field }, issueMessage(issue));
    }
    return null;
  }
  const errorsBefore = list.problems.length;
  let bad = false;
  const fail = (field: string, message: string, remedy?: string) => {
    bad = true;
    list.error({ row, field }, message, remedy);
  };
  const dialog: Message[] = [];
  let sameRole = 0;
  parsed.output.dialog.forEach((message, i) => {
    const { role } = message;
    if (role !== 'user' && role !== 'assistant') {
      fail(`dialog[${i}].role`, `"${role}" is not a role.`, roleRemedy(role));
      return;
    }
    if (message.content.trim() === '') {
      fail(`dialog[${i}].content`, 'the message is empty.', 'Remove the message or the row.');
      return;
    }
    if (LONE_SURROGATE.test(message.content))
      list.warning(
        { row, field: `dialog[${i}].content` },
        'half an emoji (a lone surrogate) was replaced by �.',
      );
    if (message.content.length >= LONG_MESSAGE)
      list.warning(
        { row, field: `dialog[${i}].content` },
        `the message has ${message.content.length} characters; prompts keep what fits.`,
      );
    if (dialog.at(-1)?.role === role) sameRole++;
    dialog.push({ role, content: message.content.replace(new RegExp(LONE_SURROGATE, 'gu'), '\ufffd') });
  });
  if (parsed.output.dialog.length === 0)
    fail('dialog', 'the dialogue has no messages.', 'Remove the row: there is nothing to answer.');
  if (sameRole > 0)
    list.warning(
      { row, field: 'dialog' },
      `${sameRole} message(s) follow one of the same role; kept as they stand.`,
    );
  const targets = readTargets(
    parsed.output.target_items,
    catalogue,
    fail,
    (message) => {
      list.warning({ row, field: 'target_items' }, message);
    },
    suggest,
  );
  if (bad) {
    // A left-out row speaks through its errors; what was only a warning about it does not matter any more.
    const kept = list.problems.splice(errorsBefore).filter((p) => p.severity === 'error');
    list.problems.push(...kept);
    return null;
  }
  return { dialog, targets };
}

function readTargets(
  names: readonly string[],
  catalogue: Catalogue,
  fail: (field: string, message: string, remedy?: string) => void,
  warn: (message: string) => void,
  suggest: ProcessedSetOptions['suggest'],
): Item[] {
  const targets: Item[] = [];
  if (names.length === 0)
    fail('target_items', 'the row has no target item.', 'Name at least one catalogue item.');
  names.forEach((name, i) => {
    const item = catalogue.byName(name);
    if (!item) {
      const near = suggest?.(name);
      fail(
        `target_items[${i}]`,
        `"${name}" is not in the catalogue.`,
        near === undefined ? 'Check --kg_dataset.' : `Did you mean "${near}"? Otherwise check --kg_dataset.`,
      );
    } else if (targets.includes(item)) warn(`"${name}" is named twice; it counts once.`);
    else targets.push(item);
  });
  return targets;
}

function roleRemedy(role: string): string {
  const lower = role.toLowerCase();
  if (['seeker', 'human', 'initiator'].includes(lower)) return 'Call the seeker "user".';
  if (['recommender', 'bot', 'system', 'gpt', 'model'].includes(lower))
    return 'Call the recommender "assistant".';
  return 'Roles are "user" (seeker) and "assistant" (recommender).';
}
