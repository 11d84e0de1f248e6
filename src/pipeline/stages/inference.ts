/**
 * @file Inference: the policy talks with the seeker over a test set, with beams, by sampling or greedily. The dialogues in
 * flight speak in step, one batched generation a turn. Rows, resuming and log are those of explore.
 */
import { UsageError } from '../../core/errors.ts';
import type { Policy } from '../../core/policy.ts';
import { assertInferenceOptions, samplingOf, type InferenceOptions } from '../config/inference_options.ts';
import type { EpisodeParticipants } from '../episode/episode.ts';
import type { ChatTokens } from '../policy/chat_tokens.ts';
import { PolicyRecommender } from '../policy/policy_recommender.ts';
import type { PromptSet } from '../prompts/prompts.ts';
import type { Catalogue, Dialogue, Seeker } from '../types.ts';
import type { StageContext } from './context.ts';
import { runExplore, type ExploreSummary } from './explore.ts';

export interface InferenceInput {
  policy: Policy;
  chat: ChatTokens;
  prompts: PromptSet;
  dialogues: readonly Dialogue[];
  catalogue: Catalogue;
  seeker: Seeker;
  judge: EpisodeParticipants['judge'];
  /** Needed by `last_turn_recommend`. */
  rewriter?: EpisodeParticipants['rewriter'];
  /** Most tokens of a sequence (the model's positions). */
  maxContext: number;
  /** What rows name as the model. */
  modelName?: string;
  /** File of the rows in the run's store. Default `rows.jsonl`. */
  path?: string;
  options: InferenceOptions;
  context: StageContext;
}

/** Run the test set. Throws `UsageError` for options that cannot be honoured, else as `runExplore` does. */
export async function runInference(input: InferenceInput): Promise<ExploreSummary> {
  const { policy, chat, prompts, options, seeker, judge, rewriter, maxContext, context } = input;
  assertInferenceOptions(options);
  if (options.last_turn_recommend && !rewriter)
    throw new UsageError('--last_turn_recommend needs a rewriter of lists.');
  const recommender = new PolicyRecommender({
    policy,
    chat,
    prompts,
    maxContext,
    turnNum: options.turn_num,
    sampling: samplingOf(options),
    onShortened: (key, what) =>
      context.log.emit({
        type: 'warning',
        stage: 'inference',
        code: `${what}_shortened`,
        message: `${key}: the ${what === 'dialogue' ? 'oldest messages were left out' : 'seeker reply was cut'} to fit ${maxContext} tokens.`,
      }),
    ...(input.modelName ? { name: input.modelName } : {}),
  });
  return runExplore({
    dialogues: input.dialogues,
    catalogue: input.catalogue,
    participants: { recommender, seeker, judge, ...(rewriter ? { rewriter } : {}) },
    settings: {
      seed: options.seed,
      turnNum: options.turn_num,
      success: options.success,
      hardcore: options.hardcore,
      lastTurnRecommend: options.last_turn_recommend,
    },
    topk: options.topk,
    numConcurrent: options.num_concurrent,
    inStep: true,
    path: input.path ?? 'rows.jsonl',
    stage: 'inference',
    context,
  });
}
