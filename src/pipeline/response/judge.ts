/**
 * @file A recommender message and its targets → `Judgement`, and the three notions of success: **retrieved** (a target
 * among the first `topk` retrieved), **shown** (a target linked by title in the visible list), **accepted** (the seeker
 * took it). `--success` says which one pays.
 */
import type { Judge } from '../episode/episode.ts';
import type { Catalogue, Item, Judgement, Retriever, SuccessNotion } from '../types.ts';
import { parseList } from './list_parser.ts';
import type { TitleLinker } from './title_linker.ts';

/** How many items are retrieved for a message; the first `topk` count, the rest refills a re-ranked list. */
export const RETRIEVAL_DEPTH = 50;

export interface JudgeOptions {
  catalogue: Catalogue;
  linker: TitleLinker;
  retriever: Retriever;
  /** How many of the retrieved items count (`--topk`). Default 10. */
  topk?: number;
}

/** Judges messages in batches: one retrieval call a batch. */
export class ResponseJudge implements Judge {
  private readonly topk: number;
  constructor(private readonly options: JudgeOptions) {
    this.topk = options.topk ?? 10;
  }

  /** One judgement a message, in order. The whole message is the query, as in the original. */
  async judge(messages: readonly { text: string; targets: readonly Item[] }[]): Promise<Judgement[]> {
    const { retriever, linker } = this.options;
    const depth = Math.max(RETRIEVAL_DEPTH, this.topk);
    const retrieved = await retriever.retrieve(
      messages.map((m) => m.text),
      depth,
    );
    return messages.map(({ text, targets }, i) => {
      const ids = retrieved[i]!.map((s) => s.id);
      return {
        ...readList(text, targets, linker),
        retrieved: ids,
        retrievedTargets: hits(ids, targets, this.topk),
      };
    });
  }
}

/** The visible list of a message: titles, the items they name, and the targets among them. */
export function readList(
  text: string,
  targets: readonly Item[],
  linker: TitleLinker,
): Pick<Judgement, 'listed' | 'linked' | 'shownTargets'> {
  const listed = parseList(text, (title) => linker.isTitle(title))?.titles ?? [];
  return {
    listed,
    linked: listed.map((title) => linker.linkId(title)),
    shownTargets: targets.filter((t) => listed.some((title) => linker.names(title, t))).map((t) => t.id),
  };
}

/** Ids of the targets among the first `topk` of a ranking. */
export function hits(ranking: readonly number[], targets: readonly Item[], topk: number): number[] {
  const counted = new Set(ranking.slice(0, topk));
  return targets.filter((t) => counted.has(t.id)).map((t) => t.id);
}

/** Whether a target's exact name stands in the visible list. */
export function hasVerbatimTarget(listed: readonly string[], targets: readonly Item[]): boolean {
  return targets.some((t) => listed.includes(t.name));
}

/**
 * Does a recommendation turn succeed by the notion that pays? `original` is retrieved or, in training only, a
 * verbatim target title in the list.
 */
export function succeeds(
  judgement: Judgement,
  targets: readonly Item[],
  options: { success: SuccessNotion; accepted: boolean; training: boolean },
): boolean {
  const retrieved = judgement.retrievedTargets.length > 0;
  const shown = judgement.shownTargets.length > 0;
  switch (options.success) {
    case 'original':
      return retrieved || (options.training && hasVerbatimTarget(judgement.listed, targets));
    case 'shown':
      return shown;
    case 'strict':
      return shown && options.accepted;
  }
}
