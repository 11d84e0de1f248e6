/**
 * @file `Trainer`: one optimizer step on a batch. The batch is split into micro-batches by tokens; gradients add up; every
 * denominator is of the whole step, so that the split changes nothing but rounding.
 *
 * Per micro-batch: forward → log-probs and entropies of the tokens in the loss → ∂loss/∂lp → backward.
 */
import { UsageError } from '../../core/errors.ts';
import { stepTotals } from '../../core/loss/aggregation.ts';
import type { PolicyObjective, StepTotals } from '../../core/loss/types.ts';
import type {
  Objective,
  OptimizerOptions,
  SftObjective,
  StepResult,
  TrainSequence,
} from '../../core/policy.ts';
import { recordProbabilityWeights } from '../kernels/cross_entropy.ts';
import type { LoraAdapter } from '../model/adapter.ts';
import type { MergedWeights } from '../model/merged.ts';
import type { FlatTensors } from '../model/parameters.ts';
import type { PassOptions } from '../model/pass_buffers.ts';
import { PassBuffers } from '../model/pass_buffers.ts';
import { ModelRunner } from '../model/runner.ts';
import type { ModelWeights } from '../model/weights.ts';
import type { GpuContext } from '../runtime/context.ts';
import { DispatchList } from '../runtime/dispatch_list.ts';
import type { Tensor } from '../runtime/tensor.ts';
import { createTensor, writeTensor } from '../runtime/tensor.ts';
import type { MicroBatch } from './micro_batch.ts';
import { lossMasks, lossSequence, microBatches, shareableInTraining, spread } from './micro_batch.ts';
import { AdamW, notFinite } from './optimizer.ts';
import { PolicyPass } from './policy_pass.ts';
import type { StepRecord } from './step_record.ts';
import { emptyRecord, recordMetrics, tokenReports } from './step_record.ts';

export interface TrainerOptions extends Omit<PassOptions, 'mode'> {
  /** Keep only block inputs and compute blocks again in backward. */
  checkpointing: boolean;
  /** Most tokens of a micro-batch; a longer sequence gets one of its own. */
  tokensPerMicroBatch: number;
  /** Compute what sequences begin with in common once. */
  sharePrefixes: boolean;
  /** Seed of dropout. */
  seed: number;
}

/** Trains an adapter, or all weights when there is none. */
export class Trainer {
  readonly optimizer: AdamW;
  private readonly buffers: PassBuffers;
  private readonly runner: ModelRunner;
  private readonly policyPass: PolicyPass;
  /** Dropout masks differ from sequence to sequence: with dropout, nothing is shared. */
  private readonly sharesPrefixes: boolean;
  /** Run seed and optimizer step, what dropout is keyed by. [2] u32 */
  private readonly seeds: Tensor;

  constructor(
    private readonly gpu: GpuContext,
    weights: ModelWeights,
    adapter: LoraAdapter | null,
    private readonly merged: MergedWeights | null,
    parameters: FlatTensors,
    readonly options: TrainerOptions,
  ) {
    this.sharesPrefixes = options.sharePrefixes && !(adapter && adapter.config.dropout > 0);
    this.optimizer = new AdamW(gpu, parameters);
    this.seeds = createTensor(gpu, 'dropout seeds', [2], 'u32');
    this.buffers = new PassBuffers(gpu, weights.config, {
      ...options,
      mode: options.checkpointing ? 'checkpoint' : 'train',
    });
    const { grads } = this.optimizer;
    this.runner = new ModelRunner(this.buffers, weights, adapter, {
      grads,
      full: options.full,
      seeds: this.seeds,
      merged: merged?.weights ?? null,
    });
    this.policyPass = new PolicyPass(gpu);
  }

  /** Gradients of the objective, left in `optimizer.grads`, and the record of every token. */
  async accumulate(batch: readonly TrainSequence[], objective: Objective): Promise<StepRecord> {
    if (batch.length === 0) throw new UsageError('The batch of a training step is empty.');
    const masks = lossMasks(batch);
    const record = emptyRecord(batch, masks, objective);
    const micro = microBatches(
      batch.map((s) => s.tokens),
      masks,
      this.options.tokensPerMicroBatch,
      this.sharesPrefixes ? shareableInTraining(masks) : undefined,
    );
    this.optimizer.zeroGradients();
    this.merged?.refresh();
    writeTensor(this.gpu, this.seeds, Uint32Array.of(this.options.seed, this.optimizer.step));
    if (objective.kind === 'sft') await this.supervised(micro, objective, record);
    else await this.policy(batch, micro, objective, record);
    return record;
  }

  /** One AdamW step. Throws when the loss or the gradient is not finite; the parameters are then untouched. */
  async step(
    batch: readonly TrainSequence[],
    objective: Objective,
    options: OptimizerOptions,
  ): Promise<StepResult> {
    const record = await this.accumulate(batch, objective);
    if (!Number.isFinite(record.loss)) throw notFinite('loss', this.optimizer.step + 1);
    const norm = await this.optimizer.update(options);
    this.merged?.invalidate();
    return {
      metrics: { ...recordMetrics(record), grad_norm: norm, learning_rate: options.learningRate },
      tokens: tokenReports(record),
    };
  }

  private async supervised(
    micro: readonly MicroBatch[],
    objective: SftObjective,
    record: StepRecord,
  ): Promise<void> {
    const total = Math.max(1, record.lossTokens);
    const pending = micro.map((part) => {
      this.runner.load(part.packed, part.judged);
      this.runner.forward();
      this.runner.setCoefficients(new Float32Array(part.judged.rows.length).fill(-1 / total));
      if (objective.loss === 'dft') {
        const list = new DispatchList(this.gpu);
        const { statistics, coefficients } = this.runner.judgedTensors();
        recordProbabilityWeights(list, statistics, coefficients);
        list.submit();
      }
      this.runner.backward();
      return this.runner.statistics();
    });
    // Everything is queued; now the numbers come back.
    const statistics = await Promise.all(pending);
    micro.forEach((part, i) => this.keep(part, statistics[i]!, record));
    const weigh = objective.loss === 'dft' ? (lp: number) => Math.exp(lp) * lp : (lp: number) => lp;
    let sum = 0;
    record.logprobs.forEach((logprobs, i) =>
      logprobs.forEach((lp, t) => (sum -= record.masks[i]![t] ? weigh(lp) : 0)),
    );
    record.loss = sum / total;
  }

  private async policy(
    batch: readonly TrainSequence[],
    micro: readonly MicroBatch[],
    objective: PolicyObjective,
    record: StepRecord,
  ): Promise<void> {
    const sequences = batch.map((s, i) => lossSequence(s, record.masks[i]!, i));
    const totals = await this.policyTotals(micro, objective, record);
    const pending = micro.map((part) => {
      this.runner.load(part.packed, part.judged, objective.temperature);
      this.runner.forward();
      const members = part.packed.members.map(({ index }) => sequences[index]!);
      const report = this.policyPass.run(this.runner, part, members, objective, totals);
      this.runner.backward();
      return Promise.all([report, this.runner.statistics()]);
    });
    const results = await Promise.all(pending);
    for (const [i, part] of micro.entries()) {
      const [report, statistics] = results[i]!;
      this.keep(part, statistics, record);
      record.loss += report.value;
      part.packed.members.forEach(({ index: member }, at) => {
        const tokens = report.members[at]!;
        const column = (c: number) => (_: number, t: number) =>
          record.masks[member]![t] ? tokens[4 * t + c]! : c === 1 ? 1 : 0;
        record.policy!.losses[member] = record.logprobs[member]!.map(column(0));
        record.policy!.ratios[member] = record.logprobs[member]!.map(column(1));
        record.policy!.kls[member] = record.logprobs[member]!.map(column(2));
        record.policy!.clipped[member] = Int8Array.from(record.logprobs[member]!, column(3));
      });
    }
  }

  /** Denominators of the step. The entropy mask needs every token's entropy first: a forward pass of its own. */
  private async policyTotals(
    micro: readonly MicroBatch[],
    objective: PolicyObjective,
    record: StepRecord,
  ): Promise<StepTotals> {
    const sequences = record.masks.map((mask, i) => ({ mask, entropies: record.entropies[i]! }));
    if (objective.entropyTopShare === undefined) return stepTotals(sequences);
    for (const part of micro) {
      this.runner.load(part.packed, part.judged, objective.temperature);
      this.runner.forward();
      this.keep(part, await this.runner.statistics(), record);
    }
    return stepTotals(sequences, objective);
  }

  private keep(
    part: MicroBatch,
    statistics: Awaited<ReturnType<ModelRunner['statistics']>>,
    record: StepRecord,
  ) {
    spread(part, statistics.logprobs, record.logprobs);
    spread(part, statistics.entropies, record.entropies);
    spread(part, statistics.correct, record.correct);
  }

  destroy(): void {
    this.optimizer.destroy();
    this.buffers.destroy();
    this.policyPass.destroy();
    this.gpu.destroyBuffer(this.seeds.buffer);
  }
}
