/**
 * @file Retrieval by embedding: cosine of the response's vector with every item's vector, on the CPU in f32 products and
 * f64 sums, so that the ranking is the same everywhere.
 */
import type { Embedder } from '../../core/embedder.ts';
import { InputError } from '../../core/errors.ts';
import type { Catalogue, Retriever, Scored } from '../types.ts';
import { itemText } from './item_text.ts';
import { topK } from './top_k.ts';

/** Vectors of all items, one row an item. */
export interface ItemVectors {
  ids: readonly number[];
  /** [ids.length, dimension], row by row. */
  values: Float32Array;
  dimension: number;
}

export class VectorRetriever implements Retriever {
  readonly name: string;
  private readonly unit: Float32Array;

  /** @throws InputError when the vectors do not fit the ids, are empty or are not finite. */
  constructor(
    private readonly embedder: Embedder,
    private readonly items: ItemVectors,
  ) {
    const { ids, values, dimension } = items;
    if (dimension < 1 || values.length !== ids.length * dimension)
      throw new InputError(
        `${values.length} vector values do not make ${ids.length} items of dimension ${dimension}.`,
        'Embed the catalogue again.',
      );
    this.name = embedder.name;
    this.unit = normaliseRows(values, dimension);
  }

  /** The best `k` items of every text, best first, ties by id. */
  async retrieve(texts: readonly string[], k: number): Promise<Scored[][]> {
    if (texts.length === 0) return [];
    const { ids, dimension } = this.items;
    const vectors = await this.embedder.embed(texts);
    return vectors.map((vector) => {
      if (vector.length !== dimension)
        throw new InputError(
          `${this.embedder.name} gave a vector of ${vector.length} values; the items have ${dimension}.`,
          'Embed the catalogue with the same model.',
        );
      const query = normaliseRows(vector, dimension);
      const scores = new Float64Array(ids.length);
      for (let i = 0, at = 0; i < ids.length; i++) {
        let sum = 0;
        for (let d = 0; d < dimension; d++) sum += this.unit[at++]! * query[d]!;
        scores[i] = sum;
      }
      return topK(ids, scores, k);
    });
  }
}

/** Embed every item of a catalogue, `batch` texts a call. */
export async function embedCatalogue(
  embedder: Embedder,
  catalogue: Catalogue,
  batch = 256,
): Promise<ItemVectors> {
  const { items } = catalogue;
  let values = new Float32Array(0);
  let dimension = 0;
  for (let at = 0; at < items.length; at += batch) {
    const vectors = await embedder.embed(items.slice(at, at + batch).map(itemText));
    if (at === 0) {
      dimension = vectors[0]?.length ?? 0;
      values = new Float32Array(items.length * dimension);
    }
    vectors.forEach((vector, i) => {
      if (vector.length !== dimension)
        throw new InputError(`${embedder.name} gave vectors of ${dimension} and of ${vector.length} values.`);
      values.set(vector, (at + i) * dimension);
    });
  }
  return { ids: items.map((i) => i.id), values, dimension };
}

/** Rows of length 1; a zero row stays zero. */
function normaliseRows(values: Float32Array, dimension: number): Float32Array {
  const out = new Float32Array(values.length);
  for (let at = 0; at < values.length; at += dimension) {
    let sum = 0;
    for (let d = 0; d < dimension; d++) sum += values[at + d]! ** 2;
    if (!Number.isFinite(sum))
      throw new InputError('A vector holds a value that is not a number.', 'Embed the text again.');
    const scale = sum > 0 ? 1 / Math.sqrt(sum) : 0;
    for (let d = 0; d < dimension; d++) out[at + d] = values[at + d]! * scale;
  }
  return out;
}
