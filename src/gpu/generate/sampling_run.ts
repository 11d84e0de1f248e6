/**
 * @file Sampling (and greedy decoding) of any number of requests through a decoder of limited rows and cache. Rows come and go
 * independently: a row that ends makes room, and waiting requests are admitted between two windows of steps.
 */
import { DeviceError } from '../../core/errors.ts';
import type { Completion, GenerateRequest } from '../../core/policy.ts';
import type { ResolvedOptions } from './check_requests.ts';
import type { DecodeRow, Decoder, RowOutput } from './decoder.ts';
import type { EntryRange } from './kv_pool.ts';
import { PromptCache, sharePrompts } from './prompt_cache.ts';
import type { SharedPrompt } from './prompt_cache.ts';

interface Row {
  request: number;
  prompt: SharedPrompt;
  own: EntryRange;
  tokens: number[];
  logprobs: number[];
}

/** One call's state. */
export class SamplingRun {
  private readonly pending: { request: number; prompt: SharedPrompt }[];
  private active: Row[] = [];
  private readonly prompts: PromptCache;
  private readonly completions: Completion[];
  private readonly truncated: boolean;

  constructor(
    private readonly decoder: Decoder,
    private readonly requests: readonly GenerateRequest[],
    private readonly options: ResolvedOptions,
  ) {
    this.pending = sharePrompts(requests).flatMap((prompt) =>
      prompt.requests.map((request) => ({ request, prompt })),
    );
    this.prompts = new PromptCache(decoder);
    this.completions = new Array<Completion>(requests.length);
    this.truncated = options.temperature > 0 && (options.topK > 0 || options.topP < 1);
  }

  /** Completions in the order of the requests. Throws the signal's reason when aborted. */
  async run(): Promise<Completion[]> {
    const { decoder, options } = this;
    decoder.setStopTokens(options.stopTokens);
    try {
      let changed = false;
      while (this.pending.length > 0 || this.active.length > 0) {
        options.signal?.throwIfAborted();
        if (this.wantsAdmission() && (await this.admit())) changed = true;
        if (this.active.length === 0) continue;
        if (changed) decoder.setRows(this.active.map((row, r) => this.tableRow(row, r)));
        changed = await this.decodeWindow();
      }
      return this.completions;
    } finally {
      for (const row of this.active) decoder.cache.ranges.give(row.own);
      this.prompts.clear();
    }
  }

  /** Enough rows are free for an admission to be worth a prefill. */
  private wantsAdmission(): boolean {
    const free = this.decoder.sizes.rows - this.active.length;
    const worth = Math.ceil(this.decoder.sizes.rows / 4);
    return this.pending.length > 0 && free >= Math.min(this.pending.length, worth);
  }

  /** Admit as many waiting requests as rows and cache hold, and sample their first token. False when none was. */
  private async admit(): Promise<boolean> {
    const fresh: SharedPrompt[] = [];
    const rows: Row[] = [];
    while (this.active.length + rows.length < this.decoder.sizes.rows) {
      const next = this.pending[0];
      const row = next && this.place(next, fresh);
      if (!row) break;
      rows.push(row);
      this.pending.shift();
    }
    if (rows.length === 0) {
      // Nothing runs and nothing fits: gaps between prompts that are kept for later. An empty cache holds any request.
      if (this.active.length === 0) this.prompts.clear();
      return false;
    }
    this.decoder.prefill(
      fresh.map(({ tokens, held }) => ({ tokens, start: held!.range.start, slot: held!.slot })),
    );
    const slots = [...new Set(rows.map((row) => row.prompt.held!.slot))];
    this.decoder.promptLogits(slots);
    this.decoder.setRows(rows.map((row) => this.tableRow(row, slots.indexOf(row.prompt.held!.slot))));
    this.decoder.sample(rows.length, this.truncated);
    const outputs = await this.decoder.readRows(rows.map(() => 0));
    this.active.push(...rows);
    rows.forEach((row, r) => this.absorb(row, outputs[r]!));
    return true;
  }

  /** Room for one request, or null. A prompt that is not in the cache yet is added to `fresh`. */
  private place(
    { request, prompt }: { request: number; prompt: SharedPrompt },
    fresh: SharedPrompt[],
  ): Row | null {
    const isFresh = !prompt.held;
    if (isFresh && !this.prompts.take(prompt)) return null;
    if (isFresh) fresh.push(prompt);
    // The last new token never enters the cache.
    const own = this.decoder.cache.ranges.take(this.options.maxNewTokens - 1);
    if (!own && isFresh) this.prompts.forget(fresh.pop()!);
    return own && { request, prompt, own, tokens: [], logprobs: [] };
  }

  private tableRow(row: Row, logitsRow: number): DecodeRow {
    const { temperature, topK, topP, minNewTokens, maxNewTokens } = this.options;
    const count = row.tokens.length;
    const { start, length } = row.prompt.held!.range;
    return {
      token: row.tokens[count - 1] ?? 0,
      place: [start, length, row.own.start, length + count - 1],
      sampling: {
        seed: this.requests[row.request]!.seed,
        temperature,
        topK,
        topP,
        minNewTokens,
        maxNewTokens,
        logitsRow,
      },
      count,
    };
  }

  /** A few steps for all rows, then read. True when rows ended. */
  private async decodeWindow(): Promise<boolean> {
    const { decoder, active } = this;
    const counts = active.map((row) => row.tokens.length);
    const steps = Math.min(decoder.window, this.options.maxNewTokens - Math.min(...counts));
    decoder.decode(active.length, steps, this.truncated);
    const outputs = await decoder.readRows(counts);
    active.forEach((row, r) => this.absorb(row, outputs[r]!));
    return this.active.length < counts.length;
  }

  /** Take over what a row wrote; a row that is done leaves. */
  private absorb(row: Row, output: RowOutput): void {
    if (output.logprobs.some((lp) => !Number.isFinite(lp)))
      throw new DeviceError(
        `The model's logits are not finite (request ${row.request}, new token ${row.tokens.length}).`,
        'Its weights have diverged: go back to an earlier checkpoint and lower the learning rate.',
      );
    row.tokens.push(...output.tokens);
    row.logprobs.push(...output.logprobs);
    if (output.tokens.length > 0) this.options.onTokens?.(row.request, output.tokens);
    if (!output.done) return;
    const last = row.tokens[row.tokens.length - 1]!;
    this.completions[row.request] = {
      tokens: row.tokens,
      logprobs: Float32Array.from(row.logprobs),
      finishReason: this.options.stopTokens.includes(last) ? 'stop' : 'length',
    };
    this.active = this.active.filter((other) => other !== row);
    this.decoder.cache.ranges.give(row.own);
    this.prompts.release(row.prompt);
  }
}
