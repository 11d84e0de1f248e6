/**
 * @file Packing: the sequences of a micro-batch lie one after another on one token axis, nothing between them. The axis
 * is rounded up to a bucket, so that few programs are recorded; the tokens that fill it up are sequences of their own.
 */
import { UsageError } from '../../core/errors.ts';

/** Sequences of one micro-batch on the token axis. All arrays are [N]. */
export interface PackedBatch {
  tokens: Uint32Array;
  positions: Uint32Array;
  /** First token of each token's sequence. */
  starts: Uint32Array;
  /** One past its last. */
  ends: Uint32Array;
  /** Number of each token's sequence in the whole batch. */
  sequences: Uint32Array;
  /** First token of each packed sequence, in the order of `members`. */
  offsets: number[];
  /** Numbers of the packed sequences in the whole batch. */
  members: readonly number[];
}

/**
 * The next bucket: a multiple of 64, and of an eighth of the power of two below, so that at most an eighth of the axis is
 * filling and a few dozen buckets serve every batch.
 */
export function bucket(count: number): number {
  const step = Math.max(64, 2 ** Math.floor(Math.log2(Math.max(count, 1))) / 8);
  return Math.max(64, Math.ceil(count / step) * step);
}

/** Pack `members` (numbers into `sequences`) on one axis. */
export function pack(sequences: readonly (readonly number[])[], members: readonly number[]): PackedBatch {
  const used = members.reduce((sum, i) => sum + sequences[i]!.length, 0);
  const size = bucket(used);
  const batch: PackedBatch = {
    tokens: new Uint32Array(size),
    positions: new Uint32Array(size),
    starts: Uint32Array.from({ length: size }, (_, n) => n),
    ends: Uint32Array.from({ length: size }, (_, n) => n + 1),
    sequences: new Uint32Array(size),
    offsets: [],
    members,
  };
  let first = 0;
  for (const i of members) {
    const tokens = sequences[i]!;
    const last = first + tokens.length;
    batch.offsets.push(first);
    batch.tokens.set(tokens, first);
    batch.starts.fill(first, first, last);
    batch.ends.fill(last, first, last);
    batch.sequences.fill(i, first, last);
    for (let t = 0; t < tokens.length; t++) batch.positions[first + t] = t;
    first = last;
  }
  return batch;
}

/**
 * Split a batch into micro-batches of at most `budget` tokens, in order. A sequence longer than the budget gets a
 * micro-batch of its own.
 */
export function splitByTokens(lengths: readonly number[], budget: number): number[][] {
  const parts: number[][] = [];
  let room = 0;
  lengths.forEach((length, i) => {
    if (parts.length === 0 || length > room) {
      parts.push([]);
      room = budget;
    }
    parts.at(-1)!.push(i);
    room -= length;
  });
  return parts;
}

/** Positions by token id for the embedding's gradient, see `recordEmbeddingBackward`. Filling is left out. */
export function positionsByToken(batch: PackedBatch, used: number) {
  const size = batch.tokens.length;
  const order = Uint32Array.from({ length: used }, (_, n) => n).sort(
    (a, b) => batch.tokens[a]! - batch.tokens[b]! || a - b,
  );
  const starts = new Uint32Array(size + 1);
  const ids = new Uint32Array(size).fill(0xffffffff);
  let distinct = 0;
  order.forEach((n, i) => {
    if (i > 0 && batch.tokens[n] === batch.tokens[order[i - 1]!]) return;
    ids[distinct] = batch.tokens[n]!;
    starts[distinct++] = i;
  });
  starts.fill(used, distinct);
  const padded = new Uint32Array(size);
  padded.set(order);
  return { order: padded, starts, ids };
}

/** Throws `UsageError` naming the sequence that is empty, too long, or holds a token outside the vocabulary. */
export function checkSequences(
  sequences: readonly (readonly number[])[],
  limits: { maxPositions: number; vocabSize: number },
): void {
  sequences.forEach((tokens, i) => {
    if (tokens.length === 0)
      throw new UsageError(`Sequence ${i} has no tokens.`, 'Leave it out of the batch.');
    if (tokens.length > limits.maxPositions)
      throw new UsageError(
        `Sequence ${i} has ${tokens.length} tokens, the model has positions for ${limits.maxPositions}.`,
        'Shorten the dialogue or raise maxPositions if the model allows it.',
      );
    const wrong = tokens.findIndex((t) => !Number.isInteger(t) || t < 0 || t >= limits.vocabSize);
    if (wrong >= 0)
      throw new UsageError(
        `Sequence ${i}, position ${wrong}: token ${tokens[wrong]} is outside the vocabulary of ${limits.vocabSize}.`,
        "Use the model's own tokenizer.",
      );
  });
}
