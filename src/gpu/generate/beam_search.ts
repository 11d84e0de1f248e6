/**
 * @file Beam search bookkeeping of one prompt, without a model: the semantics of Hugging Face transformers 5
 * `generate(num_beams=B, do_sample=False, num_return_sequences=B, early_stopping=False)`.
 *
 * A step takes the best continuations of every live beam. Of the best `K = max(2, 1 + number of stop tokens) · B` over all
 * beams, those that end (a stop token, or the last allowed position) may finish, but only from the first B ranks; the best B
 * that do not end live on. A finished hypothesis scores `Σ log p / n^lengthPenalty`, n counting its stop token. The search
 * ends when B hypotheses are finished and the best live beam, scored at its present length, is not better than the worst of
 * them (Hugging Face's heuristic for `early_stopping=False`), or when no beam can go on.
 */

export interface BeamOptions {
  numBeams: number;
  maxNewTokens: number;
  stopTokens: readonly number[];
  /** Stop tokens are refused until a hypothesis holds this many tokens. Default 0. */
  minNewTokens?: number;
  /** Exponent of the length a score is divided by. Default 1. */
  lengthPenalty?: number;
}

/** One continuation of a beam: a token and `log p(token | beam)`. */
export interface BeamCandidate {
  token: number;
  logprob: number;
}

/** A hypothesis: its new tokens, their log-probs, and its score (`Σ log p` while it lives, length-normalised once finished). */
export interface Beam {
  tokens: number[];
  logprobs: number[];
  score: number;
}

interface Ranked {
  parent: number;
  token: number;
  logprob: number;
  score: number;
  ends: boolean;
}

/** The state of one prompt's search. Feed `step` until `done`, then read `results`. */
export class BeamSearch {
  /** Live beams, best first: one empty beam before the first step, then at most `numBeams`. */
  live: Beam[] = [{ tokens: [], logprobs: [], score: 0 }];
  /** For each live beam, which beam of the previous step it continues. */
  parents: number[] = [];
  done = false;
  private finished: Beam[] = [];
  private readonly stop: ReadonlySet<number>;
  private readonly lengthPenalty: number;
  private readonly keep: number;

  constructor(private readonly options: BeamOptions) {
    this.stop = new Set(options.stopTokens);
    this.lengthPenalty = options.lengthPenalty ?? 1;
    this.keep = Math.max(2, 1 + this.stop.size) * options.numBeams;
  }

  /** How many of each beam's best continuations `step` needs to see (fewer only when the vocabulary is smaller). */
  get candidatesNeeded(): number {
    const refusable = (this.options.minNewTokens ?? 0) > 0 ? this.stop.size : 0;
    return this.keep + refusable;
  }

  /** Advance by one token. `candidates[b]` are the best continuations of live beam b, best first. */
  step(candidates: readonly (readonly BeamCandidate[])[]): void {
    const { numBeams, maxNewTokens, minNewTokens = 0 } = this.options;
    const length = this.live[0]!.tokens.length + 1;
    const ranked: Ranked[] = [];
    for (const [parent, beam] of this.live.entries())
      for (const { token, logprob } of candidates[parent]!) {
        const stops = this.stop.has(token);
        if (stops && length <= minNewTokens) continue;
        const ends = stops || length === maxNewTokens;
        ranked.push({ parent, token, logprob, score: beam.score + logprob, ends });
      }
    ranked.sort((a, b) => b.score - a.score || a.parent - b.parent || a.token - b.token);
    ranked.length = Math.min(ranked.length, this.keep);

    for (const r of ranked.slice(0, numBeams))
      if (r.ends) this.finished.push({ ...this.extend(r), score: r.score / length ** this.lengthPenalty });
    // Stable: of equal scores the one finished earlier stays.
    this.finished.sort((a, b) => b.score - a.score);
    this.finished.length = Math.min(this.finished.length, numBeams);

    const running = ranked.filter((r) => !r.ends).slice(0, numBeams);
    this.parents = running.map((r) => r.parent);
    this.live = running.map((r) => this.extend(r));
    const best = running[0];
    const full = this.finished.length === numBeams;
    this.done =
      !best || (full && best.score / length ** this.lengthPenalty <= this.finished[numBeams - 1]!.score);
  }

  /** Finished hypotheses, best first; `numBeams` of them unless the vocabulary was too small to find so many. */
  results(): Beam[] {
    return this.finished;
  }

  private extend(r: Ranked): Beam {
    const beam = this.live[r.parent]!;
    return { tokens: [...beam.tokens, r.token], logprobs: [...beam.logprobs, r.logprob], score: r.score };
  }
}

/** The `count` best continuations of one row of log-probs, best first, ties to the lower token. [V] */
export function topCandidates(logprobs: ArrayLike<number>, count: number): BeamCandidate[] {
  const all = Array.from(logprobs as ArrayLike<number>, (logprob, token) => ({ token, logprob }));
  return all.sort((a, b) => b.logprob - a.logprob || a.token - b.token).slice(0, count);
}

/**
 * Search with any model: `logprobs(prefixes)` gives `log p(· | prompt + prefix)` [V] of each prefix of new tokens.
 * Used where no KV cache is at stake: tests, and the float64 reference.
 */
export function beamSearch(
  options: BeamOptions,
  logprobs: (prefixes: readonly (readonly number[])[]) => readonly ArrayLike<number>[],
): Beam[] {
  const search = new BeamSearch(options);
  while (!search.done) {
    const rows = logprobs(search.live.map((beam) => beam.tokens));
    search.step(rows.map((row) => topCandidates(row, search.candidatesNeeded)));
  }
  return search.results();
}
