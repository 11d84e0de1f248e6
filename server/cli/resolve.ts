/** @file Raw flag values (command line, --config file) → a typed configuration, or a `UsageError` that names the flag. */
import { distance } from 'fastest-levenshtein';
import { UsageError } from '../../src/core/errors.ts';
import type { Flag, FlagTable, Values } from './flag_types.ts';

/** The nearest of `names` to a mistyped one, when it is near enough to be meant. */
export function nearest(name: string, names: readonly string[]): string | undefined {
  const scored = names
    .map((n) => ({ n, d: distance(name.toLowerCase(), n.toLowerCase()) }))
    .sort((a, b) => a.d - b.d || a.n.localeCompare(b.n));
  const best = scored[0];
  return best && best.d <= Math.max(2, Math.floor(name.length / 3)) ? best.n : undefined;
}

/** One value of a flag, from text or from JSON. Throws `UsageError`. */
function parseValue(name: string, flag: Flag, raw: unknown): unknown {
  const wrong = (expected: string): UsageError =>
    new UsageError(
      `--${name} is ${JSON.stringify(raw)}; expected ${expected}.`,
      `See \`tart <command> --help\`.`,
    );
  switch (flag.type) {
    case 'bool': {
      if (typeof raw === 'boolean') return raw;
      const text = String(raw).toLowerCase();
      if (['true', '1', 'yes'].includes(text)) return true;
      if (['false', '0', 'no'].includes(text)) return false;
      throw wrong('true or false');
    }
    case 'int':
    case 'float': {
      const text = String(raw).trim();
      const value = typeof raw === 'number' ? raw : text === '' ? NaN : Number(text);
      if (!Number.isFinite(value)) throw wrong('a number');
      if (flag.type === 'int' && !Number.isSafeInteger(value)) throw wrong('a whole number');
      if (flag.min !== undefined && value < flag.min) throw wrong(`at least ${flag.min}`);
      if (flag.max !== undefined && value > flag.max) throw wrong(`at most ${flag.max}`);
      return value;
    }
    case 'choice': {
      const value = String(raw);
      if (!flag.choices.includes(value)) {
        const near = nearest(value, flag.choices);
        throw wrong(`one of ${flag.choices.join(', ')}${near ? ` (did you mean ${near}?)` : ''}`);
      }
      return value;
    }
    case 'list': {
      const value = Array.isArray(raw) ? raw.map(String) : String(raw).split(',');
      const items = value.map((v) => v.trim()).filter(Boolean);
      if (!items.length) throw wrong('a comma-separated list');
      return items;
    }
    case 'string':
      if (typeof raw !== 'string' || raw === '') throw wrong('text');
      return raw;
  }
}

/** Where an unknown flag is known, or what it resembles. */
export function unknownFlag(
  name: string,
  command: string,
  table: FlagTable,
  everyTable: Record<string, FlagTable>,
): UsageError {
  const owners = Object.entries(everyTable)
    .filter(([other, t]) => other !== command && name in t)
    .map(([other]) => `tart ${other}`);
  if (owners.length)
    return new UsageError(
      `--${name} is a flag of ${owners.join(', ')}, not of tart ${command}.`,
      'It would have no effect here, so it is refused.',
    );
  const near = nearest(name, Object.keys(table));
  return new UsageError(
    `Unknown flag --${name}.`,
    near ? `Did you mean --${near}?` : `See \`tart ${command} --help\`.`,
  );
}

/** Merge the sources (later ones win) over the defaults. Throws `UsageError` for unknown names and bad values. */
export function resolveFlags<T extends FlagTable>(
  command: string,
  table: T,
  sources: readonly Record<string, unknown>[],
  everyTable: Record<string, FlagTable>,
): Values<T> {
  const values: Record<string, unknown> = {};
  for (const [name, flag] of Object.entries(table)) if ('default' in flag) values[name] = flag.default;
  for (const source of sources)
    for (const [name, raw] of Object.entries(source)) {
      const flag = table[name];
      if (!flag) throw unknownFlag(name, command, table, everyTable);
      if (raw === null || raw === undefined) continue;
      values[name] = parseValue(name, flag, raw);
    }
  return values as Values<T>;
}
