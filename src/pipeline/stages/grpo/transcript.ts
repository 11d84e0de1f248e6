/**
 * @file An episode of the policy as one training sequence: the context of its last turn (which holds every earlier turn as
 * it was sampled) and its last turn. The loss mask covers the sampled tokens of the recommender and nothing else. A turn
 * that was rewritten before the seeker saw it (re-ranking) stands as rewritten; its log-probs are unknown until the policy
 * has scored them.
 */
import type { EpisodeResult } from '../../episode/episode.ts';
import type { ChatTokens } from '../../policy/chat_tokens.ts';

/** One recommender turn in a transcript, `[start, end)`. */
export interface TranscriptTurn {
  start: number;
  end: number;
  /** 1-based. */
  turn: number;
  recommendation: boolean;
  edited: boolean;
  finishReason: 'stop' | 'length';
}

export interface Transcript {
  /** [T] */
  tokens: number[];
  turns: TranscriptTurn[];
  /** Recorded while sampling; NaN where nothing was sampled (context, rewritten turns). [T] */
  logprobs: Float64Array;
}

/** Transcribe an episode whose recommender was the policy. Throws when a turn has no sample or contexts do not nest. */
export function transcribe(result: EpisodeResult, chat: ChatTokens): Transcript {
  const turns: TranscriptTurn[] = [];
  const pieces = result.turns.map(({ said, text, edited }) => {
    if (!said.sample) throw new Error(`${result.state.key} has a turn that the policy did not sample.`);
    return edited ? { ...said.sample, tokens: chat.assistantTurn(text) } : said.sample;
  });
  const last = pieces.at(-1);
  if (!last) return { tokens: [], turns, logprobs: new Float64Array(0) };
  const tokens = [...last.prompt, ...last.tokens];
  const logprobs = new Float64Array(tokens.length).fill(Number.NaN);
  pieces.forEach((piece, i) => {
    const { record, edited } = result.turns[i]!;
    const start = piece.prompt.length;
    const end = start + piece.tokens.length;
    if (!startsWith(tokens, piece.prompt) || !startsWith(tokens, piece.tokens, start))
      throw new Error(`${result.state.key}: the context of a later turn does not begin with turn ${i + 1}.`);
    turns.push({
      start,
      end,
      turn: i + 1,
      recommendation: record.intent === 'recommendation',
      edited,
      finishReason: piece.finishReason,
    });
    if (!edited) logprobs.set(piece.logprobs, start);
  });
  return { tokens, turns, logprobs };
}

/** Which tokens are trained on. */
export interface MaskRule {
  /** `--recommendation_mask`: not on recommendation turns before the last. */
  recommendationMask: boolean;
  /** `--max_train_turn`: not on later turns. */
  maxTrainTurn: number;
}

/** The loss mask of a transcript. [T] */
export function lossMask({ tokens, turns }: Pick<Transcript, 'tokens' | 'turns'>, rule: MaskRule): number[] {
  const mask = new Array<number>(tokens.length).fill(0);
  turns.forEach(({ start, end, turn, recommendation }, i) => {
    if (turn > rule.maxTrainTurn) return;
    if (rule.recommendationMask && recommendation && i < turns.length - 1) return;
    mask.fill(1, start, end);
  });
  return mask;
}

function startsWith(whole: readonly number[], part: readonly number[], at = 0): boolean {
  return part.every((token, i) => whole[at + i] === token);
}
