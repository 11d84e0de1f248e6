/** @file The policy loss kernel as a function of host arrays, for tests, the golden suite and teaching. */
import { stepTotals } from '../../core/loss/aggregation.ts';
import type { LossInputs, LossOutputs, PolicyObjective } from '../../core/loss/types.ts';
import type { GpuContext } from '../runtime/context.ts';
import { DispatchList } from '../runtime/dispatch_list.ts';
import { readTensor, writeTensor } from '../runtime/tensor.ts';
import { recordPolicyLoss } from './policy_loss.ts';
import { createPolicyLossTensors, uploadPolicyBatch } from './policy_loss_batch.ts';

/**
 * `policyLoss` of `src/core/loss`, computed by the kernel in f32. `spare` adds unused tokens and sequences to the buffers,
 * as a recorded step with room for a larger micro-batch has them.
 */
export async function policyLossOnGpu(
  gpu: GpuContext,
  inputs: LossInputs,
  objective: PolicyObjective,
  spare = 0,
): Promise<LossOutputs> {
  const { sequences } = inputs;
  const lengths = sequences.map((s) => s.mask.length);
  const N = lengths.reduce((a, b) => a + b, 0) + spare;
  const tensors = createPolicyLossTensors(gpu, Math.max(N, 1), Math.max(sequences.length + spare, 1));
  const list = new DispatchList(gpu);
  recordPolicyLoss(gpu, list, tensors, objective);
  const totals = inputs.totals ?? stepTotals(sequences, objective);
  uploadPolicyBatch(gpu, tensors, sequences, objective, totals);
  const pack = (of: (b: number) => ArrayLike<number> | undefined): Float32Array =>
    Float32Array.from(
      sequences.flatMap((_, b) => Array.from(of(b) ?? new Array<number>(lengths[b]!).fill(0))),
    );
  writeTensor(
    gpu,
    tensors.logprobs,
    pack((b) => sequences[b]!.logprobs),
  );
  writeTensor(
    gpu,
    tensors.entropies,
    pack((b) => sequences[b]!.entropies),
  );
  list.submit();
  const [gradients, report, values] = await Promise.all([
    readTensor(gpu, tensors.gradients),
    readTensor(gpu, tensors.report),
    readTensor(gpu, tensors.values),
  ]);
  for (const tensor of Object.values(tensors)) gpu.destroyBuffer(tensor.buffer);

  let start = 0;
  const ranges = lengths.map((length) => {
    const range: [number, number] = [start, (start += length)];
    return range;
  });
  const column = (k: number): Float64Array[] =>
    ranges.map(([a, b]) => Float64Array.from({ length: b - a }, (_, t) => report[(a + t) * 4 + k]!));
  return {
    value: values.reduce((a, b) => a + b, 0),
    gradients: ranges.map(([a, b]) => Float64Array.from(gradients.subarray(a, b))),
    losses: column(0),
    ratios: column(1),
    kls: column(2),
    clipped: column(3).map((x) => Int8Array.from(x)),
  };
}
