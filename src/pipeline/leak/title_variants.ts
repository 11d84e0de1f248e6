/**
 * @file The ways to write an item's title, as patterns over folded text: lower case, no diacritics, and every sign but `'` `,` `&`
 * a space. Folding the text once keeps the patterns free of Unicode classes, whose compilation costs milliseconds each.
 */
import type { Item } from '../types.ts';
import { COMMON_WORDS } from './common_words.ts';

/** A way to write a title. */
export interface Variant {
  /** Matches folded text (`foldText`); the group `title` holds the words. Compiled when first needed. */
  pattern: () => RegExp;
  /** Evidence is needed beside the words: `none`, `capitals` (each longer word), or `alone` (see the file comment). */
  needs: 'none' | 'capitals' | 'alone';
  /** A lower-case word that a text must hold for the pattern to match; empty when there is none that is always the same. */
  probe: string;
  /** How far a year in brackets may be from the item's: a part of a title must have the very year. */
  slack: 0 | 1;
}

const ARTICLE = /^(?:the|a|an)\s+/i;
/** A sign that separates words in folded text. */
const SIGN = "[ ',&]";
const NO_SIGN = "[^ ',&]";
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

/** The ways to write an item's title, the whole title first. */
export function titleVariants(item: Item): Variant[] {
  // "(1999)" and "(Anime Film)" at the end are not part of the name; "(500) Days of Summer" begins with one that is.
  const bare = item.name
    .replace(/(?<=\S)\s*[([][^()[\]]*[)\]]\s*$/u, '')
    .replace(/^(.*\S),\s*(the|a|an)$/iu, '$2 $1')
    .trim();
  const variants: Variant[] = [];
  const add = (title: string, part: 'whole' | 'beginning' | 'end') => {
    const isPart = part !== 'whole';
    const words = wordsOf(title.replace(ARTICLE, ''));
    if (words.length === 0) return;
    const article = ARTICLE.exec(title)?.[0].trim().toLowerCase() ?? null;
    const probe = probeOf(words);
    const lone = words.length === 1 && isEveryday(words[0]!);
    // A part of a title that is one everyday word names nothing.
    if (isPart && (lone || (words.length === 1 && words[0]!.length < 5))) return;
    if (lone && article !== null) {
      // "The Birds" in full; "Birds" alone is not a title.
      variants.push({
        pattern: pattern(title, words, `${article}[ ']+`, ''),
        needs: 'capitals',
        probe,
        slack: 1,
      });
      variants.push({
        pattern: pattern(title, words, '', ` ?, ?${article}`),
        needs: 'none',
        probe,
        slack: 1,
      });
      return;
    }
    const before = "(?:(?:the|an?)[ ']+)?";
    const after = article === null ? '' : `(?: ?, ?${article})?`;
    variants.push({
      pattern: pattern(title, words, lone ? '' : before, after),
      needs: lone ? 'alone' : part === 'end' ? 'capitals' : 'none',
      probe,
      slack: isPart ? 0 : 1,
    });
  };
  add(bare, 'whole');
  const parts = bare.split(/\s*:\s+|\s+[-–—]\s+/u).filter((p) => /[\p{L}\p{N}]/u.test(p));
  if (parts.length > 1) {
    add(parts[0]!, 'beginning');
    const last = parts.at(-1)!;
    if (
      wordsOf(last.replace(ARTICLE, '')).length >= 2 &&
      !/\b(?:movie|film|part|vol|volume|chapter)\b/i.test(last)
    )
      add(last, 'end');
  }
  return variants;
}

/** The pattern of a title's words with what may stand before and after them; compiled once, when it is asked for. */
function pattern(title: string, words: readonly string[], before: string, after: string): () => RegExp {
  let compiled: RegExp | undefined;
  return () => (compiled ??= compile(title, words, before, after));
}

function compile(title: string, words: readonly string[], before: string, after: string): RegExp {
  const body = words.map(wordPattern).join(`${SIGN}{${/[^\s]-[^\s]/.test(title) ? 0 : 1},6}`);
  return new RegExp(`(?<!${NO_SIGN})${before}(?<title>${body})${after}(?!${NO_SIGN})`, 'g');
}

function wordPattern(word: string): string {
  if (word === 'and' || word === '&') return '(?:and|&|n)';
  const notation = NOTATIONS.find((forms) => forms.includes(word));
  if (notation) return `(?:${notation.join('|')})`;
  // Apostrophes are often left out: "Oceans Eleven".
  return word.replace(/[.*+?^${}()|[\]\\/]/g, '\\$&').replace(/'/g, "'?");
}

/** Folded words of a title with their apostrophes; "&" is a word. */
function wordsOf(title: string): string[] {
  return foldText(title).match(/[^ ',&]+(?:'[^ ',&]+)*|&/g) ?? [];
}

/** The longest word that is written one way only. */
function probeOf(words: readonly string[]): string {
  const fixed = words.filter(
    (w) => /^[\p{L}\p{N}]+$/u.test(w) && w !== 'and' && !NOTATIONS.some((forms) => forms.includes(w)),
  );
  return fixed.reduce((longest, w) => (w.length > longest.length ? w : longest), '');
}

function isEveryday(word: string): boolean {
  return word.length <= 3 || /.ing$/.test(word) || /^\d+$/.test(word) || COMMON_WORDS.has(word);
}

/** The text in lower case, without diacritics, signs but `'` `,` `&` as spaces; every UTF-16 unit in its place. */
export function foldText(text: string): string {
  const plain = /^[\x20-\x7e\n]*$/.test(text) ? text.toLowerCase() : foldLetters(text);
  return plain.replace(/[’‘`´]/g, "'").replace(/[^\p{L}\p{N}',&]/gu, (sign) => ' '.repeat(sign.length));
}

function foldLetters(text: string): string {
  const composed = text.normalize('NFC');
  let out = '';
  for (const unit of composed.length === text.length ? composed : text) {
    const base = unit.normalize('NFD')[0]!.toLowerCase();
    out += unit.length === 1 && base.length === 1 ? base : unit;
  }
  return out;
}
