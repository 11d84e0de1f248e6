/** @file Texts that share many character trigrams with a query: the candidates for a spelling comparison. */

/** An index of `(key, value)` pairs; one entry a pair, in the order given. */
export class TrigramIndex<T> {
  private readonly postings = new Map<string, number[]>();
  private readonly sizes: Uint16Array;
  private readonly counts: Uint16Array;

  constructor(private readonly entries: readonly (readonly [key: string, value: T])[]) {
    this.sizes = new Uint16Array(entries.length);
    this.counts = new Uint16Array(entries.length);
    entries.forEach(([key], i) => {
      const grams = trigrams(key);
      this.sizes[i] = grams.size;
      for (const gram of grams) {
        const list = this.postings.get(gram);
        if (list) list.push(i);
        else this.postings.set(gram, [i]);
      }
    });
  }

  /** The `limit` entries most similar to `key` (Dice coefficient of trigram sets), best first, ties in entry order. */
  search(key: string, limit: number): { key: string; value: T; similarity: number }[] {
    const grams = trigrams(key);
    const touched: number[] = [];
    for (const gram of grams)
      for (const i of this.postings.get(gram) ?? []) {
        if (this.counts[i] === 0) touched.push(i);
        this.counts[i]!++;
      }
    const scored = touched.map((i) => ({
      i,
      similarity: (2 * this.counts[i]!) / (grams.size + this.sizes[i]!),
    }));
    for (const i of touched) this.counts[i] = 0;
    // Below a quarter nothing within the spelling limits can be found.
    return scored
      .filter((s) => s.similarity >= 0.25)
      .sort((a, b) => b.similarity - a.similarity || a.i - b.i)
      .slice(0, limit)
      .map(({ i, similarity }) => ({ key: this.entries[i]![0], value: this.entries[i]![1], similarity }));
  }
}

/** The set of character trigrams of a text, padded so that short words and beginnings count. */
function trigrams(text: string): Set<string> {
  const padded = `  ${text} `;
  const out = new Set<string>();
  for (let i = 0; i + 3 <= padded.length; i++) out.add(padded.slice(i, i + 3));
  return out;
}
