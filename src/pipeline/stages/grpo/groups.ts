/**
 * @file Groups: for every dialogue, `num_generations` valid rollouts. All rollouts of all dialogues in flight are sampled in
 * one batch; invalid ones are sampled again under a new seed, up to a cap, and every reason is counted. What does not
 * become valid is kept as a failure, so that a group is always whole.
 */
import type { RolloutRecord } from '../../../core/run_event.ts';
import type { GrpoOptions } from '../../config/grpo_options.ts';
import {
  runEpisodes,
  type EpisodeParticipants,
  type EpisodeRequest,
  type EpisodeResult,
  type EpisodeSettings,
} from '../../episode/episode.ts';
import { drawTgiOffset, tgiPrefix } from '../../episode/tgi.ts';
import type { ChatTokens } from '../../policy/chat_tokens.ts';
import { firstContextRoom } from '../../policy/fit_context.ts';
import type { PolicyRecommender } from '../../policy/policy_recommender.ts';
import type { PromptSet } from '../../prompts/prompts.ts';
import { formatRule } from '../../response/format_check.ts';
import type { KnownTitle } from '../../response/list_parser.ts';
import type { Message, Seeker } from '../../types.ts';
import { rolloutReward, type RewardOf } from './rewards.ts';
import type { GrpoRow } from './rows.ts';
import { replayTeacher, transcribeText } from './teacher_rollout.ts';
import { transcribe, type Transcript } from './transcript.ts';
import { rolloutFault } from './validity.ts';

export interface GroupInput {
  recommender: PolicyRecommender;
  seeker: Seeker;
  judge: EpisodeParticipants['judge'];
  rewriter?: EpisodeParticipants['rewriter'];
  chat: ChatTokens;
  prompts: PromptSet;
  isTitle?: KnownTitle | undefined;
  options: GrpoOptions;
  maxContext: number;
  signal?: AbortSignal | undefined;
}

/** One rollout of a group. */
export interface GroupRollout {
  record: RolloutRecord;
  transcript: Transcript;
  reward: RewardOf;
  /** It never became valid within the cap. */
  invalid: boolean;
  /** It is the teacher's. */
  offPolicy: boolean;
  lastTurnSuccess: boolean;
}

export interface Group {
  row: GrpoRow;
  rollouts: GroupRollout[];
  successes: number;
  /** Attempts that were thrown away, by reason. */
  resampled: Record<string, number>;
  /** What the seeker used for this group, thrown-away attempts included. */
  seeker: SeekerUse;
}

/** Tokens, money and redacted titles of a seeker. */
export interface SeekerUse {
  model: string;
  promptTokens: number;
  completionTokens: number;
  costUsd: number;
  leaks: number;
}

/** The episode settings of GRPO rollouts. */
export function episodeSettings(options: GrpoOptions): EpisodeSettings {
  return {
    seed: options.seed,
    turnNum: options.turn_num,
    success: options.success,
    training: true,
    hardcore: options.hardcore,
    lastTurnRecommend: options.last_turn_recommend,
    recSuccessRecommend: options.rec_success_recommend,
    rerank: options.rerank,
  };
}

interface Slot {
  group: number;
  generation: number;
  prefix: Message[];
  result: EpisodeResult | null;
  invalid: boolean;
  /** The teacher's episode as tokens, when the slot is the teacher's. */
  teacher: Transcript | null;
}

/** Collect one whole group for each row. */
export async function collectGroups(
  rows: readonly GrpoRow[],
  epoch: number,
  input: GroupInput,
): Promise<Group[]> {
  const { options } = input;
  const G = options.num_generations;
  const resampled = rows.map((): Record<string, number> => ({}));
  const used = rows.map((): SeekerUse => ({
    model: input.seeker.name,
    promptTokens: 0,
    completionTokens: 0,
    costUsd: 0,
    leaks: 0,
  }));
  const slots: Slot[] = rows.flatMap((row, group) => {
    const prefix = groupPrefix(row, epoch, options);
    return Array.from({ length: G }, (_, g) => ({
      group,
      generation: epoch * G + g,
      prefix,
      result: null,
      invalid: false,
      teacher: null,
    }));
  });
  if (options.off_policy)
    for (const [group, row] of rows.entries()) {
      const slot = slots[group * G + G - 1]!;
      const reason = await fillFromTeacher(slot, row, input);
      if (reason) count(resampled[group]!, reason);
    }
  await sampleSlots(slots, rows, { resampled, used }, input);
  return rows.map((row, group) => {
    const rollouts = slots.slice(group * G, (group + 1) * G).map((slot) => finish(slot, row, input));
    const successes = rollouts.reduce((n, r) => n + r.reward.success, 0);
    return { row, rollouts, successes, resampled: resampled[group]!, seeker: used[group]! };
  });
}

/** Sample every empty slot, again while the rollout is invalid, up to the cap. */
async function sampleSlots(
  slots: readonly Slot[],
  rows: readonly GrpoRow[],
  book: { resampled: Record<string, number>[]; used: SeekerUse[] },
  input: GroupInput,
): Promise<void> {
  const { options, recommender, signal } = input;
  const rule = formatRule(options);
  for (let attempt = 0; attempt < options.max_attempts; attempt++) {
    const open = slots.filter((slot) => slot.result === null);
    if (open.length === 0) return;
    recommender.reset();
    const results = await runEpisodes(
      open.map((slot): EpisodeRequest => ({
        dialogue: rows[slot.group]!.dialogue,
        generation: slot.generation,
        attempt,
        prefix: slot.prefix,
      })),
      input,
      episodeSettings(options),
      signal ? { signal } : {},
    );
    const last = attempt === options.max_attempts - 1;
    results.forEach((result, i) => {
      const slot = open[i]!;
      const fault = rolloutFault(result, rule, input.isTitle);
      addUse(book.used[slot.group]!, result);
      if (fault !== null) count(book.resampled[slot.group]!, last ? `kept_as_failure:${fault}` : fault);
      if (fault === null || last) {
        slot.result = result;
        slot.invalid = fault !== null;
      }
    });
  }
}

/** The teacher's rollout in a slot, when it succeeds in time; otherwise the reason why not. */
async function fillFromTeacher(slot: Slot, row: GrpoRow, input: GroupInput): Promise<string | null> {
  const settings = episodeSettings(input.options);
  const result = await replayTeacher(row, slot.prefix, slot.generation, input, settings);
  if (!result) return 'off_policy:no_interaction';
  if (rewardOf(result, false, slot, row, input.options).success === 0) return 'off_policy:no_success';
  const { options, maxContext } = input;
  const room = firstContextRoom(maxContext, options.turn_num, options.max_new_tokens);
  const transcript = transcribeText(result, input.chat, input.prompts, room);
  if (transcript.tokens.length > maxContext) return 'off_policy:too_long';
  slot.result = result;
  slot.teacher = transcript;
  return null;
}

/** TGI: one draw a group. */
function groupPrefix(row: GrpoRow, epoch: number, options: GrpoOptions): Message[] {
  if (!options.new_tgi) return [];
  const offset = drawTgiOffset({
    seed: options.seed,
    dialogue: row.dialogue.key,
    epoch,
    baseTurn: row.baseTurn,
    turnNum: options.turn_num,
  });
  return tgiPrefix(row.interaction, offset);
}

function rewardOf(
  result: EpisodeResult,
  invalid: boolean,
  slot: Pick<Slot, 'prefix'>,
  row: GrpoRow,
  options: GrpoOptions,
): RewardOf {
  return rolloutReward(
    { ...result.record, valid: !invalid },
    {
      turnNum: options.turn_num,
      turnNumOffset: options.turn_num_offset,
      penalty: options.reward,
      bonus: options.bonus,
    },
    { baseTurn: row.baseTurn, prefix: slot.prefix.length / 2 },
  );
}

function finish(slot: Slot, row: GrpoRow, input: GroupInput): GroupRollout {
  const result = slot.result!;
  const reward = rewardOf(result, slot.invalid, slot, row, input.options);
  const transcript = slot.teacher ?? transcribe(result, input.chat);
  return {
    record: { ...result.record, reward: reward.reward },
    transcript,
    reward,
    invalid: slot.invalid,
    offPolicy: slot.teacher !== null,
    lastTurnSuccess: result.lastTurnSuccess,
  };
}

function count(reasons: Record<string, number>, reason: string): void {
  reasons[reason] = (reasons[reason] ?? 0) + 1;
}

function addUse(sum: SeekerUse, result: EpisodeResult): void {
  for (const { reply } of result.turns) {
    sum.leaks += reply.leaks ?? 0;
    if (reply.model) sum.model = reply.model;
    if (!reply.usage) continue;
    sum.promptTokens += reply.usage.promptTokens;
    sum.completionTokens += reply.usage.completionTokens;
    sum.costUsd += reply.usage.costUsd ?? 0;
  }
}
