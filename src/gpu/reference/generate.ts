/** @file Generation oracle of the reference: greedy and beam search, every step a full forward pass. */
import { forward } from './model.ts';
import { logSoftmax } from './logprobs.ts';
import { row } from './matrix.ts';
import type { ReferenceModel } from './parameters.ts';

export interface GenerationLimits {
  maxNewTokens: number;
  stopTokens: readonly number[];
  /** Stop tokens cannot be chosen before this many tokens are written. */
  minNewTokens?: number;
}

/** Log-probs of the next token after a sequence. [V] */
function nextLogprobs(
  model: ReferenceModel,
  tokens: readonly number[],
  written: number,
  limits: GenerationLimits,
) {
  const { logits } = forward(model, tokens);
  const lps = logSoftmax(row(logits, tokens.length - 1));
  if (written < (limits.minNewTokens ?? 0)) for (const stop of limits.stopTokens) lps[stop] = -Infinity;
  return lps;
}

/** Always the most likely token (the lowest id of equals). A stop token is part of the result. */
export function greedy(model: ReferenceModel, prompt: readonly number[], limits: GenerationLimits): number[] {
  const out: number[] = [];
  while (out.length < limits.maxNewTokens) {
    const lps = nextLogprobs(model, [...prompt, ...out], out.length, limits);
    const token = lps.indexOf(lps.reduce((a, b) => Math.max(a, b), -Infinity));
    out.push(token);
    if (limits.stopTokens.includes(token)) break;
  }
  return out;
}

/** One beam: its new tokens and its score (sum of log-probs; divided by the length in a result). */
export interface Beam {
  tokens: number[];
  score: number;
}

/**
 * Beam search as Hugging Face defines it with length penalty 1 and no early stopping: `width` live beams, each step takes
 * the best 2·width continuations; one that ends with a stop token and is among the best `width` becomes a finished
 * hypothesis with its mean log-prob as score. Ends when no live beam, at its present mean, can still beat the worst of
 * `width` finished ones. Best first.
 */
export function beamSearch(
  model: ReferenceModel,
  prompt: readonly number[],
  width: number,
  limits: GenerationLimits,
): Beam[] {
  let live: Beam[] = [{ tokens: [], score: 0 }];
  let finished: Beam[] = [];
  for (let length = 1; length <= limits.maxNewTokens; length++) {
    const candidates = live.flatMap((beam) => {
      const lps = nextLogprobs(model, [...prompt, ...beam.tokens], length - 1, limits);
      return Array.from(lps, (lp, token) => ({ tokens: [...beam.tokens, token], score: beam.score + lp }))
        .sort((a, b) => b.score - a.score)
        .slice(0, 2 * width);
    });
    candidates.sort((a, b) => b.score - a.score);
    const best = candidates.slice(0, 2 * width);
    const stops = (beam: Beam): boolean => limits.stopTokens.includes(beam.tokens.at(-1)!);
    const ended = best.slice(0, width).filter(stops);
    live = best.filter((beam) => !stops(beam)).slice(0, width);
    const full = length === limits.maxNewTokens ? live : [];
    finished = [...finished, ...[...ended, ...full].map((b) => ({ ...b, score: b.score / length }))]
      .sort((a, b) => b.score - a.score)
      .slice(0, width);
    if (finished.length === width && live[0]!.score / length <= finished.at(-1)!.score) break;
  }
  return finished;
}
