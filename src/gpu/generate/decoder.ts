/**
 * @file `Decoder`: the GPU side of generation. It owns activations, cache and the table of rows, and keeps a dispatch list for every
 * bucket of row or token counts, so that a step of decoding is a replay.
 */
import { shareGroups, tokensPerGroup } from '../kernels/decode_attention.ts';
import { recordGather, recordScatter } from '../kernels/embedding.ts';
import { idle, placeWords } from '../kernels/kv_cache.ts';
import type { RowSampling } from '../kernels/sampling.ts';
import { outputWords, packRowSampling, recordSampling, samplingWords } from '../kernels/sampling.ts';
import { recordTopK } from '../kernels/top_k.ts';
import type { GpuContext } from '../runtime/context.ts';
import { DispatchList } from '../runtime/dispatch_list.ts';
import type { DType, Tensor } from '../runtime/tensor.ts';
import { createTensor, writeTensor } from '../runtime/tensor.ts';
import type { GeneratorModel } from './cached_forward.ts';
import { ForwardBuffers, head, recordCachedForward, recordHead } from './cached_forward.ts';
import { KvPool } from './kv_pool.ts';

/** A prompt whose tokens are to enter the cache. */
export interface PrefillPrompt {
  tokens: readonly number[];
  /** First entry of its range. */
  start: number;
  /** Where its last hidden state is kept. */
  slot: number;
}

/** A row of the batch as a step begins. */
export interface DecodeRow {
  /** The token that enters now. */
  token: number;
  /** prefixStart, prefixLength, ownStart, position */
  place: readonly [number, number, number, number];
  sampling: RowSampling;
  /** New tokens written so far. */
  count: number;
}

/** What a sampling row wrote since it was set, as read back. */
export interface RowOutput {
  tokens: number[];
  logprobs: number[];
  done: boolean;
}

/** Most stop tokens of a call. */
export const maxStopTokens = 255;

/** The smallest batch shape that holds n: 1, 4, 8, 16, 32, 48, 64, 96, 128, 192, … Few shapes, few kernels to compile. */
export function bucketOf(n: number): number {
  if (n <= 1) return 1;
  let power = 4;
  while (power < n) power *= 2;
  return power > 32 && n <= power * 0.75 ? power * 0.75 : power;
}

export interface DecoderSizes {
  /** Most rows of a step. */
  rows: number;
  /** Most prompts held at a time. */
  prompts: number;
  /** Cache entries. */
  entries: number;
  /** Own entries of a row, for indirect places (beams); 0 = none. */
  ownEntries: number;
  /** Candidates a row reports in beam search; 0 = none. */
  topK: number;
}

/** Programs and memory for one call's sizes; a call with larger needs makes a new one. */
export class Decoder {
  readonly cache: KvPool;
  private readonly lists = new Map<string, DispatchList>();
  private readonly owned: Tensor[] = [];
  private readonly buffers: ForwardBuffers;
  private readonly prefillInputs: { tokens: Tensor; places: Tensor; groups: Tensor; slots: Tensor };
  private readonly hidden: Tensor;
  private readonly headRows: Tensor;
  private readonly logits: Tensor;
  private readonly rows: { tokens: Tensor; places: Tensor; groups: Tensor; settings: Tensor; output: Tensor };
  private readonly stopTokens: Tensor;
  private readonly ownEntries: Tensor | null;
  private readonly top: Tensor | null;

  constructor(
    private readonly gpu: GpuContext,
    private readonly model: GeneratorModel,
    readonly sizes: DecoderSizes,
    /** Tokens of a prefill step. */
    private readonly prefillTokens: number,
    /** Most decoding steps between two readbacks. */
    readonly window: number,
  ) {
    const { config } = model.weights;
    const R = bucketOf(sizes.rows);
    const make = (name: string, shape: number[], dtype: DType = 'u32'): Tensor => {
      const t = createTensor(gpu, `generate.${name}`, shape, dtype);
      this.owned.push(t);
      return t;
    };
    this.cache = new KvPool(gpu, config, sizes.entries);
    this.buffers = new ForwardBuffers(gpu, model, Math.max(prefillTokens, R));
    this.prefillInputs = {
      tokens: make('prefill_tokens', [prefillTokens]),
      places: make('prefill_places', [prefillTokens, placeWords]),
      groups: make('prefill_groups', [prefillTokens * 4]),
      slots: make('prefill_slots', [prefillTokens]),
    };
    this.hidden = make('prompt_hidden', [sizes.prompts, config.hiddenSize], 'f32');
    this.headRows = make('head_rows', [R]);
    this.logits = make('logits', [R, config.vocabSize], 'f32');
    this.rows = {
      tokens: make('tokens', [R]),
      places: make('places', [R, placeWords]),
      groups: make('groups', [R * 4]),
      settings: make('settings', [R, samplingWords]),
      output: make('output', [R, outputWords(window)]),
    };
    this.stopTokens = make('stop_tokens', [1 + maxStopTokens]);
    this.ownEntries = sizes.ownEntries > 0 ? make('own_entries', [R * sizes.ownEntries]) : null;
    this.top = sizes.topK > 0 ? make('top', [R, 2 * sizes.topK]) : null;
  }

  /** True when a call of these sizes can run here. */
  holds(sizes: DecoderSizes): boolean {
    const { rows, prompts, entries, ownEntries, topK } = this.sizes;
    const fits = rows >= sizes.rows && prompts >= sizes.prompts && entries >= sizes.entries;
    return fits && ownEntries === sizes.ownEntries && topK === sizes.topK;
  }

  setStopTokens(tokens: readonly number[]): void {
    writeTensor(this.gpu, this.stopTokens, new Uint32Array([tokens.length, ...tokens]));
  }

  /** Run prompts through the model, `prefillTokens` tokens at a time; chunks may begin and end inside a prompt. */
  prefill(prompts: readonly PrefillPrompt[]): void {
    const total = prompts.reduce((sum, p) => sum + p.tokens.length, 0);
    const all = prompts.flatMap((p) => p.tokens.map((token, position) => ({ p, token, position })));
    for (let first = 0; first < total; first += this.prefillTokens) {
      const chunk = all.slice(first, first + this.prefillTokens);
      const N = Math.min(bucketOf(chunk.length), this.prefillTokens);
      const tokens = new Uint32Array(N);
      const places = new Uint32Array(N * placeWords).fill(idle);
      const slots = new Uint32Array(N).fill(idle);
      chunk.forEach(({ p, token, position }, n) => {
        tokens[n] = token;
        places.set([p.start, p.tokens.length, 0, position], n * placeWords);
        if (position === p.tokens.length - 1) slots[n] = p.slot;
      });
      const inputs = this.prefillInputs;
      writeTensor(this.gpu, inputs.tokens, tokens);
      writeTensor(this.gpu, inputs.places, places);
      writeTensor(this.gpu, inputs.slots, slots);
      const groups = this.groupsOf(inputs.groups, N);
      writeTensor(
        this.gpu,
        groups,
        shareGroups(
          chunk.map(({ p }) => p.start),
          groups.shape[1]!,
          N,
        ),
      );
      this.list(`prefill/${N}`, (list) => {
        const step = { tokens: head(inputs.tokens, N), places: head(inputs.places, N), groups };
        const x = recordCachedForward(this.gpu, list, this.model, this.cache, this.buffers, step);
        recordScatter(list, x, inputs.slots, this.hidden);
      }).submit();
    }
  }

  /** Logits after the prompts in `slots`, into logits rows 0, 1, … */
  promptLogits(slots: readonly number[]): void {
    const P = bucketOf(slots.length);
    writeTensor(
      this.gpu,
      this.headRows,
      new Uint32Array(P).map((_, i) => slots[i] ?? 0),
    );
    this.list(`prompt-logits/${P}`, (list) => {
      const hidden = head(this.buffers.x[1], P);
      recordGather(list, this.hidden, head(this.headRows, P), hidden);
      this.recordLogits(list, hidden, P);
    }).submit();
  }

  /** Fill the table of rows. Rows beyond the given ones are idle. */
  setRows(rows: readonly DecodeRow[]): void {
    const R = bucketOf(rows.length);
    const columns = outputWords(this.window);
    const tokens = new Uint32Array(R);
    const places = new Uint32Array(R * placeWords).fill(idle);
    const settings = new Uint32Array(R * samplingWords);
    const output = new Uint32Array(R * columns);
    rows.forEach((row, r) => {
      tokens[r] = row.token;
      places.set(row.place, r * placeWords);
      packRowSampling(settings, r * samplingWords, row.sampling);
      output[r * columns + 2 * this.window] = row.count;
    });
    writeTensor(this.gpu, this.rows.tokens, tokens);
    writeTensor(this.gpu, this.rows.places, places);
    writeTensor(this.gpu, this.rows.settings, settings);
    writeTensor(this.gpu, this.rows.output, output);
    const groups = this.groupsOf(this.rows.groups, R);
    writeTensor(
      this.gpu,
      groups,
      shareGroups(
        rows.map((row) => row.place[0]),
        groups.shape[1]!,
        R,
      ),
    );
  }

  /** Fill the entry table of indirect places: row r's own entries begin at `r · ownEntries`. */
  setOwnEntries(entries: readonly (readonly number[])[]): void {
    const width = this.sizes.ownEntries;
    const table = new Uint32Array(entries.length * width);
    entries.forEach((own, r) => table.set(own, r * width));
    writeTensor(this.gpu, this.ownEntries!, table);
  }

  /** Choose the first token of `rows` rows from logits that are there. */
  sample(rows: number, truncated: boolean): void {
    const R = bucketOf(rows);
    this.list(`sample/${R}/${truncated}`, (list) => this.recordSample(list, R, truncated)).submit();
  }

  /** `steps` decoding steps of `rows` rows: forward, logits, sample. */
  decode(rows: number, steps: number, truncated: boolean): void {
    const R = bucketOf(rows);
    const list = this.list(`decode/${R}/${truncated}`, (list) => {
      this.recordLogits(list, this.recordRows(list, R), R);
      this.recordSample(list, R, truncated);
    });
    const encoder = this.gpu.device.createCommandEncoder();
    for (let step = 0; step < steps; step++) list.encode(encoder);
    this.gpu.device.queue.submit([encoder.finish()]);
  }

  /** What the first `counts.length` rows wrote since they had `counts` tokens. */
  async readRows(counts: readonly number[]): Promise<RowOutput[]> {
    const W = this.window;
    const columns = outputWords(W);
    const words = new Uint32Array(
      await this.gpu.read(this.rows.output.buffer, 0, counts.length * columns * 4),
    );
    const floats = new Float32Array(words.buffer);
    return counts.map((before, r) => {
      const at = r * columns;
      const written = Array.from({ length: words[at + 2 * W]! - before }, (_, i) => at + ((before + i) % W));
      return {
        tokens: written.map((i) => words[i]!),
        logprobs: written.map((i) => floats[i + W]!),
        done: words[at + 2 * W + 1] === 1,
      };
    });
  }

  /** One decoding step of beams: forward and logits, without a choice. */
  advance(rows: number): void {
    const R = bucketOf(rows);
    this.list(`advance/${R}`, (list) => this.recordLogits(list, this.recordRows(list, R), R)).submit();
  }

  /** The most likely tokens after the first `rows` rows of the logits, best first. */
  async topCandidates(rows: number): Promise<{ token: number; logprob: number }[][]> {
    const R = bucketOf(rows);
    const top = head(this.top!, R);
    this.list(`top/${R}`, (list) => recordTopK(this.gpu, list, head(this.logits, R), top)).submit();
    const K = this.sizes.topK;
    const words = new Uint32Array(await this.gpu.read(top.buffer, 0, rows * 2 * K * 4));
    const floats = new Float32Array(words.buffer);
    return Array.from({ length: rows }, (_, r) =>
      Array.from({ length: K }, (_, i) => ({
        token: words[r * 2 * K + i]!,
        logprob: floats[r * 2 * K + K + i]!,
      })),
    );
  }

  destroy(): void {
    for (const t of this.owned) this.gpu.destroyBuffer(t.buffer);
    this.buffers.destroy();
    this.cache.destroy();
    this.lists.clear();
  }

  private recordRows(list: DispatchList, R: number): Tensor {
    const { tokens, places } = this.rows;
    const groups = this.groupsOf(this.rows.groups, R);
    const step = { tokens: head(tokens, R), places: head(places, R), groups, ownEntries: this.ownEntries };
    return recordCachedForward(this.gpu, list, this.model, this.cache, this.buffers, step);
  }

  /** Room for the groups of N tokens. [N, M] */
  private groupsOf(room: Tensor, N: number): Tensor {
    return { ...room, shape: [N, tokensPerGroup(this.gpu, this.model.weights.config, N)] };
  }

  private recordLogits(list: DispatchList, hidden: Tensor, rows: number): void {
    const normed = head(this.buffers.normed, rows);
    recordHead(this.gpu, list, this.model, { hidden, normed, logits: head(this.logits, rows) });
  }

  private recordSample(list: DispatchList, R: number, truncated: boolean): void {
    const { tokens, places, settings, output } = this.rows;
    const rows = { settings: head(settings, R), tokens: head(tokens, R), places: head(places, R) };
    const tensors = { logits: this.logits, stopTokens: this.stopTokens, output: head(output, R), ...rows };
    recordSampling(this.gpu, list, tensors, truncated);
  }

  private list(key: string, record: (list: DispatchList) => void): DispatchList {
    let list = this.lists.get(key);
    if (!list) {
      this.lists.set(key, (list = new DispatchList(this.gpu)));
      record(list);
    }
    return list;
  }
}
