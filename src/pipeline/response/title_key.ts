/**
 * @file Titles made comparable: case, diacritics, punctuation, "&", moved articles ("Matrix, The"), roman numerals and
 * number words, and the year taken apart from the rest. Both sides of a comparison go through the same function, so
 * a rule that is wrong for a title ("Malcolm X" → "malcolm 10") is wrong on both sides alike.
 */

/** A title in comparable form. */
export interface TitleKey {
  /** Words without leading article, joined by spaces: `naked gun from the files of police squad`. */
  key: string;
  /** The key of the part before a subtitle (`:` or a spaced dash), or null when there is no subtitle. */
  main: string | null;
  /** The key of the last part after a subtitle mark, or null. */
  sub: string | null;
  /** First and last part of a title of three or more: `star wars the force awakens`. Null otherwise. */
  outer: string | null;
  /** First year in brackets, or null. */
  year: number | null;
  /** The numbers among the words, sorted and joined: sequels differ by it. */
  numbers: string;
}

const ROMAN: Record<string, string> = {
  ii: '2',
  iii: '3',
  iv: '4',
  v: '5',
  vi: '6',
  vii: '7',
  viii: '8',
  ix: '9',
  x: '10',
  xi: '11',
  xii: '12',
  xiii: '13',
};
const NUMBER_WORDS = new Map(
  (
    'zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen ' +
    'seventeen eighteen nineteen twenty'
  )
    .split(' ')
    .map((word, i) => [word, String(i)] as const),
);
/** Words that stand before a sequel's number and are left out as often as written. */
const PART_WORDS = new Set(['part', 'vol', 'volume', 'chapter', 'episode', 'pt']);
const ARTICLES = new Set(['the', 'a', 'an']);
const YEAR_IN_BRACKETS =
  /[([](?:[^()[\]]*[\s,])?(\d{4})(?:\s*[-–—]\s*(?:\d{2,4})?)?(?:[\s,][^()[\]]*)?[)\]]/u;
/** "(TV series)", "(film)", "(Anime Film)", "(Satirical Book)": the kind of a thing, not its name. */
const KIND_IN_BRACKETS =
  /\((?:[^()]*\b)?(?:tv|film|movie|series|mini-?series|book|novel|show|part of [^()]*)\b[^()]*\)/giu;

/** Where a subtitle begins: a colon, a spaced dash, "Birdman or (…)", "Dr. Strangelove or: How …". */
const SUBTITLE_MARK = /\s*:\s+|\s+[-–—]\s+|\s+or:?\s+(?=\(|How\b)/u;

/** Memo of keys: the same few thousand titles come back all the time. */
const memo = new Map<string, TitleKey>();
const MEMO_LIMIT = 20_000;
/** No title is longer. Characters. */
const MAX_LENGTH = 400;

/** The comparable form of a title. */
export function titleKey(title: string): TitleKey {
  const found = memo.get(title);
  if (found) return found;
  const made = makeKey(title.slice(0, MAX_LENGTH).replace(/\s+/g, ' ').trim());
  if (memo.size >= MEMO_LIMIT) memo.clear();
  memo.set(title, made);
  return made;
}

function makeKey(title: string): TitleKey {
  const year = YEAR_IN_BRACKETS.exec(title);
  let bare = year ? title.slice(0, year.index) + ' ' + title.slice(year.index + year[0].length) : title;
  bare = bare.replace(KIND_IN_BRACKETS, ' ').trim();
  // A title that was nothing but brackets stays what it is.
  if (!/[\p{L}\p{N}]/u.test(bare)) bare = title;
  bare = bare.replace(/^(.*\S),\s*(the|a|an|le|la|les|el|das|der|die)$/iu, '$2 $1');
  const words = titleWords(bare);
  const parts = bare.split(SUBTITLE_MARK).filter((part) => /[\p{L}\p{N}]/u.test(part));
  const first = parts[0]!;
  const last = parts.at(-1)!;
  return {
    key: joinWords(words),
    main: parts.length > 1 ? joinWords(titleWords(first)) : null,
    sub: parts.length > 1 ? joinWords(titleWords(last)) : null,
    outer: parts.length > 2 ? joinWords([...titleWords(first), ...titleWords(last)]) : null,
    year: year ? Number(year[1]) : null,
    numbers: words
      .filter((w) => /^\d+$/.test(w))
      .sort()
      .join(' '),
  };
}

/** Comparable words of a text: case, diacritics, punctuation, "&", numerals evened out. */
export function titleWords(text: string): string[] {
  const words = text
    .normalize('NFKD')
    .replace(/\p{M}/gu, '')
    .toLowerCase()
    .replace(/ß/g, 'ss')
    .replace(/æ/g, 'ae')
    .replace(/œ/g, 'oe')
    .replace(/ø/g, 'o')
    .replace(/ł/g, 'l')
    .replace(/đ/g, 'd')
    .replace(/&|\+/g, ' and ')
    .replace(/(?<=\p{L})['’‘`´](?=\p{L})/gu, '')
    // Initials: "E.T.", "M*A*S*H", "S.W.A.T." are one word.
    .replace(/\b(?:\p{L}[.*]){2,}\p{L}?/gu, (m) => m.replace(/[.*]/g, ''))
    .replace(/[^\p{L}\p{N}]+/gu, ' ')
    .trim()
    .split(' ')
    .filter((w) => w !== '');
  return words.map((w, i) => {
    const roman = i > 0 ? ROMAN[w] : undefined;
    return roman ?? NUMBER_WORDS.get(unleet(w)) ?? w;
  });
}

function joinWords(words: readonly string[]): string {
  let out = words.filter((w, i) => !(PART_WORDS.has(w) && /^\d+$/.test(words[i + 1] ?? '')));
  if (out.length > 1 && ARTICLES.has(out[0]!)) out = out.slice(1);
  return out.join(' ');
}

/** "se7en" → "seven"; words without a digit between letters stay. */
function unleet(word: string): string {
  if (!/\p{L}\d\p{L}/u.test(word)) return word;
  return word.replace(
    /[013457]/g,
    (d) => ({ 0: 'o', 1: 'i', 3: 'e', 4: 'a', 5: 's', 7: 'v' })[Number(d)] ?? d,
  );
}
