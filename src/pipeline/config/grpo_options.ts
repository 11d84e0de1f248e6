/** @file Options of GRPO, under the names of the flags. */
import { UsageError } from '../../core/errors.ts';
import { defaultAdvantageOptions, type AdvantageOptions } from '../../core/loss/advantages.ts';
import { lossTypeNames, lossTypes, policyObjective, type LossTypeName } from '../../core/loss/loss_types.ts';
import type { PolicyObjective } from '../../core/loss/types.ts';
import type { FormatFlags } from '../response/format_check.ts';
import type { SuccessNotion } from '../types.ts';
import { assertCount, assertTrainingOptions, type TrainingOptions } from './training.ts';

export interface GrpoOptions extends TrainingOptions, FormatFlags {
  /** Passes over the dialogues. */
  epoch: number;
  /** Updates on each collected batch. */
  ppo_epoch: number;
  /** Kept rollouts per update. */
  batch_size: number;
  /** Rollouts per optimizer step; absent = the whole batch. */
  mini_batch_size?: number | undefined;
  /** β, weight of the KL to the SFT model. */
  init_kl_coef: number;
  /** Penalty of a failure: its reward is minus this. */
  reward: number;
  /** Added to a success that beats the teacher's turn count. */
  bonus: number;
  /** T, most exchanges of an episode. */
  turn_num: number;
  /** A success must come within turn_num minus this. */
  turn_num_offset: number;
  /** Loss on at most this many first turns of a rollout. */
  max_train_turn?: number | undefined;
  /** G, rollouts per group. */
  num_generations: number;
  /** Most groups sampled in one decode batch; results do not depend on it. */
  groups_in_flight: number;
  /** Attempts per rollout before an invalid one is kept as a failure. */
  max_attempts: number;
  /** Clip range; absent = the loss type's own. */
  e_low?: number | undefined;
  e_high?: number | undefined;
  loss_type: string;
  /** Which deviation divides the advantage; absent = the loss type's own (group, where it has none). */
  scale_rewards?: 'group' | 'batch' | 'none' | undefined;
  dynamic_sampling: boolean;
  /** A group is dropped when its successes are ≤ this or ≥ G − this. */
  sampling_threshold: number;
  /** OSR: stop at the first recommendation, right or wrong. */
  hardcore: boolean;
  /** TGI drawn at run time. */
  new_tgi: boolean;
  /** Rewrite the list of a successful rollout, targets first. */
  rerank: boolean;
  /** First dialogue to use, counted over the epochs in the order of the run. */
  resume_start?: number | undefined;
  /** Dialogues between kept adapters (and checkpoints). */
  save_turn: number;
  /** Most dialogues to visit. */
  step_size: number;
  /** One rollout of each group is the teacher's. */
  off_policy: boolean;
  /** No loss on recommendation turns before the last. */
  recommendation_mask: boolean;
  last_turn_recommend: boolean;
  rec_success_recommend: boolean;
  success: SuccessNotion;
  max_new_tokens: number;
  /** Rollouts are sampled at this temperature, and the loss divides logits by it. */
  temperature: number;
  /** Refused when given: truncated sampling makes the importance ratios wrong. */
  top_k?: number | undefined;
  top_p?: number | undefined;
  num_beams?: number | undefined;
}

/** Throw `UsageError` for values that cannot be honoured. */
export function assertGrpoOptions(o: GrpoOptions): void {
  assertTrainingOptions(o);
  for (const flag of [
    'epoch',
    'ppo_epoch',
    'batch_size',
    'mini_batch_size',
    'turn_num',
    'max_train_turn',
    'groups_in_flight',
    'max_attempts',
    'save_turn',
    'step_size',
    'max_new_tokens',
  ] as const)
    assertCount(flag, o[flag], 1);
  assertCount('num_generations', o.num_generations, 2);
  assertCount('resume_start', o.resume_start, 0);
  assertCount('turn_num_offset', o.turn_num_offset, 0);
  assertCount('sampling_threshold', o.sampling_threshold, 0);
  if (o.turn_num_offset >= o.turn_num)
    throw new UsageError(
      `--turn_num_offset ${o.turn_num_offset} leaves no turn of --turn_num ${o.turn_num} in which a success counts.`,
      'Choose it smaller than --turn_num.',
    );
  if (o.dynamic_sampling && 2 * o.sampling_threshold >= o.num_generations)
    throw new UsageError(
      `--sampling_threshold ${o.sampling_threshold} drops every group of ${o.num_generations} rollouts.`,
      'Choose it below half of --num_generations.',
    );
  if (o.mini_batch_size !== undefined && o.mini_batch_size > o.batch_size)
    throw new UsageError(`--mini_batch_size ${o.mini_batch_size} is more than --batch_size ${o.batch_size}.`);
  for (const flag of ['reward', 'bonus', 'init_kl_coef'] as const)
    if (!(o[flag] >= 0) || !Number.isFinite(o[flag]))
      throw new UsageError(`--${flag} is ${o[flag]}.`, 'Give a number of at least 0.');
  if (o.top_k || (o.top_p !== undefined && o.top_p < 1))
    throw new UsageError(
      `GRPO samples untruncated: --${o.top_k ? `top_k ${o.top_k}` : `top_p ${o.top_p}`} would make the importance ratios wrong.`,
      'Leave --top_k and --top_p away; use --temperature to sharpen the samples.',
    );
  if (o.num_beams !== undefined && o.num_beams > 1)
    throw new UsageError('GRPO samples its rollouts; --num_beams is for inference.', 'Leave it away.');
  if (!(o.temperature > 0))
    throw new UsageError(
      `--temperature is ${o.temperature}.`,
      'A group of greedy rollouts has no differences: give a temperature above 0.',
    );
}

/** The name of a loss, checked. */
export function lossTypeName(name: string): LossTypeName {
  const found = lossTypeNames.find((n) => n === name);
  if (!found)
    throw new UsageError(`--loss_type ${name} is not known.`, `Known: ${lossTypeNames.join(', ')}.`);
  if (found === 'rank_grpo')
    throw new UsageError(
      '--loss_type rank_grpo compares rewards of single items; this stage rewards whole episodes.',
      'Use grpo, dapo or gspo; the engine and src/core/loss take item-level objectives directly.',
    );
  return found;
}

/** The objective that the options ask for. */
export function grpoObjective(o: GrpoOptions): PolicyObjective {
  return policyObjective(lossTypeName(o.loss_type), {
    ...(o.e_low === undefined ? {} : { eLow: o.e_low }),
    ...(o.e_high === undefined ? {} : { eHigh: o.e_high }),
    beta: o.init_kl_coef,
    temperature: o.temperature,
    maxCompletionLength: o.turn_num * o.max_new_tokens,
  });
}

/** How rewards become advantages: the loss type's own way wins over the default, a given `scale_rewards` over it. */
export function advantageOptions(o: GrpoOptions): AdvantageOptions {
  const own = lossTypes[lossTypeName(o.loss_type)].advantages ?? {};
  const scale = o.scale_rewards ?? own.scale ?? defaultAdvantageOptions.scale;
  return { ...defaultAdvantageOptions, ...own, scale };
}
