/**
 * @file The policy loss between the forward and the backward pass of a micro-batch, without leaving the GPU: log-probs of judged
 * rows → packed tokens → policy loss kernel → coefficients of judged rows.
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
import type { MicroBatch } from './micro_batch.ts';

/** What the kernel reports of a packed token. */
export interface PolicyReport {
  /** Scalar loss of the micro-batch. */
  value: number;
  /** Loss before aggregation, ratio, kl, clip flag. [N, 4] */
  tokens: Float32Array;
}

/** Buffers and programs of the policy loss, grown to the largest micro-batch. */
export class PolicyPass {
  private tensors: PolicyLossTensors | null = null;
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
    const { packed } = micro;
    const size = packed.tokens.length;
    const tensors = this.ensure(size, sequences.length);
    uploadPolicyBatch(gpu, tensors, sequences, objective, totals, packed.offsets);
    const before = new DispatchList(gpu);
    const rows = runner.judgedTensors();
    recordSpreadStatistics(before, rows, tensors);
    before.submit();
    this.lossList(objective, tensors).submit();
    const after = new DispatchList(gpu);
    recordGatherScalars(after, tensors.gradients, rows);
    after.submit();
    return this.report(tensors, size, sequences.length);
  }

  private async report(tensors: PolicyLossTensors, size: number, count: number): Promise<PolicyReport> {
    const [report, values] = await Promise.all([
      this.gpu.read(tensors.report.buffer, 0, size * 16),
      this.gpu.read(tensors.values.buffer, 0, count * 4),
    ]);
    return { tokens: new Float32Array(report), value: new Float32Array(values).reduce((a, b) => a + b, 0) };
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
    this.destroy();
    const room = 2 ** Math.ceil(Math.log2(Math.max(sequences, now?.values.shape[0] ?? 1)));
    return (this.tensors = createPolicyLossTensors(
      this.gpu,
      Math.max(tokens, now?.logprobs.shape[0] ?? 0),
      room,
    ));
  }

  destroy(): void {
    for (const tensor of Object.values(this.tensors ?? {})) this.gpu.destroyBuffer(tensor.buffer);
    this.lists.clear();
    this.tensors = null;
  }
}
