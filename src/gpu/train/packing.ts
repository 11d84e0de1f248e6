/**
 * @file Packing: the sequences of a micro-batch lie one after another on one token axis, nothing between them. Sequences that begin
 * alike (the rollouts of one dialogue) share the tokens of their common prefix, which is computed once. The axis is
 * rounded up to a bucket, so that few programs are recorded; the tokens that fill it up are sequences of their own.
 */
import { UsageError } from '../../core/errors.ts';

/** Where a sequence lies: its first `prefixLength` tokens at `prefixStart`, the others at `start`. */
export interface PackedMember {
  /** Number of the sequence in the whole batch. */
  index: number;
  prefixStart: number;
  prefixLength: number;
  start: number;
  /** The prefix is counted as this member's; others of its group have a copy. */
  leads: boolean;
}

/** Place of a member's token t on the axis. */
export const placeOf = (m: PackedMember, t: number): number =>
  t < m.prefixLength ? m.prefixStart + t : m.start + t - m.prefixLength;

/** Sequences of one micro-batch on the token axis. All arrays are [N]. */
export interface PackedBatch {
  tokens: Uint32Array;
  positions: Uint32Array;
  /** Token n attends to tokens in [starts[n], n] … */
  starts: Uint32Array;
  /** … and to the shared ones in [prefixes[2n], prefixes[2n + 1]). [N, 2] */
  prefixes: Uint32Array;
  /** Token n is seen by tokens in [n, ends[n]). */
  ends: Uint32Array;
  /** Number of each token's sequence in the whole batch. */
  sequences: Uint32Array;
  /** In the order in which they lie. */
  members: readonly PackedMember[];
  /** Tokens without the filling. */
  used: number;
}

/** Sequences (numbers into the batch) that share their first `prefixLength` tokens. */
export interface PackGroup {
  prefixLength: number;
  members: number[];
}

/**
 * The next bucket: a multiple of 64, and of an eighth of the power of two below, so that at most an eighth of the axis is
 * filling and a few dozen buckets serve every batch.
 */
export function bucket(count: number): number {
  const step = Math.max(64, 2 ** Math.floor(Math.log2(Math.max(count, 1))) / 8);
  return Math.max(64, Math.ceil(count / step) * step);
}

/** Pack groups on one axis. */
export function pack(sequences: readonly (readonly number[])[], groups: readonly PackGroup[]): PackedBatch {
  const used = groups.reduce((sum, g) => sum + groupSize(sequences, g), 0);
  const size = bucket(used);
  const members: PackedMember[] = [];
  const batch: PackedBatch = {
    tokens: new Uint32Array(size),
    positions: new Uint32Array(size),
    starts: Uint32Array.from({ length: size }, (_, n) => n),
    prefixes: new Uint32Array(2 * size),
    ends: Uint32Array.from({ length: size }, (_, n) => n + 1),
    sequences: new Uint32Array(size),
    members,
    used,
  };
  let at = 0;
  /** Put tokens [from, to) of a sequence at the end; they are seen up to `end`. */
  const put = (index: number, from: number, to: number, end: number, prefix: readonly [number, number]) => {
    const first = at;
    for (let t = from; t < to; t++, at++) {
      batch.tokens[at] = sequences[index]![t]!;
      batch.positions[at] = t;
      batch.prefixes.set(prefix, 2 * at);
    }
    batch.starts.fill(first, first, at);
    batch.ends.fill(end, first, at);
    batch.sequences.fill(index, first, at);
    return first;
  };
  for (const group of groups) {
    const { prefixLength } = group;
    const prefixStart = put(group.members[0]!, 0, prefixLength, at + groupSize(sequences, group), [0, 0]);
    const prefix = prefixLength > 0 ? ([prefixStart, at] as const) : ([0, 0] as const);
    group.members.forEach((index, i) => {
      const { length } = sequences[index]!;
      const start = put(index, prefixLength, length, at + length - prefixLength, prefix);
      members.push({ index, prefixStart, prefixLength, start, leads: i === 0 });
    });
  }
  return batch;
}

const groupSize = (sequences: readonly (readonly number[])[], g: PackGroup): number =>
  g.members.reduce((sum, i) => sum + sequences[i]!.length - g.prefixLength, g.prefixLength);

/** Prefixes shorter than this are not worth sharing. */
const shortestPrefix = 8;

/**
 * Split a batch into micro-batches of at most `budget` tokens. A sequence longer than the budget gets a micro-batch of its
 * own. `shareable`: how many first tokens of each sequence may be shared (fewer than it has); absent = none, and
 * the order is kept.
 */
export function planPacks(
  sequences: readonly (readonly number[])[],
  budget: number,
  shareable?: readonly number[],
): PackGroup[][] {
  const order = sequences.map((_, i) => i);
  // Sequences that begin alike become neighbours.
  if (shareable) order.sort((a, b) => compareTokens(sequences[a]!, sequences[b]!) || a - b);
  const parts: PackGroup[][] = [];
  let room = 0;
  for (const i of order) {
    const { length } = sequences[i]!;
    const group = parts.at(-1)?.at(-1);
    if (shareable && group) {
      const joined = joinGroup(sequences, group, i, shareable);
      if (joined && joined.cost < length && joined.cost <= room) {
        group.prefixLength = joined.prefixLength;
        group.members.push(i);
        room -= joined.cost;
        continue;
      }
    }
    if (parts.length === 0 || length > room) {
      parts.push([]);
      room = budget;
    }
    parts.at(-1)!.push({ prefixLength: 0, members: [i] });
    room -= length;
  }
  return parts;
}

/** The group's prefix with sequence i in it, and the tokens that this adds to the axis; null when too little is shared. */
function joinGroup(
  sequences: readonly (readonly number[])[],
  group: PackGroup,
  i: number,
  shareable: readonly number[],
): { prefixLength: number; cost: number } | null {
  const [first] = group.members;
  const count = group.members.length;
  const limit = Math.min(count === 1 ? shareable[first!]! : group.prefixLength, shareable[i]!);
  const prefixLength = commonPrefix(sequences[first!]!, sequences[i]!, limit);
  if (prefixLength < shortestPrefix) return null;
  // A group of one has no prefix yet: giving it one moves nothing. A larger group's members grow when it gets shorter.
  const grown = count === 1 ? 0 : (count - 1) * (group.prefixLength - prefixLength);
  return { prefixLength, cost: sequences[i]!.length - prefixLength + grown };
}

function commonPrefix(a: readonly number[], b: readonly number[], limit: number): number {
  let n = 0;
  while (n < limit && a[n] === b[n]) n++;
  return n;
}

function compareTokens(a: readonly number[], b: readonly number[]): number {
  const n = commonPrefix(a, b, Math.min(a.length, b.length));
  return n < a.length && n < b.length ? a[n]! - b[n]! : a.length - b.length;
}

/** Positions by token id for the embedding's gradient, see `recordEmbeddingBackward`. Filling is left out. */
export function positionsByToken(batch: PackedBatch) {
  const { used } = batch;
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
