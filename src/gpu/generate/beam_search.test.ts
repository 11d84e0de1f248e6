/** @file Beam search against exhaustive search, worked examples, and a second formulation over dense arrays. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { hash32, toUnit } from '../../core/random.ts';
import type { BeamOptions } from './beam_search.ts';
import { beamSearch, BeamSearch } from './beam_search.ts';

/** A "model": log-probs of a random distribution that depends on the whole prefix. [V] */
function randomModel(seed: number, V: number, sharpness: number) {
  return (prefix: readonly number[]): number[] => {
    const x = Array.from({ length: V }, (_, i) => sharpness * toUnit(hash32(seed, ...prefix, 1000 + i)));
    const total = Math.log(x.reduce((s, v) => s + Math.exp(v), 0));
    return x.map((v) => v - total);
  };
}

/** Every sequence that ends with a stop token or has full length, with its score. */
function allSequences(
  model: (p: readonly number[]) => number[],
  o: BeamOptions,
): { tokens: number[]; score: number }[] {
  const open = (tokens: number[], sum: number): { tokens: number[]; score: number }[] =>
    model(tokens).flatMap((lp, token) => {
      const next = [...tokens, token];
      const ends = o.stopTokens.includes(token) || next.length === o.maxNewTokens;
      return ends ? [{ tokens: next, score: (sum + lp) / next.length }] : open(next, sum + lp);
    });
  return open([], 0);
}

/** The finite part of the definition, over dense arrays with −10⁹ for what may not be, as Hugging Face's documentation words it. */
function dense(model: (p: readonly number[]) => number[], o: BeamOptions, V: number): number[][] {
  const B = o.numBeams;
  const none = -1e9;
  const keep = Math.max(2, 1 + o.stopTokens.length) * B;
  let running = Array.from({ length: B }, (_, b) => ({ tokens: [] as number[], score: b === 0 ? 0 : none }));
  let finished = Array.from({ length: B }, () => ({
    tokens: [] as number[],
    score: none,
    isFinished: false,
  }));
  for (let n = 1; n <= o.maxNewTokens; n++) {
    const grown = running
      .flatMap((beam) =>
        model(beam.tokens).map((lp, t) => ({ tokens: [...beam.tokens, t], score: beam.score + lp })),
      )
      .sort((a, b) => b.score - a.score)
      .slice(0, Math.min(keep, B * V))
      .map((c) => ({ ...c, ends: o.stopTokens.includes(c.tokens[n - 1]!) || n === o.maxNewTokens }));
    const top = (list: { tokens: number[]; score: number }[]) =>
      [...list].sort((a, b) => b.score - a.score).slice(0, B);
    running = top(grown.map((c) => ({ tokens: c.tokens, score: c.score + (c.ends ? none : 0) })));
    const offered = grown.map((c, rank) => ({
      tokens: c.tokens,
      score: c.score / n + (c.ends && rank < B ? 0 : none),
      isFinished: c.ends && rank < B,
    }));
    finished = [...finished, ...offered].sort((a, b) => b.score - a.score).slice(0, B);
    const worst = finished.every((f) => f.isFinished) ? finished[B - 1]!.score : none;
    if (!(running[0]!.score / n > worst) || n === o.maxNewTokens) break;
  }
  return finished.map((f) => f.tokens);
}

describe('beam search', () => {
  test('with as many beams as there are sequences it finds the best of all', () => {
    const V = 3;
    const model = randomModel(4, V, 3);
    const options = { numBeams: 27, maxNewTokens: 3, stopTokens: [] };
    const want = allSequences(model, options).sort((a, b) => b.score - a.score);
    const got = beamSearch(options, (prefixes) => prefixes.map(model));
    expect(got.map((b) => b.tokens)).toEqual(want.map((w) => w.tokens));
    got.forEach((b, i) => expect(b.score).toBeCloseTo(want[i]!.score, 12));
  });

  test('one beam without stop tokens is greedy', () => {
    const model = randomModel(8, 11, 5);
    const greedy: number[] = [];
    while (greedy.length < 12) {
      const lp = model(greedy);
      greedy.push(lp.indexOf(Math.max(...lp)));
    }
    const [best] = beamSearch({ numBeams: 1, maxNewTokens: 12, stopTokens: [] }, (p) => p.map(model));
    expect(best!.tokens).toEqual(greedy);
  });

  test('agrees with the dense formulation', () => {
    fc.assert(
      fc.property(
        fc.nat(),
        fc.integer({ min: 1, max: 6 }),
        fc.integer({ min: 1, max: 9 }),
        fc.integer({ min: 0, max: 3 }),
        fc.constantFrom(0.5, 3, 9),
        (seed, numBeams, maxNewTokens, stops, sharpness) => {
          // Wide enough that −10⁹ rows never have to fill a step.
          const V = 28;
          const model = randomModel(seed, V, sharpness);
          const options = { numBeams, maxNewTokens, stopTokens: [0, 1, 2].slice(0, stops) };
          const got = beamSearch(options, (prefixes) => prefixes.map(model));
          expect(got.map((b) => b.tokens)).toEqual(dense(model, options, V));
          for (const { tokens, logprobs, score } of got) {
            tokens.forEach((token, t) => expect(logprobs[t]).toBe(model(tokens.slice(0, t))[token]));
            expect(score).toBeCloseTo(logprobs.reduce((a, b) => a + b, 0) / tokens.length, 12);
          }
        },
      ),
      { numRuns: 150 },
    );
  });

  test('a stop token below the first ranks does not finish; one among them does, and others go on', () => {
    const search = new BeamSearch({ numBeams: 2, maxNewTokens: 9, stopTokens: [7] });
    expect(search.candidatesNeeded).toBe(4);
    const c = (token: number, logprob: number) => ({ token, logprob });
    search.step([[c(1, -1), c(2, -2), c(7, -3), c(3, -4)]]);
    expect(search.results()).toEqual([]);
    expect(search.live.map((b) => b.tokens)).toEqual([[1], [2]]);
    search.step([
      [c(7, -0.5), c(4, -1), c(5, -5), c(6, -6)],
      [c(8, -3), c(7, -4), c(9, -5), c(1, -6)],
    ]);
    // Ranks: 1·7 (−1.5, ends), 1·4 (−2), 2·8 (−5), …
    expect(search.results()).toEqual([{ tokens: [1, 7], logprobs: [-1, -0.5], score: -0.75 }]);
    expect(search.live.map((b) => b.tokens)).toEqual([
      [1, 4],
      [2, 8],
    ]);
    expect(search.parents).toEqual([0, 1]);
    expect(search.done).toBe(false);
  });

  test('ends when the best live beam at its present length is no better than the worst finished one', () => {
    const search = new BeamSearch({ numBeams: 1, maxNewTokens: 9, stopTokens: [7] });
    const c = (token: number, logprob: number) => ({ token, logprob });
    search.step([[c(7, -1), c(2, -1.5)]]);
    expect(search.done).toBe(true);
    const other = new BeamSearch({ numBeams: 2, maxNewTokens: 9, stopTokens: [7] });
    other.step([[c(7, -1), c(2, -1.5), c(3, -2), c(4, -9)]]);
    expect(other.done).toBe(false);
  });

  test('stop tokens are refused before the minimum', () => {
    const model = (): number[] => [0.9, 0.06, 0.04].map(Math.log);
    const options = { numBeams: 2, maxNewTokens: 5, stopTokens: [0], minNewTokens: 3 };
    for (const { tokens } of beamSearch(options, (prefixes) => prefixes.map(model))) {
      expect(tokens.slice(0, 3)).not.toContain(0);
      expect(tokens.length).toBeGreaterThan(3);
    }
  });
});
