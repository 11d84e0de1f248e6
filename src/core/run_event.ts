/**
 * @file `RunEvent`, the only record of a run. Every stage appends typed events to one log; progress bars, charts, JSONL,
 * TensorBoard files, tables and replay are readers of that log.
 */

export type Stage = 'explore' | 'prepare' | 'sft' | 'grpo' | 'inference' | 'evaluate';

/** Why a group of rollouts was kept or dropped by dynamic sampling, or why a rollout was sampled again. */
export interface GroupDecision {
  kept: boolean;
  reason: string;
}

/** One recommender turn of an episode as the log keeps it. */
export interface TurnRecord {
  /** Recommender text. */
  response: string;
  /** Seeker text. */
  reply: string;
  intent: 'recommendation' | 'inquiry' | 'malformed';
  /** Titles parsed from a visible list, in order. */
  listed: string[];
  /** Top retrieved item ids, best first. */
  retrieved: number[];
  shown: boolean;
  hit: boolean;
  accepted: boolean;
}

export interface RolloutRecord {
  /** Globally unique key: dataset, dialogue and generation. */
  key: string;
  dialogue: string;
  generation: number;
  turns: TurnRecord[];
  reward: number;
  /** The three notions of success (spec: shown, retrieved, accepted) and the one that pays. */
  success: { shown: boolean; retrieved: boolean; accepted: boolean; rewarded: boolean };
  /** Number of the turn that succeeded, 1-based; 0 = never. */
  successTurn: number;
  edited: boolean;
  malformed: number;
  seed: number;
  /** Policy rollouts: every token with the log-probs of sampling time. */
  tokens?: { ids: number[]; lossMask: number[]; logprobs: number[] };
}

type EventBody =
  | { type: 'config'; stage: Stage; config: Record<string, unknown>; version: string }
  | { type: 'progress'; stage: Stage; done: number; total: number; unit: string }
  | { type: 'step'; stage: Stage; step: number; metrics: Record<string, number> }
  | { type: 'rollout'; stage: Stage; step: number; rollout: RolloutRecord }
  | {
      type: 'group';
      stage: Stage;
      step: number;
      dialogue: string;
      rewards: number[];
      advantages: number[];
      decision: GroupDecision;
    }
  | {
      type: 'update';
      stage: Stage;
      step: number;
      /** Keys of the rollouts the update used, with what it used for each token. */
      rollouts: { key: string; logprobs: number[]; ratios: number[]; kls: number[]; clipped: number[] }[];
    }
  | { type: 'checkpoint'; stage: Stage; step: number; path: string }
  | {
      type: 'cost';
      stage: Stage;
      model: string;
      promptTokens: number;
      completionTokens: number;
      costUsd: number;
    }
  | { type: 'warning'; stage: Stage; code: string; message: string }
  | { type: 'metrics'; stage: Stage; name: string; metrics: Record<string, unknown> }
  | { type: 'done'; stage: Stage; summary: Record<string, unknown> };

/** One line of events.jsonl. `time` in milliseconds since the epoch; `seq` counts from 0 in a run. */
export type RunEvent = EventBody & { seq: number; time: number };

/** What a stage hands to the log, which adds `seq` and `time`. */
export type NewRunEvent = EventBody;
