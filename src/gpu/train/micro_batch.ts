/** @file From training sequences to micro-batches: what is packed where, and which rows the loss looks at. */
import { UsageError } from '../../core/errors.ts';
import type { LossSequence } from '../../core/loss/types.ts';
import type { TrainSequence } from '../../core/policy.ts';
import type { JudgedRows } from '../model/runner.ts';
import type { PackedBatch } from './packing.ts';
import { pack, splitByTokens } from './packing.ts';

/** A part of the optimizer step's batch that is computed at once. */
export interface MicroBatch {
  packed: PackedBatch;
  judged: JudgedRows;
}

/** The loss masks with entry 0, which has no context, taken out. [T] each */
export function lossMasks(batch: readonly TrainSequence[]): Uint8Array[] {
  return batch.map(({ tokens, lossMask }, i) => {
    if (lossMask.length !== tokens.length)
      throw new UsageError(
        `Sequence ${i} has ${tokens.length} tokens and a loss mask of ${lossMask.length}.`,
      );
    return Uint8Array.from(lossMask, (m, t) => (t > 0 && m !== 0 ? 1 : 0));
  });
}

/** Rows that predict a masked token, in packed order; row n is judged by token n + 1. */
export function judgedRows(packed: PackedBatch, masks: readonly ArrayLike<number>[]): JudgedRows {
  const rows: number[] = [];
  packed.members.forEach((i, at) => {
    const mask = masks[i]!;
    for (let t = 1; t < mask.length; t++) if (mask[t] !== 0) rows.push(packed.offsets[at]! + t - 1);
  });
  return { rows: Uint32Array.from(rows), targets: Uint32Array.from(rows, (n) => packed.tokens[n + 1]!) };
}

/** Split, pack and find the rows. */
export function microBatches(
  sequences: readonly (readonly number[])[],
  masks: readonly ArrayLike<number>[],
  tokenBudget: number,
): MicroBatch[] {
  const parts = splitByTokens(
    sequences.map((s) => s.length),
    tokenBudget,
  );
  return parts.map((members) => {
    const packed = pack(sequences, members);
    return { packed, judged: judgedRows(packed, masks) };
  });
}

/** Spread values of judged rows over per-sequence arrays [T] of the whole batch; entry t speaks of token t. */
export function spread(micro: MicroBatch, values: ArrayLike<number>, into: readonly Float32Array[]): void {
  const { packed, judged } = micro;
  let at = 0;
  packed.members.forEach((i, m) => {
    const first = packed.offsets[m]!;
    const last = first + into[i]!.length;
    for (; at < judged.rows.length && judged.rows[at]! < last; at++)
      into[i]![judged.rows[at]! + 1 - first] = values[at]!;
  });
}

/** A training sequence as the loss reads it, without what the engine computes. Throws `UsageError` on a wrong length. */
export function lossSequence(
  s: TrainSequence,
  mask: ArrayLike<number>,
  index: number,
): Omit<LossSequence, 'logprobs' | 'entropies'> {
  const arrays = {
    old: s.oldLogprobs,
    ref: s.refLogprobs,
    sampler: s.samplerLogprobs,
    segments: s.segmentIds,
    advantages: s.tokenAdvantages,
  };
  for (const [name, array] of Object.entries(arrays))
    if (array && array.length !== s.tokens.length)
      throw new UsageError(`Sequence ${index} has ${s.tokens.length} tokens, its ${name} ${array.length}.`);
  return {
    mask,
    advantage: s.tokenAdvantages ?? s.advantage ?? 0,
    ...(s.oldLogprobs && { old: s.oldLogprobs }),
    ...(s.refLogprobs && { ref: s.refLogprobs }),
    ...(s.samplerLogprobs && { sampler: s.samplerLogprobs }),
    ...(s.segmentIds && { segments: s.segmentIds }),
  };
}
