/**
 * @file Runs a batch of episodes between a recommender and a seeker, turn by turn, all live episodes at once. Every
 * recommendation turn is judged. An episode stops when a recommendation succeeds, with `hardcore` (OSR) at the first
 * recommendation, when the seeker cannot be understood, and always after T exchanges.
 *
 * What happens to one episode depends on its dialogue, generation and attempt only, never on the batch it shares.
 */
import type { RolloutRecord, TurnRecord } from '../../core/run_event.ts';
import type {
  Dialogue,
  EpisodeState,
  Item,
  Judgement,
  Message,
  Recommender,
  RecommenderTurn,
  Seeker,
  SeekerReply,
  SuccessNotion,
} from '../types.ts';
import { succeeds } from '../response/judge.ts';
import { rolloutKey, rolloutSeed } from './seeds.ts';

/** Judges recommender messages against target items; one judgement a message, in order. */
export interface Judge {
  judge(messages: readonly { text: string; targets: readonly Item[] }[]): Promise<Judgement[]>;
}

/** Rewrites of a recommender message; each gives the whole new message. */
export interface Rewriter {
  /** `--rerank`: hit targets first, then the visible list, refilled from the retrieved items. */
  rerank(text: string, judgement: Judgement): string;
  /** The first ten retrieved items as a list in the canonical form. */
  retrievedList(judgement: Judgement): string;
}

/** One episode to run. */
export interface EpisodeRequest {
  dialogue: Dialogue;
  /** Unique for this dialogue within the run (GRPO: epoch · G + g). Default 0. */
  generation?: number;
  /** 0, 1, … when an invalid rollout is sampled again. */
  attempt?: number;
  /** TGI: the teacher's first exchanges, appended to the given dialogue. */
  prefix?: readonly Message[];
}

export interface EpisodeSettings {
  /** Seed of the run. */
  seed: number;
  /** T, most exchanges of an episode. */
  turnNum: number;
  /** Which notion of success pays and stops. */
  success: SuccessNotion;
  /** In training the original criterion also pays for a verbatim target title in the list. */
  training?: boolean;
  /** OSR: stop at the first recommendation, right or wrong. */
  hardcore?: boolean;
  /** The last exchange has to be a recommendation: a message without a list becomes the list of what it retrieved. */
  lastTurnRecommend?: boolean;
  /** A message that retrieves a target becomes the list of what it retrieved. */
  recSuccessRecommend?: boolean;
  /** A successful list is re-ranked before the seeker sees it. */
  rerank?: boolean;
}

export interface EpisodeParticipants {
  recommender: Recommender;
  seeker: Seeker;
  judge: Judge;
  /** Needed by `lastTurnRecommend`, `recSuccessRecommend` and `rerank`. */
  rewriter?: Rewriter;
}

/** Why an episode ended. */
export type EpisodeEnd = 'success' | 'recommendation' | 'turn_limit' | 'malformed';

/** One exchange with everything the trainer and the tables need. */
export interface EpisodeTurn {
  /** What the recommender said; `sample` belongs to this text, not to the rewritten one. */
  said: RecommenderTurn;
  /** The message the seeker saw: `said.text`, or its rewritten form. */
  text: string;
  edited: boolean;
  reply: SeekerReply;
  judgement: Judgement;
  record: TurnRecord;
  /** This turn was a recommendation and succeeded by the notion that pays. */
  rewarded: boolean;
}

export interface EpisodeResult {
  state: EpisodeState;
  turns: EpisodeTurn[];
  ended: EpisodeEnd;
  /** The original's figure: the last message retrieved a target, whatever its intent. */
  lastTurnSuccess: boolean;
  /** `reward` is 1 for success, else 0; a trainer puts its own reward (penalty, offset, bonus) there. */
  record: RolloutRecord;
}

interface Live {
  request: EpisodeRequest;
  state: EpisodeState;
  turns: EpisodeTurn[];
  ended: EpisodeEnd | null;
}

export interface EpisodeHooks {
  signal?: AbortSignal;
  /** Called after every exchange, with the index of its request. */
  onTurn?: (index: number, turn: EpisodeTurn, state: EpisodeState) => void;
}

/** Run the episodes; results in the order of the requests. */
export async function runEpisodes(
  requests: readonly EpisodeRequest[],
  participants: EpisodeParticipants,
  settings: EpisodeSettings,
  hooks: EpisodeHooks = {},
): Promise<EpisodeResult[]> {
  if (settings.turnNum < 1) throw new RangeError('turnNum must be at least 1.');
  if (
    (settings.lastTurnRecommend || settings.recSuccessRecommend || settings.rerank) &&
    !participants.rewriter
  ) {
    throw new RangeError('These settings rewrite messages: give a rewriter.');
  }
  const episodes = requests.map((request): Live => begin(request, settings));
  for (let turn = 1; turn <= settings.turnNum; turn++) {
    const live = episodes.filter((episode) => episode.ended === null);
    if (live.length === 0) break;
    for (const { state } of live) {
      state.turn = turn;
      state.mustRecommend = settings.lastTurnRecommend === true && turn === settings.turnNum;
    }
    await exchange(live, participants, settings, hooks.signal);
    for (const episode of live) {
      const last = episode.turns.at(-1)!;
      episode.ended = endOf(last, turn, settings);
      hooks.onTurn?.(episodes.indexOf(episode), last, episode.state);
    }
  }
  return episodes.map((episode) => finish(episode));
}

function begin(request: EpisodeRequest, settings: EpisodeSettings): Live {
  const { dialogue, generation = 0, attempt = 0, prefix = [] } = request;
  const state: EpisodeState = {
    key: rolloutKey(dialogue.key, generation),
    dialogue,
    given: [...dialogue.dialog, ...prefix],
    interaction: [],
    turn: 1,
    seed: rolloutSeed(settings.seed, dialogue.key, generation, attempt),
    mustRecommend: false,
  };
  return { request, state, turns: [], ended: null };
}

/** One exchange of every live episode. */
async function exchange(
  live: Live[],
  participants: EpisodeParticipants,
  settings: EpisodeSettings,
  signal?: AbortSignal,
): Promise<void> {
  const { recommender, seeker, judge } = participants;
  const states = live.map(({ state }) => state);
  const said = await recommender.respond(states, signal);
  expectOne(recommender.name, said.length, live.length);
  const texts = said.map(({ text }) => text);
  const targets = states.map(({ dialogue }) => dialogue.targets);
  const judged = await judge.judge(texts.map((text, i) => ({ text, targets: targets[i]! })));

  const visible = live.map((_, i) => rewrite(texts[i]!, judged[i]!, states[i]!, participants, settings));
  const changed = visible.flatMap((text, i) => (text === texts[i] ? [] : [i]));
  if (changed.length > 0) {
    const again = await judge.judge(changed.map((i) => ({ text: visible[i]!, targets: targets[i]! })));
    changed.forEach((i, k) => {
      // The list is the rewritten one; what was retrieved belongs to the message as it was said.
      const { listed, linked, shownTargets } = again[k]!;
      judged[i] = { ...judged[i]!, listed, linked, shownTargets };
    });
  }

  states.forEach((state, i) => state.interaction.push({ role: 'assistant', content: visible[i]! }));
  const replies = await seeker.reply(states, signal);
  expectOne(seeker.name, replies.length, live.length);
  live.forEach((episode, i) => {
    const reply = replies[i]!;
    episode.state.interaction.push({ role: 'user', content: reply.text });
    const judgement = judged[i]!;
    const record: TurnRecord = {
      response: visible[i]!,
      reply: reply.text,
      intent: reply.intent,
      listed: judgement.listed,
      retrieved: judgement.retrieved,
      shown: judgement.shownTargets.length > 0,
      hit: judgement.retrievedTargets.length > 0,
      accepted: reply.accepted,
    };
    episode.turns.push({
      said: said[i]!,
      text: visible[i]!,
      edited: visible[i] !== texts[i],
      reply,
      judgement,
      record,
      rewarded:
        reply.intent === 'recommendation' &&
        succeeds(judgement, targets[i]!, {
          success: settings.success,
          accepted: reply.accepted,
          training: settings.training === true,
        }),
    });
  });
}

/** The message the seeker sees. */
function rewrite(
  text: string,
  judgement: Judgement,
  state: EpisodeState,
  { rewriter }: EpisodeParticipants,
  settings: EpisodeSettings,
): string {
  if (!rewriter) return text;
  const hit = judgement.retrievedTargets.length > 0;
  const hasList = judgement.listed.length > 0;
  if (state.mustRecommend && !hasList) return rewriter.retrievedList(judgement);
  if (settings.recSuccessRecommend && hit) return rewriter.retrievedList(judgement);
  const success = hit || judgement.shownTargets.length > 0;
  if (settings.rerank && hasList && success) return rewriter.rerank(text, judgement);
  return text;
}

function endOf(turn: EpisodeTurn, number: number, settings: EpisodeSettings): EpisodeEnd | null {
  if (turn.reply.intent === 'malformed') return 'malformed';
  if (turn.rewarded) return 'success';
  if (settings.hardcore && turn.reply.intent === 'recommendation') return 'recommendation';
  return number === settings.turnNum ? 'turn_limit' : null;
}

function finish({ request, state, turns, ended }: Live): EpisodeResult {
  const recommended = turns.filter(({ record }) => record.intent === 'recommendation');
  const successTurn = turns.findIndex(({ rewarded }) => rewarded) + 1;
  return {
    state,
    turns,
    ended: ended ?? 'turn_limit',
    lastTurnSuccess: turns.at(-1)?.record.hit ?? false,
    record: {
      key: state.key,
      dialogue: state.dialogue.key,
      generation: request.generation ?? 0,
      turns: turns.map(({ record }) => record),
      reward: successTurn > 0 ? 1 : 0,
      success: {
        shown: recommended.some(({ record }) => record.shown),
        retrieved: recommended.some(({ record }) => record.hit),
        accepted: recommended.some(({ record }) => record.accepted),
        rewarded: successTurn > 0,
      },
      successTurn,
      edited: turns.some(({ edited }) => edited),
      malformed: turns.reduce((sum, { reply }) => sum + reply.malformedAttempts, 0),
      seed: state.seed,
    },
  };
}

function expectOne(name: string, got: number, wanted: number): void {
  if (got !== wanted) throw new Error(`${name} answered ${got} of ${wanted} episodes.`);
}
