/**
 * @file JSONL: one JSON value a line. A run that was killed leaves a torn last line: it is dropped with a warning, so
 * that the run can go on. A broken line anywhere else means a damaged file and is named by its number.
 */
import { InputError } from '../../core/errors.ts';
import { stripBom } from './json_text.ts';
import type { Problem, SourceFile } from './source_file.ts';

/** One line: its 1-based number in the file and its value. */
export interface JsonlLine {
  line: number;
  value: unknown;
}

export interface JsonlFile {
  lines: JsonlLine[];
  /** The torn last line, if one was dropped; empty otherwise. */
  problems: Problem[];
  /** How many UTF-16 units of the text are whole lines: where an appending writer goes on after a torn line. */
  wholeLength: number;
}

/**
 * Read a JSONL file. Blank lines are skipped.
 * @throws InputError for a broken line that is not a torn last one.
 */
export function parseJsonl(file: SourceFile): JsonlFile {
  const text = stripBom(file.text);
  const bom = file.text.length - text.length;
  const lines: JsonlLine[] = [];
  const problems: Problem[] = [];
  let at = 0;
  for (let line = 1; at < text.length; line++) {
    const newline = text.indexOf('\n', at);
    const end = newline < 0 ? text.length : newline;
    const raw = text.slice(at, end);
    if (raw.trim() !== '') {
      try {
        lines.push({ line, value: JSON.parse(raw) });
      } catch (cause) {
        if (newline >= 0)
          throw new InputError(
            `${file.name}, line ${line}: broken JSON near \`${raw.trim().slice(0, 40)}\`.`,
            'Mend or delete that line.',
            { cause },
          );
        problems.push({
          severity: 'warning',
          file: file.name,
          row: null,
          line,
          field: null,
          message: 'the last line is torn (the writer was stopped in the middle of it); it is left out.',
        });
        return { lines, problems, wholeLength: bom + at };
      }
    }
    at = newline < 0 ? text.length : newline + 1;
  }
  return { lines, problems, wholeLength: file.text.length };
}

/** One line of JSONL, line break included. */
export function jsonlLine(value: unknown): string {
  return `${JSON.stringify(value)}\n`;
}

/** Values → JSONL text. */
export function toJsonl(values: readonly unknown[]): string {
  return values.map(jsonlLine).join('');
}
