/**
 * @file Where a text names an item: whole words, with or without year, article in front or moved behind, main title without its
 * subtitle, numbers in any notation, quotes around.
 *
 * Kept apart from other things of the same words:
 * - a different year in brackets, or a sequel's number, names another film ("Police Academy 2" is not "Police Academy");
 * - a single everyday word ("It", "Up", "Her"), a number ("300") or a word of up to three letters needs evidence: the
 *   right year, quotes, or its capital in the middle of a sentence, alone ("have you seen It?", not "It was fun").
 */
import { titleKey } from '../response/title_key.ts';
import type { Item } from '../types.ts';
import { COMMON_WORDS } from './common_words.ts';

/** One place where a text names an item; `[start, end)` covers year and quotes. */
export interface Mention {
  id: number;
  start: number;
  end: number;
  /** As written. */
  text: string;
}

/** A way to write a title. */
interface Variant {
  pattern: RegExp;
  /** Evidence is needed beside the words: `none`, `capitals` (each longer word), or `alone` (see the file comment). */
  needs: 'none' | 'capitals' | 'alone';
  /** A lower-case word that a text must hold for the pattern to match; empty when there is none that is always the same. */
  probe: string;
  /** How far a year in brackets may be from the item's: a part of a title must have the very year. */
  slack: 0 | 1;
}

const ARTICLE = /^(?:the|a|an)\s+/i;
const YEAR_TAIL = /^\s*[([]\s*((?:18|19|20)\d{2})\s*[)\]]/;
const SEQUEL = String.raw`(?!\s*[,:–—-]?\s*(?:part|vol\.?|volume|chapter|episode)?\s*(?:\d{1,2}(?!\d|\s+(?:times|years|stars|hours))|II|III|IV|VI{0,3}|IX|XI{0,3})(?![\p{L}\p{N}]))`;
const NOTATIONS: readonly (readonly string[])[] = [
  ['2', 'ii', 'two'],
  ['3', 'iii', 'three'],
  ['4', 'iv', 'four'],
  ['5', 'v', 'five'],
  ['6', 'vi', 'six'],
  ['7', 'vii', 'seven'],
  ['8', 'viii', 'eight'],
  ['9', 'ix', 'nine'],
  ['10', 'x', 'ten'],
  ['11', 'xi', 'eleven'],
  ['12', 'xii', 'twelve'],
  ['13', 'xiii', 'thirteen'],
];

const variantsOf = new WeakMap<Item, Variant[]>();

/** Every mention of an item in a text, in order, not overlapping. */
export function findMentions(text: string, item: Item): Mention[] {
  const folded = foldText(text);
  let variants = variantsOf.get(item);
  if (!variants) variantsOf.set(item, (variants = makeVariants(item)));
  const found: Mention[] = [];
  const lower = folded.toLowerCase();
  for (const variant of variants) {
    if (!lower.includes(variant.probe)) continue;
    for (const match of folded.matchAll(variant.pattern)) {
      const mention = readMention(text, match, variant, item);
      if (mention && !found.some((m) => m.start < mention.end && mention.start < m.end)) found.push(mention);
    }
  }
  return found.sort((a, b) => a.start - b.start);
}

/** Whether a text names an item. */
export function mentions(text: string, item: Item): boolean {
  return findMentions(text, item).length > 0;
}

/** A match with its quotes and its year, or null when it names something else or lacks the evidence it needs. */
function readMention(text: string, match: RegExpExecArray, variant: Variant, item: Item): Mention | null {
  let start = match.index;
  let end = start + match[0].length;
  let year = YEAR_TAIL.exec(text.slice(end));
  if (year) end += year[0].length;
  const open = /["“”‘'*_«]+$/u.exec(text.slice(0, start))?.[0];
  const close = /^(?:["“”’*_»]|'(?!\p{L}))+/u.exec(text.slice(end))?.[0];
  const quoted = open !== undefined && close !== undefined;
  if (quoted) {
    start -= open.length;
    end += close.length;
    if (!year) {
      year = YEAR_TAIL.exec(text.slice(end));
      if (year) end += year[0].length;
    }
  }
  if (year) {
    if (item.year !== null && Math.abs(Number(year[1]) - item.year) > variant.slack) return null;
  } else if (goesOn(text.slice(end), item) || !hasEvidence(text, match, variant.needs, quoted)) return null;
  return { id: item.id, start, end, text: text.slice(start, end) };
}

function makeVariants(item: Item): Variant[] {
  // "(1999)" and "(Anime Film)" at the end are not part of the name; "(500) Days of Summer" begins with one that is.
  const bare = foldText(item.name)
    .replace(/(?<=\S)\s*[([][^()[\]]*[)\]]\s*$/u, '')
    .replace(/^(.*\S),\s*(the|a|an)$/iu, '$2 $1')
    .trim();
  const variants: Variant[] = [];
  const add = (title: string, isPart: boolean) => {
    const words = wordsOf(title.replace(ARTICLE, ''));
    if (words.length === 0) return;
    const article = ARTICLE.exec(title)?.[0].trim() ?? null;
    const probe = probeOf(words);
    const lone = words.length === 1 && isEveryday(words[0]!.toLowerCase());
    // A part of a title that is one everyday word names nothing.
    if (isPart && (lone || (words.length === 1 && words[0]!.length < 5))) return;
    if (lone && article !== null) {
      // "The Birds" in full; "Birds" alone is not a title.
      variants.push({
        pattern: compile(title, words, `(?:${article})\\s+`, ''),
        needs: 'capitals',
        probe,
        slack: 1,
      });
      variants.push({
        pattern: compile(title, words, '', `,\\s*(?:${article})`),
        needs: 'none',
        probe,
        slack: 1,
      });
      return;
    }
    const before = '(?:(?:the|an?)\\s+)?';
    const after = article === null ? '' : `(?:,\\s*(?:${article}))?`;
    variants.push({
      pattern: compile(title, words, lone ? '' : before, after),
      needs: lone ? 'alone' : isPart ? 'capitals' : 'none',
      probe,
      slack: isPart ? 0 : 1,
    });
  };
  add(bare, false);
  const parts = bare.split(/\s*:\s+|\s+[-–—]\s+/u).filter((p) => /[\p{L}\p{N}]/u.test(p));
  if (parts.length > 1) {
    add(parts[0]!, true);
    const last = parts.at(-1)!;
    if (
      wordsOf(last.replace(ARTICLE, '')).length >= 2 &&
      !/\b(?:movie|film|part|vol|volume|chapter)\b/i.test(last)
    )
      add(last, true);
  }
  return variants;
}

function compile(title: string, words: readonly string[], before: string, after: string): RegExp {
  const hyphenated = /\p{L}[-–]\p{L}/u.test(title);
  const separator = hyphenated ? String.raw`[\s\p{P}]{0,4}` : String.raw`[\s\p{P}]{1,4}`;
  const body = words.map(wordPattern).join(separator);
  const source = String.raw`(?<![\p{L}\p{N}])${before}(?<title>${body})${after}(?![\p{L}\p{N}])${SEQUEL}`;
  return new RegExp(source, 'giu');
}

function wordPattern(word: string): string {
  const lower = word.toLowerCase();
  if (lower === 'and' || lower === '&') return '(?:and|&|n)';
  const notation = NOTATIONS.find((forms) => forms.includes(lower));
  if (notation) return `(?:${notation.join('|')})`;
  // Apostrophes are often left out: "Oceans Eleven".
  return word.replace(/[.*+?^${}()|[\]\\/]/g, '\\$&').replace(/['’]/g, "['’]?");
}

/** Words of a title with their apostrophes; "&" is a word. */
function wordsOf(title: string): string[] {
  return title.match(/[\p{L}\p{N}]+(?:['’][\p{L}\p{N}]+)*|&/gu) ?? [];
}

/** The longest word that is written one way only. */
function probeOf(words: readonly string[]): string {
  const fixed = words
    .map((w) => w.toLowerCase())
    .filter(
      (w) => /^[\p{L}\p{N}]+$/u.test(w) && w !== 'and' && !NOTATIONS.some((forms) => forms.includes(w)),
    );
  return fixed.reduce((longest, w) => (w.length > longest.length ? w : longest), '');
}

/**
 * Whether the words after a title make it another one: "National Treasure: Book of Secrets", "Pacific Rim Uprising (2018)".
 */
function goesOn(after: string, item: Item): boolean {
  if (/^:\s+(?:\p{Lu}|\d)/u.test(after)) return true;
  const year =
    /^(?:['’]s)?(?:\s*[:–—-]?\s*(?:[\p{Lu}\p{N}][^\s()]*|of|the|and|in|to|a|for|with|vs\.?))+\s*\((\d{4})\)/u.exec(
      after,
    )?.[1];
  return year !== undefined && item.year !== null && Math.abs(Number(year) - item.year) > 1;
}

function isEveryday(word: string): boolean {
  return word.length <= 3 || /.ing$/.test(word) || /^\d+$/.test(word) || COMMON_WORDS.has(word);
}

/** Whether the way a title stands in the text is evidence enough. */
function hasEvidence(
  text: string,
  match: RegExpExecArray,
  needs: Variant['needs'],
  quoted: boolean,
): boolean {
  if (needs === 'none') return true;
  const title = match.groups!['title']!;
  const at = match.index + match[0].indexOf(title);
  const written = text.slice(at, at + title.length);
  if (needs === 'capitals')
    return written.split(/[\s\p{P}]+/u).every((w) => w.length < 4 || /^[\p{Lu}\p{N}]/u.test(w));
  if (quoted) return /^[\p{Lu}\p{N}]/u.test(written);
  const before = text.slice(0, at);
  const after = text.slice(at + written.length);
  if (/^\d+$/.test(written))
    return (
      /\b(?:movie|film|called|titled|named|watch|watched|see|seen|saw)\s+$/iu.test(before) &&
      !/^\s+\p{L}/u.test(after)
    );
  const shouted = written.length > 1 && written === written.toUpperCase();
  const middle = /[\p{L}\p{N},;]\s+$/u.test(before);
  const partOfName =
    /^\s+\p{Lu}/u.test(after) || /\p{Lu}[\p{L}'’]*\s+$/u.test(before) || /^['’]\p{L}/u.test(after);
  return /^\p{Lu}/u.test(written) && !shouted && middle && !partOfName;
}

/** The text with diacritics removed, every UTF-16 unit in its place. */
function foldText(text: string): string {
  if (/^[\x20-\x7e\n]*$/.test(text)) return text;
  let out = '';
  for (const unit of text.normalize('NFC').length === text.length ? text.normalize('NFC') : text) {
    const base = unit.normalize('NFD')[0]!;
    out += unit.length === 1 && base.length === 1 ? base : unit;
  }
  return out;
}

/** Whether two titles are the same by their words and years: for files without a catalogue. */
export function sameTitle(a: string, b: string): boolean {
  const x = titleKey(a);
  const y = titleKey(b);
  if (x.key !== y.key || x.key === '') return false;
  return x.year === null || y.year === null || Math.abs(x.year - y.year) <= 1;
}
