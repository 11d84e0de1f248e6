/** @file An episode as a row of the explore and inference files, and a row as the record the event log keeps. */
import type { RolloutRecord } from '../../core/run_event.ts';
import type { RolloutRow } from '../data/rollout_rows.ts';
import type { Catalogue, RecommenderTurn } from '../types.ts';
import type { EpisodeResult } from './episode.ts';

type Usage = NonNullable<RecommenderTurn['usage']>;

/**
 * The row of an episode: the original's fields (`topk_*` are the items retrieved for the last message, best first) and ours.
 * `last_turn_success` is the original's figure: the last message retrieved a target, whatever its intent.
 */
export function rolloutRow(
  result: EpisodeResult,
  catalogue: Catalogue,
  options: { topk: number; prefixExchanges?: number },
): RolloutRow {
  const { state, turns, record, ended, lastTurnSuccess } = result;
  const { targets } = state.dialogue;
  const topk = turns.at(-1)?.judgement.retrieved.slice(0, options.topk) ?? [];
  const usage = {
    ...used(
      'recommender',
      turns.map(({ said }) => said.usage),
    ),
    ...used(
      'seeker',
      turns.map(({ reply }) => reply.usage),
    ),
  };
  const model = turns.map(({ said }) => said.model).findLast((name) => name !== undefined);
  return {
    id: state.dialogue.index,
    given_dialog: state.given,
    generated_dialog: state.interaction,
    rec_success: record.success.rewarded,
    rec_names: targets.map(({ name }) => name),
    rec_ids: targets.map(({ id }) => id),
    topk_names: topk.map((id) => catalogue.byId(id)?.name ?? String(id)),
    topk_ids: topk,
    key: record.key,
    dialogue: record.dialogue,
    generation: record.generation,
    turns: record.turns.map((turn) => ({ ...turn })),
    success: record.success,
    success_turn: record.successTurn,
    last_turn_success: lastTurnSuccess,
    ended,
    reward: record.reward,
    seed: record.seed,
    ...(model === undefined ? {} : { model }),
    usage,
    malformed: record.malformed,
    leaks: turns.reduce((sum, { reply }) => sum + (reply.leaks ?? 0), 0),
    prefix_exchanges: options.prefixExchanges ?? 0,
    edited: record.edited,
  };
}

/** The record of a row that `rolloutRow` made. */
export function recordOfRow(row: RolloutRow): RolloutRecord {
  const nothing = { shown: false, retrieved: false, accepted: false, rewarded: row.rec_success };
  return {
    key: row.key ?? String(row.id),
    dialogue: row.dialogue ?? String(row.id),
    generation: row.generation ?? 0,
    turns: row.turns ?? [],
    reward: row.reward ?? (row.rec_success ? 1 : 0),
    success: row.success ?? nothing,
    successTurn: row.success_turn ?? 0,
    edited: row.edited ?? false,
    malformed: row.malformed ?? 0,
    seed: row.seed ?? 0,
  };
}

/** Sum of what a participant used; nothing when it used no tokens (rules). */
function used(name: string, parts: readonly (Usage | undefined)[]): Record<string, Usage> {
  const known = parts.filter((part) => part !== undefined);
  if (known.length === 0) return {};
  const total: Usage = { promptTokens: 0, completionTokens: 0 };
  for (const { promptTokens, completionTokens, costUsd } of known) {
    total.promptTokens += promptTokens;
    total.completionTokens += completionTokens;
    if (costUsd !== undefined) total.costUsd = (total.costUsd ?? 0) + costUsd;
  }
  return { [name]: total };
}
