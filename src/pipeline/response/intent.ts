/**
 * @file Is a message a recommendation or an inquiry, judged by its words alone, without a catalogue? A visible list recommends;
 * so does a dated title ("Heat (1995)") that is offered rather than recalled. The rule itself is the rule seeker's
 * (`seeker/intent.ts`); this file gives it eyes that need no catalogue: every `Title (Year)` is a title.
 */
import { readMessage, type TitleReader } from '../seeker/intent.ts';
import type { Intent } from '../types.ts';
import { parseList } from './list_parser.ts';
import { titleKey } from './title_key.ts';

/** `Capitalised words (1999)`: up to twelve words before a bracketed year. */
const DATED =
  /((?:[\p{Lu}\p{N}"“(][^\s()]*|&|of|the|and|in|to|a|on|for|with|from|at|is|vs\.?|or|an)\s+){1,12}\((?:19|20)\d{2}\)/gu;

const surfaceReader: TitleReader = {
  list: (text) => {
    const list = parseList(text);
    return list && { items: list.titles.map(() => null), around: `${list.before}\n${list.after}` };
  },
  named: (text) =>
    [...text.matchAll(DATED)].map((match) => ({ id: surfaceId(match[0]), start: match.index })),
};

/** What the words of a message do. `before` holds the earlier messages: a title named there needs an offer to count. */
export function ruleIntent(text: string, before: readonly string[] = []): Intent {
  const named = new Set(before.flatMap((message) => surfaceReader.named(message).map(({ id }) => id)));
  return readMessage(text, surfaceReader, named).intent;
}

/** One number for one dated title, however its case and punctuation are. */
const surfaceIds = new Map<string, number>();
function surfaceId(title: string): number {
  const { key, year } = titleKey(title);
  const name = `${key}|${year}`;
  const found = surfaceIds.get(name);
  if (found !== undefined) return found;
  surfaceIds.set(name, surfaceIds.size);
  return surfaceIds.size - 1;
}
