/**
 * @file The recipe's words, once. user = **seeker**, assistant = **recommender**; an **exchange** is one recommender message
 * and the seeker message that answers it; an **episode** (rollout) is at most `turnNum` exchanges.
 */
import type { Message } from '../core/message.ts';

export type { Message };

export type DatasetName = 'redial' | 'inspired' | 'inspired2' | 'opendialkg' | 'demo';

/** A catalogue item. */
export interface Item {
  /** Number of the item in `entity2id.json`. */
  id: number;
  /** Exact title as the catalogue writes it, year included where it has one. */
  name: string;
  genres: string[];
  directors: string[];
  stars: string[];
  writers: string[];
  plot: string;
  /** Release year, from the title or a field; null when unknown. */
  year: number | null;
  /** Every further field of `id2info.json`, as it stands there. */
  extra: Record<string, unknown>;
}

/** The items a recommender may recommend. */
export interface Catalogue {
  readonly items: readonly Item[];
  byId(id: number): Item | undefined;
  /** Exact name; targets are exact names. */
  byName(name: string): Item | undefined;
}

/** One row of a processed set. */
export interface Dialogue {
  /** Globally unique: file stem and row. */
  key: string;
  /** Row in its file, from 0. */
  index: number;
  dialog: Message[];
  targets: Item[];
}

/** One scored item. */
export interface Scored {
  id: number;
  score: number;
}

/** Response text → items, best first; ties broken by id. */
export interface Retriever {
  readonly name: string;
  retrieve(texts: readonly string[], k: number): Promise<Scored[][]>;
}

export type Intent = 'recommendation' | 'inquiry';

/** What a seeker says: the recommender's intent as it sees it, and its reply. */
export interface SeekerReply {
  intent: Intent | 'malformed';
  text: string;
  /** The seeker took a recommended item. */
  accepted: boolean;
  /** Attempts whose form could not be read. */
  malformedAttempts: number;
  /** The model that really answered, and what it used. */
  model?: string;
  usage?: { promptTokens: number; completionTokens: number; costUsd?: number };
  /** Target titles that were redacted from the reply (`--prevent_leakage`). */
  leaks?: number;
}

/** An episode in flight: what everyone who takes part may look at. */
export interface EpisodeState {
  /** Globally unique: dialogue key and generation number. */
  key: string;
  dialogue: Dialogue;
  /** Given dialogue plus the TGI prefix, if any. */
  given: Message[];
  /** Messages of this episode so far: assistant, user, assistant, … */
  interaction: Message[];
  /** 1-based number of the exchange that comes next. */
  turn: number;
  seed: number;
  /** `--last_turn_recommend`: this is the last exchange, a recommendation is due. */
  mustRecommend?: boolean;
}

/** Plays the user. Batched: one reply a state, in order. Each state's last message is the recommender's. */
export interface Seeker {
  readonly name: string;
  reply(states: readonly EpisodeState[], signal?: AbortSignal): Promise<SeekerReply[]>;
}

/** What a recommender says. `tokens` only when it is the policy: the sampled tokens and their log-probs. */
export interface RecommenderTurn {
  text: string;
  /** Context the turn was sampled under, new tokens, and their log-probs. */
  sample?: { prompt: number[]; tokens: number[]; logprobs: number[]; finishReason: 'stop' | 'length' };
  model?: string;
  usage?: { promptTokens: number; completionTokens: number; costUsd?: number };
}

/** Plays the assistant: the teacher, or the policy. Batched: one turn a state, in order. */
export interface Recommender {
  readonly name: string;
  respond(states: readonly EpisodeState[], signal?: AbortSignal): Promise<RecommenderTurn[]>;
}

/** Which notion of success pays. */
export type SuccessNotion = 'original' | 'shown' | 'strict';

/** A recommender message judged against its targets. */
export interface Judgement {
  /** Titles of the visible list as written, in order; empty when there is no list. */
  listed: string[];
  /** Items the titles were linked to (null: not in the catalogue). Same length as `listed`. */
  linked: (number | null)[];
  /** The 50 best retrieved items, best first. */
  retrieved: number[];
  /** Target ids in the visible list. */
  shownTargets: number[];
  /** Target ids among the first `topk` retrieved. */
  retrievedTargets: number[];
}
