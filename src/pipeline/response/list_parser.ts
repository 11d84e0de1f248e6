/**
 * @file The visible list of a recommendation → titles as written.
 *
 * Reads "1. A (1999)2. B (2000)…" in one line, lists with line breaks, "1)" and "(1)" forms, Markdown, bullets, short and
 * overlong lists; digits inside titles ("Ocean's 11", "2001: A Space Odyssey", "11.22.63") are told from list numbers
 * by choosing, among all increasing chains 1, 2, 3, …, the one that reads best: each number earns points for standing
 * where a list number stands (after a line break, after a year, after a space) and loses some inside other digits.
 * Nothing is ever cut to ten items.
 */

/** A list found in a text. */
export interface ParsedList {
  /** Titles as written, Markdown and trailing remarks removed, in order. Never empty. */
  titles: string[];
  /** Text before the list, trimmed: the reason, the phrase. */
  before: string;
  /** Text after the last title, trimmed: "Let me know …". */
  after: string;
  style: 'inline' | 'lines' | 'bullets';
  /** Whether the list's items carry the numbers 1 … n. */
  numbered: boolean;
}

/** Tells whether a text is a known title; lets the parser keep "Ocean's 11" whole and cut remarks after a title. */
export type KnownTitle = (text: string) => boolean;

/** A list number in the text: `number` stands at `[start, end)`, its separator included. */
interface Marker {
  number: number;
  start: number;
  end: number;
  score: number;
}

/** Longest stretch of text that is looked up as a known title. Characters. */
const MAX_TITLE = 160;
const YEAR_END = /\(\d{4}(?:\s*[-–—]\s*(?:\d{2,4})?)?\)[\s*_"'”’`]*$/u;
/** A year in brackets, and the Markdown or quotes that close around it. */
const YEAR = /\((?:[^()]*[\s,])?\d{4}(?:\s*[-–—]\s*(?:\d{2,4})?)?(?:[\s,][^()]*)?\)/u;

/** The list in a text, or null when there is none. */
export function parseList(text: string, known: KnownTitle = () => false): ParsedList | null {
  return parseNumbered(text, known) ?? parseBullets(text, known);
}

function parseNumbered(text: string, known: KnownTitle): ParsedList | null {
  const chain = bestChain(findMarkers(text), text, known);
  const first = chain[0];
  if (!first) return null;
  const titles: string[] = [];
  let after = '';
  chain.forEach((marker, i) => {
    const next = chain[i + 1];
    const { title, rest } = cleanTitle(text.slice(marker.end, next?.start ?? text.length), known, !next);
    titles.push(title);
    if (!next) after = rest;
  });
  if (titles.some((t) => t === '')) return null;
  const only = titles[0]!;
  const before = text.slice(0, first.start);
  // One number alone is a list only where a list would stand: "I rate it 1. Great" is not.
  if (chain.length === 1 && !(/(^|[\n:])[\s*_#(]*$/u.test(before) && (YEAR.test(only) || known(only))))
    return null;
  const second = chain[1];
  const broken = second !== undefined && text.slice(first.end, second.start).includes('\n');
  return {
    titles,
    before: tidyBefore(before),
    after,
    style: broken ? 'lines' : 'inline',
    numbered: true,
  };
}

/** Every place that could be a list number, with its score. */
function findMarkers(text: string): Marker[] {
  const markers: Marker[] = [];
  for (let i = 0; i < text.length; i++) {
    const c = text[i];
    if ((c !== '.' && c !== ')') || !isDigit(text[i - 1])) continue;
    let digits = i;
    while (digits > 0 && isDigit(text[digits - 1])) digits--;
    // "20492." may be the end of "Blade Runner 2049" and the number 2: suffixes of up to two digits are candidates too.
    for (let start = Math.max(digits, i - 3); start < i; start++) {
      const number = Number(text.slice(start, i));
      if (number < 1 || text[start] === '0') continue;
      const marker = scoreMarker(text, number, start, i, start === digits);
      if (marker) markers.push(marker);
    }
  }
  return markers;
}

function scoreMarker(
  text: string,
  number: number,
  start: number,
  stop: number,
  whole: boolean,
): Marker | null {
  let from = start;
  if (text[stop] === ')' && text[start - 1] === '(') from--;
  // Markdown around the number: "**1.** Title", "### 1. Title".
  while (from > 0 && /[*_#]/.test(text[from - 1]!)) from--;
  const before = text.slice(Math.max(0, from - 24), from);
  const next = text[stop + 1];
  if (next === undefined) return null;
  // ")" closes years and remarks all the time: it counts as a list mark only after a free-standing number.
  if (text[stop] === ')' && !(whole && /(^|[\s*_:(])$/.test(before + (text[start - 1] === '(' ? '(' : ''))))
    return null;
  if (text[stop] === ')' && stop - start > 2) return null;
  let score = 10;
  if (!whole) score -= 7;
  if (/(^|\n)[ \t>]*$/.test(before)) score += 6;
  else if (YEAR_END.test(before)) score += 5;
  else if (/:\s*$/.test(before) && number === 1) score += 4;
  else if (/\s$/.test(before) || before === '') score += 2;
  if (/[\s*_"“[]/.test(next)) score += 2;
  else if (isDigit(next)) score -= 5;
  return { number, start: from, end: stop + 1, score };
}

/**
 * The increasing chain 1, 2, 3, … with the highest sum of scores. A step between two numbers needs a title in between
 * and earns a point when that title is known; ties go to the earlier list.
 */
function bestChain(markers: readonly Marker[], text: string, known: KnownTitle): Marker[] {
  const byNumber = new Map<number, { marker: Marker; total: number; previous: number }[]>();
  let best: { number: number; index: number; total: number } | null = null;
  for (const marker of markers) {
    let total = marker.number === 1 ? marker.score : -Infinity;
    let previous = -1;
    const earlier = byNumber.get(marker.number - 1) ?? [];
    earlier.forEach((candidate, i) => {
      if (candidate.marker.end > marker.start) return;
      const between = text.slice(candidate.marker.end, marker.start).trim();
      if (!/[\p{L}\p{N}]/u.test(between)) return;
      const bonus = between.length <= MAX_TITLE && known(stripMarkup(between)) ? 6 : 0;
      const sum = candidate.total + marker.score + bonus;
      if (sum > total) {
        total = sum;
        previous = i;
      }
    });
    if (total === -Infinity) continue;
    const list = byNumber.get(marker.number) ?? [];
    list.push({ marker, total, previous });
    byNumber.set(marker.number, list);
    const last = text.slice(marker.end);
    if (!/[\p{L}\p{N}]/u.test(last)) continue;
    if (!best || total > best.total) best = { number: marker.number, index: list.length - 1, total };
  }
  const chain: Marker[] = [];
  let at = best ? { number: best.number, index: best.index } : null;
  while (at && at.index >= 0) {
    const node = byNumber.get(at.number)![at.index]!;
    chain.unshift(node.marker);
    at = { number: at.number - 1, index: node.previous };
  }
  return chain;
}

function parseBullets(text: string, known: KnownTitle): ParsedList | null {
  const lines = text.split('\n');
  const isBullet = (line: string | undefined) => line !== undefined && /^\s*[-*•–]\s+\S/u.test(line);
  const first = lines.findIndex((line, i) => isBullet(line) && isBullet(lines[i + 1]));
  if (first < 0) return null;
  let last = first;
  while (isBullet(lines[last + 1])) last++;
  const titles = lines
    .slice(first, last + 1)
    .map((line) => cleanTitle(line.replace(/^\s*[-*•–]\s+/u, ''), known, false).title);
  // Bullets list questions and genres as well: most of them must look like titles.
  const titled = titles.filter((t) => YEAR.test(t) || known(t)).length;
  if (titled * 2 < titles.length || titles.some((t) => t === '')) return null;
  return {
    titles,
    before: tidyBefore(lines.slice(0, first).join('\n')),
    after: lines
      .slice(last + 1)
      .join('\n')
      .trim(),
    style: 'bullets',
    numbered: false,
  };
}

/**
 * A list entry → its title, and what follows it. The title ends after its year; without a year it ends at a line
 * break, at a spaced dash, or (last entry) where a closing sentence begins. A known title is never cut.
 */
function cleanTitle(entry: string, known: KnownTitle, isLast: boolean): { title: string; rest: string } {
  const trimmed = entry.trim();
  if (trimmed.length <= MAX_TITLE && !/[*_`"“”[\n]/.test(trimmed) && known(trimmed))
    return { title: trimmed, rest: '' };
  const whole = stripMarkup(trimmed);
  if (whole.length <= MAX_TITLE && known(whole)) return { title: whole, rest: '' };
  const year = YEAR.exec(trimmed);
  const lineEnd = trimmed.indexOf('\n');
  if (year && (lineEnd < 0 || year.index < lineEnd)) {
    const end = year.index + year[0].length;
    const closing = /^[\s]*[*_"”’`]+/u.exec(trimmed.slice(end))?.[0].length ?? 0;
    const rest = trimmed.slice(end + closing).trim();
    return { title: stripMarkup(trimmed.slice(0, end + closing)), rest };
  }
  let cut = lineEnd < 0 ? trimmed.length : lineEnd;
  const dash = /\s[-–—]\s/u.exec(trimmed.slice(0, cut));
  if (dash && dash.index > 0) cut = dash.index;
  const sentence = isLast ? closingSentence(trimmed.slice(0, cut), known) : cut;
  const title = stripMarkup(trimmed.slice(0, sentence));
  return {
    // The full stop before a closing sentence is not the title's.
    title: sentence < cut && !known(title) ? title.replace(/(?<=\p{L}{3})\.$/u, '') : title,
    rest: trimmed.slice(sentence).trim(),
  };
}

const CLOSING =
  /[\s.!?)](?=(?:Let me know|Would you|Do you|Did you|Have you|Are you|I hope|Hope you|If you|If any|Any of these|Feel free|Enjoy (?:your|the|watching)|What do you|Which of|Which one|These (?:films|movies|are|should)|All of these|You can)\b)|(?<=\p{Ll})(?=(?:Let me know|Would you|I hope|Feel free)\b)/u;

/** Where a closing sentence begins after the last title; the length of the text when there is none. */
function closingSentence(text: string, known: KnownTitle): number {
  const closing = CLOSING.exec(text);
  if (closing && closing.index > 0) return closing.index + (closing[0] === ')' ? 1 : 0);
  // A sentence that is not one of the usual: what stands before it must be a known title.
  if (!/[.!?]\s*$/.test(text)) return text.length;
  const starts = [...text.slice(0, MAX_TITLE).matchAll(/[.!?]?\s+(?=\p{Lu}\S*\s)/gu)].reverse();
  for (const { index } of starts) if (index > 0 && known(stripMarkup(text.slice(0, index)))) return index;
  return text.length;
}

/** Remove Markdown emphasis, wrapping quotes and closing punctuation around a title. */
function stripMarkup(text: string): string {
  let out = text
    .replace(/\[([^\]]+)\]\([^)]*\)/g, '$1')
    .replace(/\*\*|__|`/g, '')
    .trim();
  out = out.replace(/^[*_]+(?=\S)|(?<=\S)[*_]+$/g, '').trim();
  out = out.replace(/^["“”«]([^"“”«»]+)["“”»](?=\s*(?:\(|$))/u, '$1').trim();
  return out
    .replace(/[,;]+$/u, '')
    .replace(/\s+/g, ' ')
    .trim();
}

function tidyBefore(text: string): string {
  return text.replace(/[\s*_#(]+$/u, '').trimStart();
}

function isDigit(c: string | undefined): boolean {
  return c !== undefined && c >= '0' && c <= '9';
}
