/** @file Options of SFT, under the names of the flags. */
import { UsageError } from '../../core/errors.ts';
import { assertCount, assertTrainingOptions, type TrainingOptions } from './training.ts';

export interface SftOptions extends TrainingOptions {
  /** Passes over the data. */
  epoch: number;
  /** Examples per micro step and process; one optimizer step takes batch_size · gradient_accumulation_steps · nproc_per_node. */
  batch_size: number;
  gradient_accumulation_steps: number;
  nproc_per_node?: number | undefined;
  /** Loss on the interaction only, not on the recommender turns of the given dialogue. */
  train_only_interaction: boolean;
  /** Also train on seeker messages, as the original's code did. */
  train_seeker_tokens: boolean;
  /** Longest example in tokens; absent = what the model takes. */
  max_length?: number | undefined;
}

/** Examples that one optimizer step takes. */
export function examplesPerStep(options: SftOptions): number {
  return options.batch_size * options.gradient_accumulation_steps * (options.nproc_per_node ?? 1);
}

/** Throw `UsageError` for values that cannot be honoured. */
export function assertSftOptions(options: SftOptions): void {
  assertTrainingOptions(options);
  assertCount('epoch', options.epoch, 1);
  assertCount('batch_size', options.batch_size, 1);
  assertCount('gradient_accumulation_steps', options.gradient_accumulation_steps, 1);
  assertCount('nproc_per_node', options.nproc_per_node, 1);
  if (options.max_length !== undefined && options.max_length < 8)
    throw new UsageError(`--max_length is ${options.max_length}.`, 'An example needs at least 8 tokens.');
}
