import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { trickyCatalogue, item } from '../../../tests/support/tricky_catalogue.ts';
import type { Embedder } from '../../core/embedder.ts';
import { InputError } from '../../core/errors.ts';
import { Rng, hashString } from '../../core/random.ts';
import { itemText } from './item_text.ts';
import { topK } from './top_k.ts';
import { embedCatalogue, VectorRetriever } from './vector.ts';

/** A vector of every text from a hash of it. */
const hashEmbedder = (dimension: number): Embedder => ({
  name: 'hash',
  embed: (texts) =>
    Promise.resolve(
      texts.map((text) => {
        const rng = new Rng(hashString(text));
        return Float32Array.from({ length: dimension }, () => rng.next() - 0.5);
      }),
    ),
});

describe('topK', () => {
  it('equals sorting everything, ties by id', () => {
    const entry = fc.tuple(fc.integer({ min: 0, max: 500 }), fc.integer({ min: 0, max: 5 }));
    fc.assert(
      fc.property(
        fc.uniqueArray(entry, { selector: ([id]) => id }),
        fc.integer({ min: 0, max: 60 }),
        (entries, k) => {
          const sorted = [...entries].sort((a, b) => b[1] - a[1] || a[0] - b[0]).slice(0, k);
          expect(
            topK(
              entries.map(([id]) => id),
              entries.map(([, s]) => s),
              k,
            ),
          ).toEqual(sorted.map(([id, score]) => ({ id, score })));
        },
      ),
    );
  });
});

describe('VectorRetriever', () => {
  it('ranks by cosine: an item is nearest to its own text, lengths do not matter', async () => {
    const embedder = hashEmbedder(17);
    const vectors = await embedCatalogue(embedder, trickyCatalogue, 5);
    vectors.values = vectors.values.map((v, i) => v * (1 + (Math.floor(i / 17) % 7)));
    const retriever = new VectorRetriever(embedder, vectors);
    const texts = trickyCatalogue.items.map(itemText);
    const found = await retriever.retrieve(texts, 3);
    found.forEach((scored, i) => {
      expect(scored[0]!.id).toBe(trickyCatalogue.items[i]!.id);
      expect(scored[0]!.score).toBeCloseTo(1, 6);
    });
    const query = (await embedder.embed([texts[0]!]))[0]!;
    const cosine = (other: number) => {
      const v = vectors.values.slice(other * 17, other * 17 + 17);
      const dot = v.reduce((sum, x, d) => sum + x * query[d]!, 0);
      return dot / (Math.hypot(...v) * Math.hypot(...query));
    };
    for (const { id, score } of found[0]!) expect(score).toBeCloseTo(cosine(id - 100), 5);
  });

  it('refuses vectors that do not fit', async () => {
    const embedder = hashEmbedder(4);
    expect(
      () => new VectorRetriever(embedder, { ids: [1, 2], values: new Float32Array(4), dimension: 4 }),
    ).toThrow(InputError);
    expect(
      () => new VectorRetriever(embedder, { ids: [1], values: Float32Array.of(NaN, 1), dimension: 2 }),
    ).toThrow(/not a number/);
    const retriever = new VectorRetriever(embedder, {
      ids: [1],
      values: Float32Array.of(1, 0),
      dimension: 2,
    });
    await expect(retriever.retrieve(['x'], 1)).rejects.toThrow(/4 values; the items have 2/);
  });
});

describe('itemText', () => {
  it('has title, genre, stars and director, and no empty fields', () => {
    expect(itemText(trickyCatalogue.items[0]!)).toBe(
      'Heat (1995). Genre: action, crime. Stars: Al Pacino, Robert De Niro. Director: Michael Mann.',
    );
    expect(itemText(item(1, 'Nameless'))).toBe('Nameless.');
  });
});
