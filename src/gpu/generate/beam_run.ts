/**
 * @file Beam search of any number of prompts through a decoder. The GPU advances all live beams of all prompts by one token and
 * reports the best continuations; `BeamSearch` decides. Beams share history through tables of cache entries: nothing is copied.
 */
import type { Completion, GenerateRequest } from '../../core/policy.ts';
import { DeviceError } from '../../core/errors.ts';
import type { BeamCandidate } from './beam_search.ts';
import { BeamSearch } from './beam_search.ts';
import type { ResolvedOptions } from './check_requests.ts';
import type { DecodeRow, Decoder } from './decoder.ts';
import type { EntryRange } from './kv_pool.ts';
import { PromptCache, sharePrompts } from './prompt_cache.ts';
import type { SharedPrompt } from './prompt_cache.ts';

interface Search {
  prompt: SharedPrompt;
  beams: BeamSearch;
  /** `maxNewTokens − 1` entries for each beam. */
  own: EntryRange;
  /** Cache entries of each live beam's new tokens, the newest not included. */
  history: number[][];
}

/** Cache entries of a prompt's own beams. */
export const beamEntries = (options: Pick<ResolvedOptions, 'numBeams' | 'maxNewTokens'>): number =>
  options.numBeams * (options.maxNewTokens - 1);

/** One call's state. */
export class BeamRun {
  private readonly pending: SharedPrompt[];
  private active: Search[] = [];
  private readonly prompts: PromptCache;
  private readonly completions: Completion[];

  constructor(
    private readonly decoder: Decoder,
    requests: readonly GenerateRequest[],
    private readonly options: ResolvedOptions,
  ) {
    this.pending = sharePrompts(requests);
    this.prompts = new PromptCache(decoder);
    this.completions = new Array<Completion>(requests.length);
  }

  /** Completions in the order of the requests. Throws the signal's reason when aborted. */
  async run(): Promise<Completion[]> {
    try {
      while (this.pending.length > 0 || this.active.length > 0) {
        this.options.signal?.throwIfAborted();
        await this.admit();
        if (this.active.length > 0) await this.advance();
      }
      return this.completions;
    } finally {
      for (const search of this.active) this.decoder.cache.ranges.give(search.own);
      this.prompts.clear();
    }
  }

  /** Begin as many searches as rows and cache hold. */
  private async admit(): Promise<void> {
    const { numBeams } = this.options;
    const fresh: Search[] = [];
    while ((this.active.length + fresh.length + 1) * numBeams <= this.decoder.sizes.rows) {
      const prompt = this.pending[0];
      if (!prompt || !this.prompts.take(prompt)) break;
      const own = this.decoder.cache.ranges.take(beamEntries(this.options));
      if (!own) {
        this.prompts.forget(prompt);
        break;
      }
      this.pending.shift();
      fresh.push({ prompt, own, beams: new BeamSearch(this.options), history: [] });
    }
    if (fresh.length === 0) return;
    const held = fresh.map(({ prompt }) => ({ tokens: prompt.tokens, ...prompt.held! }));
    this.decoder.prefill(held.map(({ tokens, range, slot }) => ({ tokens, start: range.start, slot })));
    this.decoder.promptLogits(held.map(({ slot }) => slot));
    this.active.push(...fresh);
    const candidates = await this.decoder.topCandidates(fresh.length);
    fresh.forEach((search, i) => this.step(search, [candidates[i]!], [[]]));
  }

  /** One token for every live beam. */
  private async advance(): Promise<void> {
    const depth = this.options.maxNewTokens - 1;
    const rows: DecodeRow[] = [];
    const tables: number[][] = [];
    for (const { prompt, beams, own, history } of this.active) {
      const { start, length } = prompt.held!.range;
      for (const [b, { tokens }] of beams.live.entries()) {
        const count = tokens.length;
        const place = [
          start,
          length,
          rows.length * this.decoder.sizes.ownEntries,
          length + count - 1,
        ] as const;
        rows.push({ token: tokens[count - 1]!, place, sampling: noSampling, count: 0 });
        tables.push([...history[b]!, own.start + b * depth + count - 1]);
      }
    }
    this.decoder.setRows(rows);
    this.decoder.setOwnEntries(tables);
    this.decoder.advance(rows.length);
    const candidates = await this.decoder.topCandidates(rows.length);
    let first = 0;
    for (const search of [...this.active]) {
      const end = first + search.beams.live.length;
      this.step(search, candidates.slice(first, end), tables.slice(first, end));
      first = end;
    }
  }

  /** Let a search decide; `tables` are the entries of the beams it had. */
  private step(search: Search, candidates: readonly BeamCandidate[][], tables: readonly number[][]): void {
    const { beams, prompt } = search;
    if (candidates.some((beam) => !Number.isFinite(beam[0]!.logprob)))
      throw new DeviceError(
        `The model's logits are not finite (request ${prompt.requests[0]}).`,
        'Its weights have diverged: go back to an earlier checkpoint and lower the learning rate.',
      );
    beams.step(candidates);
    search.history = beams.parents.map((parent) => tables[parent]!);
    if (!beams.done) return;
    this.active = this.active.filter((other) => other !== search);
    this.decoder.cache.ranges.give(search.own);
    const results = beams.results();
    const best = results[0]!;
    for (const request of prompt.requests) {
      const last = best.tokens[best.tokens.length - 1]!;
      this.completions[request] = {
        tokens: [...best.tokens],
        logprobs: Float32Array.from(best.logprobs),
        finishReason: this.options.stopTokens.includes(last) ? 'stop' : 'length',
        beams: results.map(({ tokens, score }) => ({ tokens: [...tokens], score })),
      };
      this.options.onTokens?.(request, best.tokens);
      this.prompts.release(prompt);
    }
  }
}

/** Beams choose on the host. */
const noSampling = {
  seed: 0,
  temperature: 0,
  topK: 0,
  topP: 1,
  minNewTokens: 0,
  maxNewTokens: 1,
  logitsRow: 0,
};
