/**
 * @file JSON files read with errors that name the place: the row of an array of rows (found by walking its elements
 * outside strings) and the line and column. Engines word JSON errors differently; this does not depend on the wording.
 */
import { InputError } from '../../core/errors.ts';
import type { SourceFile } from './source_file.ts';

/** The file's JSON value. @throws InputError naming file, row (for an array), line and column. */
export function parseJson(file: SourceFile): unknown {
  const text = stripBom(file.text);
  if (text.trim() === '') throw new InputError(`${file.name}: the file is empty.`, 'Give a JSON file.');
  try {
    return JSON.parse(text);
  } catch (cause) {
    const at = locateJsonError(text);
    const row = at.row === null ? '' : `, row ${at.row}`;
    throw new InputError(
      `${file.name}${row}, line ${at.line}, column ${at.column}: broken JSON (${at.what}).`,
      'Mend the file at that place or export it again.',
      { cause },
    );
  }
}

/** The text without a byte-order mark. */
export function stripBom(text: string): string {
  return text.charCodeAt(0) === 0xfeff ? text.slice(1) : text;
}

/** Where the first broken element of broken JSON begins. `row` is null when the text is not an array. */
export function locateJsonError(text: string): {
  row: number | null;
  line: number;
  column: number;
  what: string;
} {
  const start = text.search(/\S/);
  if (text[start] !== '[')
    return { row: null, ...lineOf(text, Math.max(start, 0)), what: shorten(text, start) };
  let row = 0;
  let at = start + 1;
  for (;;) {
    const end = elementEnd(text, at);
    const element = text.slice(at, end);
    const from = at + Math.max(element.search(/\S/), 0);
    const last = end >= text.length;
    if (last) return { row, ...lineOf(text, from), what: 'the text ends inside this row' };
    if (!(text[end] === ']' && row === 0 && element.trim() === '')) {
      try {
        JSON.parse(element);
      } catch {
        return {
          row,
          ...lineOf(text, from),
          what: element.trim() === '' ? 'an empty row' : shorten(text, from),
        };
      }
    }
    if (text[end] === ']')
      return { row: null, ...lineOf(text, end + 1), what: 'text after the end of the array' };
    at = end + 1;
    row++;
  }
}

/** Position of the `,` or `]` that ends the array element starting at `at`, or the length of the text. */
function elementEnd(text: string, at: number): number {
  let depth = 0;
  let inString = false;
  for (let i = at; i < text.length; i++) {
    const c = text[i];
    if (inString) {
      if (c === '\\') i++;
      else if (c === '"') inString = false;
    } else if (c === '"') inString = true;
    else if (c === '{' || c === '[') depth++;
    else if (c === '}' || c === ']') {
      if (depth === 0) return i;
      depth--;
    } else if (c === ',' && depth === 0) return i;
  }
  return text.length;
}

function lineOf(text: string, position: number): { line: number; column: number } {
  let line = 1;
  let lineStart = 0;
  for (let i = text.indexOf('\n'); i >= 0 && i < position; i = text.indexOf('\n', i + 1)) {
    line++;
    lineStart = i + 1;
  }
  return { line, column: position - lineStart + 1 };
}

function shorten(text: string, from: number): string {
  const piece = text.slice(Math.max(from, 0), Math.max(from, 0) + 40).replace(/\s+/g, ' ');
  return `near \`${piece}\``;
}
