/**
 * @file SFT data: an array of `{dialog, interaction, target_items, base_turn}`; `interaction` holds the teacher's
 * exchanges, `base_turn` says how many. `_last2` data moves all but the last two exchanges into the dialogue (turn-aware
 * group initialisation, offline); `--new_tgi` draws such a prefix at run time.
 */
import * as v from 'valibot';
import { InputError } from '../../core/errors.ts';
import type { Message } from '../../core/message.ts';
import { parseJson } from './json_text.ts';
import { MessageSchema } from './processed_set.ts';
import { checkRows } from './rows.ts';
import { ProblemList, type Problem, type ReadMode, type SourceFile } from './source_file.ts';

export const SftRowSchema = v.pipe(
  v.looseObject({
    dialog: v.array(MessageSchema),
    interaction: v.pipe(v.array(MessageSchema), v.minLength(1, 'the interaction has no messages.')),
    target_items: v.array(v.string()),
    base_turn: v.pipe(v.number(), v.integer(), v.minValue(0)),
    /** Key of the dialogue the row was made from. */
    key: v.optional(v.string()),
  }),
  v.check((r) => r.interaction[0]?.role === 'assistant', 'the interaction must begin with the assistant.'),
);

/** One row of SFT data. */
export type SftRow = v.InferOutput<typeof SftRowSchema>;

/**
 * Read SFT data. A `base_turn` that is not the number of exchanges is put right, with a warning.
 * @throws InputError naming row and field (strict mode; broken JSON in either).
 */
export function readSftData(
  file: SourceFile,
  mode: ReadMode = 'strict',
): { rows: SftRow[]; problems: Problem[] } {
  const value = parseJson(file);
  if (!Array.isArray(value))
    throw new InputError(
      `${file.name}: expected an array of {dialog, interaction, target_items, base_turn}.`,
      'Make one with `tart prepare`.',
    );
  const values: unknown[] = value;
  if (values.length === 0)
    throw new InputError(`${file.name}: the file has no rows.`, 'Make one with `tart prepare`.');
  const { rows, problems } = checkRows(
    file.name,
    SftRowSchema,
    values.map((x, row) => ({ row, value: x })),
    mode,
  );
  const list = new ProblemList(file.name, mode);
  for (const { value: row, where } of rows) {
    const turns = splitExchanges(row.interaction).length;
    if (row.base_turn !== turns) {
      list.warning(
        { ...where, field: 'base_turn' },
        `${row.base_turn}, but the interaction has ${turns} exchange(s); ${turns} is used.`,
      );
      row.base_turn = turns;
    }
  }
  return { rows: rows.map((r) => r.value), problems: [...problems, ...list.problems] };
}

/** SFT rows → the text of a file. */
export function writeSftData(rows: readonly SftRow[]): string {
  return `[\n${rows.map((r) => JSON.stringify(r)).join(',\n')}\n]\n`;
}

/** An interaction as exchanges: each begins with a recommender message; the last may lack its answer. */
export function splitExchanges(interaction: readonly Message[]): Message[][] {
  const out: Message[][] = [];
  for (const message of interaction) {
    if (message.role === 'assistant' || out.length === 0) out.push([message]);
    else out.at(-1)!.push(message);
  }
  return out;
}

/** Move the first `count` exchanges of the interaction to the end of the dialogue. */
export function movePrefix(row: SftRow, count: number): SftRow {
  const exchanges = splitExchanges(row.interaction);
  const moved = Math.max(0, Math.min(count, exchanges.length));
  const rest = exchanges.slice(moved);
  return {
    ...row,
    dialog: [...row.dialog, ...exchanges.slice(0, moved).flat()],
    interaction: rest.flat(),
    base_turn: rest.length,
  };
}

/** `prepare --last N`: keep the last `count` exchanges as the interaction, the others join the dialogue. */
export function keepLast(row: SftRow, count: number): SftRow {
  return movePrefix(row, splitExchanges(row.interaction).length - count);
}
