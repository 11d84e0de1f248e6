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
import { foldText, titleVariants, type Variant } from './title_variants.ts';

/** One place where a text names an item; `[start, end)` covers year and quotes. */
export interface Mention {
  id: number;
  start: number;
  end: number;
  /** As written. */
  text: string;
}

/** A sequel's number after a title. */
const SEQUEL =
  /^\s*[,:–—-]?\s*(?:part|vol\.?|volume|chapter|episode)?\s*(?:\d{1,2}(?!\d|\s+(?:times|years|stars|hours))|II|III|IV|VI{0,3}|IX|XI{0,3})(?![\p{L}\p{N}])/iu;
/** Up to ten more words of a title, and its year. */
const LONGER_TITLE =
  /^(?:['’]s)?(?:\s?[:–—-]?\s(?:[\p{Lu}\p{N}][^\s()]*|of|the|and|in|to|a|for|with|vs\.?)){1,10}\s?\((\d{4})\)/u;
/** A year in brackets after a title, and the signs the title ends with. */
const YEAR_TAIL = /^[\s.!?…*'’)]{0,5}[([]\s*((?:18|19|20)\d{2})\s*[)\]]/;
const variantsOf = new WeakMap<Item, Variant[]>();

/** Every mention of an item in a text, in order, not overlapping. */
export function findMentions(text: string, item: Item): Mention[] {
  const folded = foldText(text);
  let variants = variantsOf.get(item);
  if (!variants) variantsOf.set(item, (variants = titleVariants(item)));
  const found: Mention[] = [];
  for (const variant of variants) {
    if (!folded.includes(variant.probe)) continue;
    for (const match of folded.matchAll(variant.pattern())) {
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
  if (SEQUEL.test(text.slice(end, end + 60))) return null;
  let year = YEAR_TAIL.exec(text.slice(end, end + 40));
  if (year) end += year[0].length;
  const open = /["“”‘'*_«]+$/u.exec(text.slice(Math.max(0, start - 20), start))?.[0];
  const close = /^(?:["“”’*_»]|'(?!\p{L}))+/u.exec(text.slice(end, end + 20))?.[0];
  const quoted = open !== undefined && close !== undefined;
  if (quoted) {
    start -= open.length;
    end += close.length;
    if (!year) {
      year = YEAR_TAIL.exec(text.slice(end, end + 40));
      if (year) end += year[0].length;
    }
  }
  if (year) {
    if (item.year !== null && Math.abs(Number(year[1]) - item.year) > variant.slack) return null;
  } else if (goesOn(text.slice(end, end + 160), item) || !hasEvidence(text, match, variant.needs, quoted))
    return null;
  return { id: item.id, start, end, text: text.slice(start, end) };
}

/**
 * Whether the words after a title make it another one: "National Treasure: Book of Secrets", "Pacific Rim Uprising (2018)".
 */
function goesOn(after: string, item: Item): boolean {
  if (/^:\s+(?:\p{Lu}|\d)/u.test(after)) return true;
  const year = LONGER_TITLE.exec(after)?.[1];
  return year !== undefined && item.year !== null && Math.abs(Number(year) - item.year) > 1;
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
  const before = text.slice(Math.max(0, at - 80), at);
  const after = text.slice(at + written.length, at + written.length + 80);
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

/** Whether two titles are the same by their words and years: for files without a catalogue. */
export function sameTitle(a: string, b: string): boolean {
  const x = titleKey(a);
  const y = titleKey(b);
  if (x.key !== y.key || x.key === '') return false;
  return x.year === null || y.year === null || Math.abs(x.year - y.year) <= 1;
}
