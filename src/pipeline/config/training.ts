/** @file Options shared by the two training stages, under the names of the flags. */
import { UsageError } from '../../core/errors.ts';
import type { OptimizerOptions } from '../../core/policy.ts';
import { scheduleFactor, type ScheduleName } from '../../core/schedule.ts';

export interface TrainingOptions {
  seed: number;
  /** Peak learning rate. */
  learning_rate: number;
  lr_scheduler_type: ScheduleName;
  /** Optimizer steps of linear warm-up. */
  warmup_steps: number;
  /** AdamW's decoupled weight decay. */
  weight_decay: number;
  /** Clip the gradient norm; 0 = off. */
  max_grad_norm: number;
  /** Stop after this many optimizer steps. */
  max_steps?: number | undefined;
  /** Optimizer steps between checkpoints. */
  save_steps: number;
  /** Checkpoints kept. */
  save_total_limit: number;
}

/** AdamW's settings for optimizer step `step` (0-based) of `total`. */
export function optimizerAt(options: TrainingOptions, step: number, total: number): OptimizerOptions {
  const factor = scheduleFactor(options.lr_scheduler_type, step, total, options.warmup_steps);
  return {
    learningRate: options.learning_rate * factor,
    maxGradNorm: options.max_grad_norm,
    weightDecay: options.weight_decay,
  };
}

/** Throw `UsageError` unless `value` is a whole number of at least `min`. */
export function assertCount(flag: string, value: number | undefined, min: number): void {
  if (value !== undefined && (!Number.isInteger(value) || value < min))
    throw new UsageError(`--${flag} is ${value}.`, `Give a whole number of at least ${min}.`);
}

/** The checks that both training stages make. */
export function assertTrainingOptions(options: TrainingOptions): void {
  if (!(options.learning_rate >= 0) || !Number.isFinite(options.learning_rate))
    throw new UsageError(`--learning_rate is ${options.learning_rate}.`, 'Give a number of at least 0.');
  assertCount('seed', options.seed, 0);
  assertCount('warmup_steps', options.warmup_steps, 0);
  assertCount('max_steps', options.max_steps, 1);
  assertCount('save_steps', options.save_steps, 1);
  assertCount('save_total_limit', options.save_total_limit, 1);
}
