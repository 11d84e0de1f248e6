/**
 * @file Trains a byte-level byte-pair encoding (Sennrich et al. 2016, on bytes as in GPT-2) with Llama 3's
 * pre-tokeniser: words are counted, then the most frequent neighbouring pair is merged, again and again. Ties go to the pair
 * that comes first in the alphabet, so that the result depends on the text alone.
 */

/** Llama 3's pre-tokeniser, as tokenizer.json holds it. */
export const LLAMA3_PATTERN =
  "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

/** The same for JavaScript engines without inline flags. */
const PIECES = new RegExp(
  LLAMA3_PATTERN.replace(
    /\(\?i:([^)]*)\)/,
    (_, body: string) => `(?:${body.replace(/[a-z]/g, (c) => `[${c}${c.toUpperCase()}]`)})`,
  ),
  'gu',
);

export interface Bpe {
  /** The 256 bytes first, then one token a merge; in the printable alphabet of GPT-2. */
  vocab: string[];
  merges: [left: string, right: string][];
}

/**
 * Learn at most `count` merges from texts. Pairs seen fewer than `least` times are not merged.
 */
export function trainBpe(texts: Iterable<string>, count: number, least = 2): Bpe {
  const alphabet = byteAlphabet();
  const encoder = new TextEncoder();
  const counts = new Map<string, number>();
  for (const text of texts)
    for (const [piece] of text.matchAll(PIECES)) counts.set(piece, (counts.get(piece) ?? 0) + 1);
  const words = [...counts].map(([piece, times]) => ({
    symbols: [...encoder.encode(piece)].map((byte) => alphabet[byte]!),
    times,
  }));
  const vocab = [...alphabet].sort();
  const merges: Bpe['merges'] = [];
  while (merges.length < count) {
    const best = mostFrequentPair(words);
    if (!best || best.times < least) break;
    const { left, right } = best;
    merges.push([left, right]);
    vocab.push(left + right);
    for (const word of words) word.symbols = merged(word.symbols, left, right);
  }
  return { vocab, merges };
}

interface Word {
  symbols: string[];
  times: number;
}

function mostFrequentPair(words: readonly Word[]): { left: string; right: string; times: number } | null {
  const pairs = new Map<string, number>();
  for (const { symbols, times } of words)
    for (let i = 1; i < symbols.length; i++) {
      const pair = `${symbols[i - 1]!}\n${symbols[i]!}`;
      pairs.set(pair, (pairs.get(pair) ?? 0) + times);
    }
  let best: [string, number] | null = null;
  for (const entry of pairs)
    if (!best || entry[1] > best[1] || (entry[1] === best[1] && entry[0] < best[0])) best = entry;
  if (!best) return null;
  const [left, right] = best[0].split('\n') as [string, string];
  return { left, right, times: best[1] };
}

function merged(symbols: readonly string[], left: string, right: string): string[] {
  const out: string[] = [];
  for (let i = 0; i < symbols.length; i++) {
    if (symbols[i] === left && symbols[i + 1] === right) {
      out.push(left + right);
      i++;
    } else out.push(symbols[i]!);
  }
  return out;
}

/** GPT-2's printable stand-in for each byte: itself where printable, else a letter from U+0100 on. */
export function byteAlphabet(): string[] {
  const printable = (b: number): boolean => (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174;
  let next = 256;
  return Array.from({ length: 256 }, (_, b) => String.fromCharCode(printable(b) ? b : next++));
}
