/**
 * @file One update: `ppo_epoch` passes over the collected batch in mini-batches (default: the whole batch), one optimizer step
 * each, with TRL's metric names.
 */
import { groupAdvantages, type AdvantageOptions } from '../../../core/loss/advantages.ts';
import { completionMetrics, policyMetrics, rewardMetrics } from '../../../core/loss/metrics.ts';
import { standardDeviation } from '../../../core/loss/statistics.ts';
import type { PolicyObjective } from '../../../core/loss/types.ts';
import type { OptimizerOptions, Policy, StepResult, TrainSequence } from '../../../core/policy.ts';
import { Rng } from '../../../core/random.ts';
import type { NewRunEvent } from '../../../core/run_event.ts';
import type { Pending } from './state.ts';

export interface UpdateInput {
  policy: Policy;
  batch: readonly Pending[];
  objective: PolicyObjective;
  advantages: AdvantageOptions;
  ppoEpochs: number;
  miniBatchSize: number;
  /** Seed of the run and number of the update: they name the shuffle of the mini-batches. */
  seed: number;
  update: number;
  /** AdamW's settings for the k-th optimizer step of this update. */
  optimizer: (k: number) => OptimizerOptions;
}

/** What one optimizer step of the update did. */
export interface UpdateStep {
  metrics: Record<string, number>;
  /** Tokens of the step's sequences. */
  tokens: number;
  rollouts: Extract<NewRunEvent, { type: 'update' }>['rollouts'];
}

/** The mini-batches of an update, in order: all passes, each shuffled by its own stream when it is split. */
export function miniBatches(size: number, miniBatchSize: number, ppoEpochs: number, rng: Rng): number[][] {
  const all = Array.from({ length: size }, (_, i) => i);
  return Array.from({ length: ppoEpochs }, (_, pass) => {
    const order = miniBatchSize >= size ? all : rng.fork(pass).shuffle(all);
    return Array.from({ length: Math.ceil(size / miniBatchSize) }, (_, k) =>
      order.slice(k * miniBatchSize, (k + 1) * miniBatchSize),
    );
  }).flat();
}

/** Do the update; `onStep` hears every optimizer step. */
export async function updatePolicy(input: UpdateInput, onStep: (step: UpdateStep) => void): Promise<void> {
  const { policy, batch, objective, ppoEpochs, miniBatchSize, seed, update } = input;
  const scale = batchScale(batch, input.advantages);
  const rng = new Rng(seed).fork('grpo-mini-batches', update);
  for (const [k, indices] of miniBatches(batch.length, miniBatchSize, ppoEpochs, rng).entries()) {
    const part = indices.map((i) => batch[i]!);
    const result = await policy.trainStep(
      part.map((p) => trainSequence(p, scale)),
      objective,
      input.optimizer(k),
    );
    const first = k === 0 ? batchMetrics(batch, input.advantages) : {};
    onStep({
      metrics: { ...stepMetrics(part, result), ...result.metrics, ...first },
      tokens: part.reduce((n, p) => n + p.tokens.length, 0),
      rollouts: part.map((p, i) => tokenRecord(p, result.tokens[i]!)),
    });
  }
}

/** `scale_rewards batch`: pending advantages are centred only; the deviation of the batch's rewards divides them here. */
function batchScale(batch: readonly Pending[], options: AdvantageOptions): number {
  if (options.scale !== 'batch') return 1;
  const std = standardDeviation(
    batch.map((p) => p.reward),
    options.ddof,
  );
  return 1 / (std + options.eps);
}

function trainSequence(p: Pending, scale: number): TrainSequence {
  return {
    tokens: p.tokens,
    lossMask: p.lossMask,
    advantage: p.advantage * scale,
    oldLogprobs: p.old,
    samplerLogprobs: p.old,
    ...(p.ref.length > 0 ? { refLogprobs: p.ref } : {}),
  };
}

/** Loss metrics from the step's per-token record, for engines that do not report them themselves. */
function stepMetrics(part: readonly Pending[], { tokens }: StepResult): Record<string, number> {
  return policyMetrics(
    part.map((p, i) => {
      const { logprobs, entropies, kls, clipped } = tokens[i]!;
      return {
        mask: p.lossMask,
        logprobs,
        entropies,
        ...(kls && p.ref.length > 0 ? { kls } : {}),
        ...(clipped ? { clipped } : {}),
      };
    }),
  );
}

/** Rewards, completions and the sampling mismatch of a collected batch. */
function batchMetrics(batch: readonly Pending[], options: AdvantageOptions): Record<string, number> {
  const rewards = batch.map((p) => p.reward);
  const groups = groupAdvantages(
    rewards,
    batch.map((p) => p.group),
    { ...options, scale: 'group' },
  );
  const tokens = batch.reduce((n, p) => n + p.mismatch.tokens, 0);
  return {
    ...rewardMetrics(rewards, groups, {
      success: batch.map((p) => p.success),
      bonus: batch.map((p) => p.bonus),
    }),
    ...completionMetrics(
      batch.map((p) => ({ length: p.completionTokens, finishReason: p.clipped ? 'length' : 'stop' })),
    ),
    'sampling/sampling_logp_difference/mean':
      tokens === 0 ? 0 : batch.reduce((sum, p) => sum + p.mismatch.sum, 0) / tokens,
    'sampling/sampling_logp_difference/max': Math.max(0, ...batch.map((p) => p.mismatch.max)),
  };
}

/** What the update used for each token, six digits, 0 (ratio 1) outside the loss mask. */
function tokenRecord(p: Pending, report: StepResult['tokens'][number]): UpdateStep['rollouts'][number] {
  const column = (values: ArrayLike<number> | undefined, outside: number): number[] =>
    p.lossMask.map((m, t) => (m && values ? brief(values[t]!) : outside));
  return {
    key: p.key,
    logprobs: column(report.logprobs, 0),
    ratios: column(report.ratios, 1),
    kls: column(report.kls, 0),
    clipped: column(report.clipped, 0),
  };
}

/** Six significant digits: logs are for reading, the exact numbers are in the checkpoint. */
export function brief(value: number): number {
  return Number(value.toPrecision(6));
}
