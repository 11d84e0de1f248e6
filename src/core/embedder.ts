/** @file `Embedder`: texts to vectors. */

export interface Embedder {
  readonly name: string;
  /** One vector a text, all of one length. */
  embed(texts: readonly string[]): Promise<Float32Array[]>;
}
