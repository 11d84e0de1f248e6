/** @file From logits to log-probs and entropies of the tokens that followed, and back. */
import type { Matrix } from './matrix.ts';
import { row, zeros } from './matrix.ts';

/** Log-softmax of one row of logits at a temperature. [V] */
export function logSoftmax(logits: Float64Array, temperature = 1): Float64Array {
  const scaled = logits.map((x) => x / temperature);
  const max = scaled.reduce((a, b) => Math.max(a, b), -Infinity);
  const norm = max + Math.log(scaled.reduce((a, x) => a + Math.exp(x - max), 0));
  return scaled.map((x) => x - norm);
}

/** Of every token of a sequence under its predecessors' logits; entry 0 is 0. All [T]. */
export interface TokenScores {
  logprobs: Float64Array;
  entropies: Float64Array;
  /** 1 where the token is the most likely one. */
  correct: Float64Array;
  /** ∂loss/∂logits [T, V] from ∂loss/∂logprobs [T]. */
  backward: (dLogprobs: ArrayLike<number>) => Matrix;
}

/** `logprobs[t] = log softmax(logits[t−1] / temperature)[tokens[t]]`. logits [T, V]. */
export function scoreTokens(logits: Matrix, tokens: readonly number[], temperature = 1): TokenScores {
  const T = tokens.length;
  const rows = Array.from({ length: T - 1 }, (_, t) => logSoftmax(row(logits, t), temperature));
  const scores = {
    logprobs: new Float64Array(T),
    entropies: new Float64Array(T),
    correct: new Float64Array(T),
  };
  rows.forEach((lps, t) => {
    const lp = lps[tokens[t + 1]!]!;
    scores.logprobs[t + 1] = lp;
    scores.entropies[t + 1] = -lps.reduce((a, x) => a + Math.exp(x) * x, 0);
    scores.correct[t + 1] =
      lps.indexOf(lps.reduce((a, b) => Math.max(a, b), -Infinity)) === tokens[t + 1] ? 1 : 0;
  });
  return {
    ...scores,
    backward(dLogprobs) {
      const dLogits = zeros(logits.rows, logits.cols);
      rows.forEach((lps, t) => {
        const d = dLogprobs[t + 1]! / temperature;
        if (d === 0) return;
        const out = row(dLogits, t);
        lps.forEach((lp, v) => (out[v] = -d * Math.exp(lp)));
        out[tokens[t + 1]!]! += d;
      });
      return dLogits;
    },
  };
}
