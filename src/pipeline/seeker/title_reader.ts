/**
 * @file Which catalogue items a text names: in its visible list, and in running text ("have you seen Heat (1995)?"). What the
 * rule seeker and the rule teacher hear with.
 *
 * Running text is careful: a title with its year counts however it is written; without one it must be written like a title
 * (a capital where it starts), and a single word like "Up" or "Her" also in the middle of a sentence.
 */
import { parseList } from '../response/list_parser.ts';
import { titleWords } from '../response/title_key.ts';
import type { TitleLinker } from '../response/title_linker.ts';
import type { TitleReader } from './intent.ts';

/** A title found in running text. */
interface Named {
  id: number;
  start: number;
}

/** Longest title looked for, in words. */
const MAX_WORDS = 12;
const YEAR_AFTER = /^\s*\((?:[^()]*\s)?\d{4}\)/;
const CACHE_LIMIT = 20_000;

/** Reads titles through the linker; results are cached by text. */
export class LinkedTitleReader implements TitleReader {
  /** First word of a title → length of the longest title that begins with it, in words. */
  private readonly longest = new Map<string, number>();
  private readonly namedIn = new Map<string, Named[]>();

  constructor(private readonly linker: TitleLinker) {
    for (const { name } of linker.catalogue.items) {
      const bare = titleWords(name.replace(/\(\d{4}\)\s*$/, ''));
      for (const first of new Set([bare[0], bare[1]])) {
        if (first === undefined) continue;
        this.longest.set(first, Math.min(MAX_WORDS, Math.max(this.longest.get(first) ?? 0, bare.length)));
      }
    }
  }

  list(text: string): { items: (number | null)[]; around: string } | null {
    const list = parseList(text, (title) => this.linker.isTitle(title));
    if (!list) return null;
    return {
      items: list.titles.map((title) => this.linker.linkId(title)),
      around: `${list.before}\n${list.after}`,
    };
  }

  named(text: string): Named[] {
    let found = this.namedIn.get(text);
    if (!found) {
      if (this.namedIn.size >= CACHE_LIMIT) this.namedIn.clear();
      found = this.scan(text);
      this.namedIn.set(text, found);
    }
    return found;
  }

  private scan(text: string): Named[] {
    const tokens = [...text.matchAll(/[\p{L}\p{N}]+(?:['’.&*-][\p{L}\p{N}]+)*/gu)].map((match) => ({
      start: match.index,
      end: match.index + match[0].length,
    }));
    const found: Named[] = [];
    for (let i = 0; i < tokens.length; i++) {
      const { start } = tokens[i]!;
      const first = titleWords(text.slice(start, tokens[i]!.end))[0] ?? '';
      const most = this.longest.get(first) ?? 0;
      for (let count = Math.min(most, tokens.length - i); count >= 1; count--) {
        const end = tokens[i + count - 1]!.end;
        const year = YEAR_AFTER.exec(text.slice(end, end + 30));
        const words = text.slice(start, end);
        if (!year && !looksLikeTitle(text, start, words, count)) continue;
        const { item, kind } = this.linker.link(year ? words + year[0] : words);
        if (!item || (kind !== 'exact' && kind !== 'words')) continue;
        found.push({ id: item.id, start });
        i += count - 1;
        break;
      }
    }
    return found;
  }
}

/** Is a phrase without a year written like a title where it stands? */
function looksLikeTitle(text: string, start: number, words: string, count: number): boolean {
  if (!/^[\p{Lu}\p{N}]/u.test(words)) return false;
  // The last word of a title has a capital, too: "The One I …" does not name "The One".
  const last = words.split(/\s+/).at(-1)!;
  if (!/^[\p{Lu}\p{N}]/u.test(last)) return false;
  if (count > 1) return true;
  const before = text.slice(0, start);
  const inside = /[\p{L}\p{N},;]\s+["“'‘]?$/u.test(before);
  // One word of a longer name: "Jackie Chan", "Teen Titans Go!".
  const partOfName =
    /^\s+(?:& )?\p{Lu}/u.test(text.slice(start + words.length)) || /\s\p{Lu}[\p{L}'’]*\s+$/u.test(before);
  return (
    inside &&
    !partOfName &&
    /\p{Ll}/u.test(text) &&
    words.length >= 2 &&
    !/^(I|I['’].*|\d{1,4}s?)$/.test(words)
  );
}
