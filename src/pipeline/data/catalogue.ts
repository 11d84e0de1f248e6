/**
 * @file The catalogue: `entity2id.json` (name → number, items and attributes alike) and `id2info.json` (item key →
 * attributes), in the field conventions of the datasets: `genre director star writer plot` (ReDial, INSPIRED, the demo),
 * `genre director actor writer year language` (OpenDialKG). Fields this file does not know are kept in `item.extra`.
 */
import * as v from 'valibot';
import { InputError } from '../../core/errors.ts';
import type { Catalogue, Item } from '../types.ts';
import { parseJson } from './json_text.ts';
import { issueMessage, issuePath, type Problem, ProblemList, type SourceFile } from './source_file.ts';

const Entity2Id = v.record(v.string(), v.pipe(v.number(), v.integer(), v.minValue(0)));
const Info = v.looseObject({ name: v.pipe(v.string(), v.nonEmpty()) });

/** Field names, per attribute, in the order they are looked for. */
const FIELDS = {
  genres: ['genre', 'genres'],
  directors: ['director', 'directors'],
  stars: ['star', 'stars', 'actor', 'actors', 'cast'],
  writers: ['writer', 'writers'],
  plot: ['plot', 'overview', 'summary', 'description'],
  year: ['year', 'release_year'],
} as const;
const KNOWN = new Set<string>(['name', ...Object.values(FIELDS).flat()]);

/** A catalogue and what was noticed while reading it. */
export interface CatalogueReading {
  catalogue: Catalogue;
  /** Items without a number, items listed twice, fields of a wrong kind: all warnings. */
  problems: Problem[];
  /** Rows of id2info that were folded into another row of the same name. */
  duplicates: number;
  /** Names in id2info that entity2id does not number; these items are left out. */
  unnumbered: string[];
}

/**
 * Read the two files of a catalogue.
 *
 * An item whose name has no number in `entity2id` cannot be a label and is left out, with a warning. Two rows of one
 * name are one item (ReDial lists seven films twice): the first row counts, its empty fields are filled from the second.
 * @throws InputError when a file is not what it should be, when two names share a number, or when no item is left.
 */
export function readCatalogue(files: { entity2id: SourceFile; id2info: SourceFile }): CatalogueReading {
  const ids = checkWhole(
    Entity2Id,
    parseJson(files.entity2id),
    files.entity2id.name,
    'a map of names to numbers',
  );
  const rows = checkWhole(
    v.record(v.string(), v.unknown()),
    parseJson(files.id2info),
    files.id2info.name,
    'a map of item keys to attributes',
  );
  const idOf = new Map(Object.entries(ids));
  const list = new ProblemList(files.id2info.name, 'strict');
  const unnumbered: string[] = [];
  const byName = new Map<string, Item>();
  const nameOfId = new Map<number, string>();
  let duplicates = 0;
  for (const [key, value] of Object.entries(rows)) {
    const parsed = v.safeParse(Info, value);
    if (!parsed.success) {
      const issue = parsed.issues[0];
      list.error(
        { field: [JSON.stringify(key), issuePath(issue)].filter(Boolean).join('.') },
        issueMessage(issue),
      );
      continue;
    }
    const info = parsed.output;
    const id = idOf.get(info.name);
    if (id === undefined) {
      unnumbered.push(info.name);
      list.warning(
        { field: `${JSON.stringify(key)}.name` },
        `"${info.name}" has no number in ${files.entity2id.name}; the item is left out.`,
      );
      continue;
    }
    const item = itemFromInfo(id, info, (field, what) => {
      list.warning({ field: `${JSON.stringify(key)}.${field}` }, what);
    });
    const earlier = byName.get(info.name);
    if (earlier) {
      duplicates++;
      fillFrom(earlier, item);
      list.warning({ field: JSON.stringify(key) }, `"${info.name}" is listed twice; the rows are one item.`);
      continue;
    }
    const other = nameOfId.get(id);
    if (other !== undefined)
      throw new InputError(
        `${files.entity2id.name}: "${other}" and "${info.name}" have the same number ${id}.`,
        'Give each name its own number.',
      );
    byName.set(info.name, item);
    nameOfId.set(id, info.name);
  }
  if (byName.size === 0)
    throw new InputError(
      `${files.id2info.name}: no item is left.`,
      `Check that its names appear in ${files.entity2id.name}.`,
    );
  return {
    catalogue: createCatalogue([...byName.values()]),
    problems: list.problems,
    duplicates,
    unnumbered,
  };
}

/** A catalogue from items. @throws InputError when two items share an id or a name. */
export function createCatalogue(items: readonly Item[]): Catalogue {
  const ids = new Map<number, Item>();
  const names = new Map<string, Item>();
  for (const item of items) {
    if (ids.has(item.id)) throw new InputError(`The catalogue has two items with the id ${item.id}.`);
    if (names.has(item.name)) throw new InputError(`The catalogue has two items named "${item.name}".`);
    ids.set(item.id, item);
    names.set(item.name, item);
  }
  return { items, byId: (id) => ids.get(id), byName: (name) => names.get(name) };
}

/** The release year a title ends with, `(1999)`, or null. */
export function yearOfTitle(name: string): number | null {
  const match = /\((\d{4})\)\s*$/.exec(name);
  return match ? Number(match[1]) : null;
}

/** An item from one row of id2info; `complain(field, what)` hears about fields of a wrong kind, which count as empty. */
export function itemFromInfo(
  id: number,
  info: { name: string; [field: string]: unknown },
  complain: (field: string, what: string) => void,
): Item {
  const first = (names: readonly string[]): [string, unknown] | undefined => {
    const name = names.find((n) => info[n] !== undefined && info[n] !== null);
    return name === undefined ? undefined : [name, info[name]];
  };
  const strings = (names: readonly string[]): string[] => {
    const found = first(names);
    if (!found) return [];
    const [field, value] = found;
    const list = typeof value === 'string' ? value.split(/\s*[,|;]\s*/) : value;
    if (!Array.isArray(list) || !list.every((x) => typeof x === 'string')) {
      complain(field, 'expected a list of texts; the field is left out.');
      return [];
    }
    return [...new Set(list.map((x: string) => x.trim()).filter((x) => x !== ''))];
  };
  const plot = first(FIELDS.plot)?.[1];
  const yearField = first(FIELDS.year)?.[1];
  const yearDigits = /\b(\d{4})\b/.exec(
    typeof yearField === 'number' ? String(yearField) : '' + (yearField ?? ''),
  );
  const extra: Record<string, unknown> = {};
  for (const [field, value] of Object.entries(info)) if (!KNOWN.has(field)) extra[field] = value;
  return {
    id,
    name: info.name,
    genres: strings(FIELDS.genres),
    directors: strings(FIELDS.directors),
    stars: strings(FIELDS.stars),
    writers: strings(FIELDS.writers),
    plot: typeof plot === 'string' ? plot : '',
    year: yearOfTitle(info.name) ?? (yearDigits ? Number(yearDigits[1]) : null),
    extra,
  };
}

function fillFrom(item: Item, other: Item): void {
  for (const field of ['genres', 'directors', 'stars', 'writers'] as const)
    if (item[field].length === 0) item[field] = other[field];
  if (item.plot === '') item.plot = other.plot;
  item.year ??= other.year;
  item.extra = { ...other.extra, ...item.extra };
}

function checkWhole<T>(schema: v.GenericSchema<unknown, T>, value: unknown, file: string, what: string): T {
  const parsed = v.safeParse(schema, value);
  if (parsed.success) return parsed.output;
  const issue = parsed.issues[0];
  const path = issuePath(issue);
  throw new InputError(
    `${file}${path ? `, ${path}` : ''}: ${issueMessage(issue)}`,
    `The file must be ${what}.`,
  );
}
