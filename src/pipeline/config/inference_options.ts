/** @file Options of inference, under the names of the flags. */
import { UsageError } from '../../core/errors.ts';
import type { SamplingOptions } from '../../core/policy.ts';
import type { SuccessNotion } from '../types.ts';
import { assertCount } from './training.ts';

/** How turns are written. */
export interface GenerationOptions {
  max_new_tokens: number;
  num_beams: number;
  do_sample: boolean;
  temperature: number;
  top_p: number;
  top_k: number;
}

export interface InferenceOptions extends GenerationOptions {
  seed: number;
  /** T, most exchanges of an episode. */
  turn_num: number;
  success: SuccessNotion;
  hardcore: boolean;
  last_turn_recommend: boolean;
  /** Retrieved items that count, and that a row keeps. */
  topk: number;
  /** Dialogues in one decode batch. */
  num_concurrent: number;
}

/** Throw `UsageError` for values that cannot be honoured. */
export function assertInferenceOptions(o: InferenceOptions): void {
  for (const flag of ['max_new_tokens', 'num_beams', 'turn_num', 'topk', 'num_concurrent'] as const)
    assertCount(flag, o[flag], 1);
  assertCount('top_k', o.top_k, 0);
  if (o.num_beams > 1 && o.do_sample)
    throw new UsageError(
      `--do_sample with --num_beams ${o.num_beams}: beam search is not sampled.`,
      'Choose one of the two.',
    );
  if (o.do_sample && !(o.temperature > 0))
    throw new UsageError(`--do_sample at --temperature ${o.temperature}.`, 'Give a temperature above 0.');
}

/** The flags as the engine's sampling options: beams, sampling, or the likeliest token. */
export function samplingOf(o: GenerationOptions): Omit<SamplingOptions, 'stopTokens'> {
  const base = { maxNewTokens: o.max_new_tokens };
  if (o.num_beams > 1) return { ...base, numBeams: o.num_beams };
  if (!o.do_sample) return { ...base, temperature: 0 };
  return {
    ...base,
    temperature: o.temperature,
    ...(o.top_k > 0 ? { topK: o.top_k } : {}),
    ...(o.top_p < 1 ? { topP: o.top_p } : {}),
  };
}
