/**
 * @file The policy loss between the forward and the backward pass of a micro-batch, without leaving the GPU: log-probs of judged
 * rows → tokens of the loss, whole sequences one after another → policy loss kernel → coefficients of judged rows.
 */
import type { PolicyObjective, StepTotals } from '../../core/loss/types.ts';
import { recordGatherScalars, recordSpreadStatistics } from '../kernels/judged_rows.ts';
import { recordPolicyLoss } from '../kernels/policy_loss.ts';
import type { PolicyLossTensors } from '../kernels/policy_loss.ts';
import type { PolicyBatchSequence } from '../kernels/policy_loss_batch.ts';
import { createPolicyLossTensors, uploadPolicyBatch } from '../kernels/policy_loss_batch.ts';
import type { ModelRunner } from '../model/runner.ts';
import type { GpuContext } from '../runtime/context.ts';
import { DispatchList } from '../runtime/dispatch_list.ts';
import type { Tensor } from '../runtime/tensor.ts';
import { createTensor, writeTensor } from '../runtime/tensor.ts';
import type { MicroBatch } from './micro_batch.ts';

/** What the kernel reports of a micro-batch. */
export interface PolicyReport {
  /** Scalar loss of the micro-batch. */
  value: number;
  /** Of every token: loss before aggregation, ratio, kl, clip flag. One array a member, [T, 4] */
  members: Float32Array[];
}

/** Buffers and programs of the policy loss, grown to the largest micro-batch. */
export class PolicyPass {
  private tensors: PolicyLossTensors | null = null;
  private slots: Tensor | null = null;
  private readonly lists = new Map<string, DispatchList>();

  constructor(private readonly gpu: GpuContext) {}

  /**
   * Coefficients of the loaded micro-batch into the runner. `sequences` are the micro-batch's. Resolves when the report was
   * read back; the GPU work is queued before that.
   */
  run(
    runner: ModelRunner,
    micro: MicroBatch,
    sequences: readonly PolicyBatchSequence[],
    objective: PolicyObjective,
    totals: StepTotals,
  ): Promise<PolicyReport> {
    const { gpu } = this;
    const starts: number[] = [];
    const startOf = new Map<number, number>();
    let size = 0;
    micro.packed.members.forEach(({ index }, i) => {
      starts.push(size);
      startOf.set(index, size);
      size += sequences[i]!.mask.length;
    });
    const tensors = this.ensure(size, sequences.length);
    uploadPolicyBatch(gpu, tensors, sequences, objective, totals, starts);
    const judged = runner.judgedTensors();
    const { owners, times } = micro.judged;
    const slots = new Uint32Array(judged.statistics.shape[0]!).fill(0xffffffff);
    owners.forEach((owner, r) => (slots[r] = startOf.get(owner)! + times[r]!));
    const rows = { ...judged, slots: this.slotTensor(slots) };
    const before = new DispatchList(gpu);
    recordSpreadStatistics(before, rows, tensors);
    before.submit();
    this.lossList(objective, tensors).submit();
    const after = new DispatchList(gpu);
    recordGatherScalars(after, tensors.gradients, rows);
    after.submit();
    return this.report(tensors, [...starts, size]);
  }

  private async report(tensors: PolicyLossTensors, bounds: readonly number[]): Promise<PolicyReport> {
    const count = bounds.length - 1;
    const [report, values] = await Promise.all([
      this.gpu.read(tensors.report.buffer, 0, bounds[count]! * 16),
      this.gpu.read(tensors.values.buffer, 0, count * 4),
    ]);
    const tokens = new Float32Array(report);
    return {
      value: new Float32Array(values).reduce((a, b) => a + b, 0),
      members: Array.from({ length: count }, (_, i) => tokens.subarray(4 * bounds[i]!, 4 * bounds[i + 1]!)),
    };
  }

  /** Where each judged row lies among the tokens of the loss. [R] u32 */
  private slotTensor(values: Uint32Array): Tensor {
    if (!this.slots || this.slots.shape[0]! < values.length) {
      if (this.slots) this.gpu.destroyBuffer(this.slots.buffer);
      this.slots = createTensor(this.gpu, 'policy slots', [values.length], 'u32');
    }
    const slots: Tensor = { ...this.slots, shape: [values.length] };
    writeTensor(this.gpu, slots, values);
    return slots;
  }

  private lossList(objective: PolicyObjective, tensors: PolicyLossTensors): DispatchList {
    const key = JSON.stringify(objective);
    let list = this.lists.get(key);
    if (!list) {
      this.lists.set(key, (list = new DispatchList(this.gpu)));
      recordPolicyLoss(this.gpu, list, tensors, objective);
    }
    return list;
  }

  private ensure(tokens: number, sequences: number): PolicyLossTensors {
    const now = this.tensors;
    if (now && now.logprobs.shape[0]! >= tokens && now.values.shape[0]! >= sequences) return now;
    this.freeTensors();
    const room = 2 ** Math.ceil(Math.log2(Math.max(sequences, now?.values.shape[0] ?? 1)));
    return (this.tensors = createPolicyLossTensors(
      this.gpu,
      Math.max(tokens, now?.logprobs.shape[0] ?? 0),
      room,
    ));
  }

  destroy(): void {
    this.freeTensors();
    if (this.slots) this.gpu.destroyBuffer(this.slots.buffer);
    this.slots = null;
  }

  private freeTensors(): void {
    for (const tensor of Object.values(this.tensors ?? {})) this.gpu.destroyBuffer(tensor.buffer);
    this.lists.clear();
    this.tensors = null;
  }
}
