/** @file From training sequences to micro-batches: what is packed where, and which rows the loss looks at. */
import { UsageError } from '../../core/errors.ts';
import type { LossSequence } from '../../core/loss/types.ts';
import type { TrainSequence } from '../../core/policy.ts';
import type { JudgedRows } from '../model/runner.ts';
import type { PackedBatch } from './packing.ts';
import { pack, placeOf, planPacks } from './packing.ts';

/** Rows of a micro-batch that the loss looks at, and the tokens they speak of: token `times[r]` of sequence `owners[r]`. */
export interface OwnedRows extends JudgedRows {
  owners: Uint32Array;
  times: Uint32Array;
}

/** A part of the optimizer step's batch that is computed at once. */
export interface MicroBatch {
  packed: PackedBatch;
  judged: OwnedRows;
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

/** Rows that predict a masked token, in packed order; those of a shared prefix once. */
function ownedRows(packed: PackedBatch, masks: readonly ArrayLike<number>[]): OwnedRows {
  const rows: number[] = [];
  const owners: number[] = [];
  const times: number[] = [];
  const targets: number[] = [];
  for (const member of packed.members) {
    const mask = masks[member.index]!;
    for (let t = member.leads ? 1 : Math.max(1, member.prefixLength); t < mask.length; t++) {
      if (mask[t] === 0) continue;
      rows.push(placeOf(member, t - 1));
      targets.push(packed.tokens[placeOf(member, t)]!);
      owners.push(member.index);
      times.push(t);
    }
  }
  return {
    rows: Uint32Array.from(rows),
    targets: Uint32Array.from(targets),
    owners: Uint32Array.from(owners),
    times: Uint32Array.from(times),
  };
}

/**
 * How many first tokens of each sequence a training step may share: a row of a shared prefix has one gradient, so that it must
 * not predict a token in the loss.
 */
export const shareableInTraining = (masks: readonly ArrayLike<number>[]): number[] =>
  masks.map((mask) => {
    let first = 0;
    while (first < mask.length && mask[first] === 0) first++;
    return Math.max(0, first - 1);
  });

/** Split, pack and find the rows. `shareable`: see `planPacks`. */
export function microBatches(
  sequences: readonly (readonly number[])[],
  masks: readonly ArrayLike<number>[],
  tokenBudget: number,
  shareable?: readonly number[],
): MicroBatch[] {
  return planPacks(sequences, tokenBudget, shareable).map((groups) => {
    const packed = pack(sequences, groups);
    return { packed, judged: ownedRows(packed, masks) };
  });
}

/** Spread values of judged rows over per-sequence arrays [T] of the whole batch; entry t speaks of token t. */
export function spread(
  { packed, judged }: MicroBatch,
  values: ArrayLike<number>,
  into: readonly Float32Array[],
): void {
  judged.owners.forEach((owner, r) => (into[owner]![judged.times[r]!] = values[r]!));
  let leader = 0;
  for (const { index, leads, prefixLength } of packed.members) {
    if (leads) leader = index;
    else into[index]!.set(into[leader]!.subarray(0, prefixLength));
  }
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
