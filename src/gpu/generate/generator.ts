/**
 * @file `Generator`: requests in, completions out. It sizes the decoder to what a call needs within its budgets.
 */
import { UsageError } from '../../core/errors.ts';
import type { Completion, GenerateOptions, GenerateRequest } from '../../core/policy.ts';
import type { GpuContext } from '../runtime/context.ts';
import { BeamRun, beamEntries } from './beam_run.ts';
import { BeamSearch } from './beam_search.ts';
import type { GeneratorModel } from './cached_forward.ts';
import type { ModelLimits, ResolvedOptions } from './check_requests.ts';
import { checkRequests, resolveOptions } from './check_requests.ts';
import type { DecoderSizes } from './decoder.ts';
import { bucketOf, Decoder } from './decoder.ts';
import { assertFits, kvCapacity } from './kv_pool.ts';
import { sharePrompts } from './prompt_cache.ts';
import { SamplingRun } from './sampling_run.ts';

/** Budgets of generation. */
export interface GeneratorOptions {
  /** Most bytes of key/value cache. Default 4 GiB, on a software device 256 MiB. */
  kvCacheBytes?: number;
  /** Most rows of a decoding step; more requests wait for a row to end. Default 256, on a software device 64. */
  maxRows?: number;
  /** Tokens of a prefill step. Default 1024, on a software device 256. */
  prefillTokens?: number;
  /** Decoding steps between two readbacks: rows that end inside a window idle until its end. Default 8, software 4. */
  window?: number;
}

/** Entries are allocated in units of this many, so that calls of similar needs share a decoder. */
const entryUnit = 4096;

/** Writes completions with a model whose weights may change between calls (not during one). */
export class Generator {
  private decoder: Decoder | null = null;
  private readonly budgets: Required<GeneratorOptions>;

  constructor(
    private readonly gpu: GpuContext,
    private readonly model: GeneratorModel,
    options: GeneratorOptions = {},
  ) {
    const software = gpu.capabilities.software;
    this.budgets = {
      kvCacheBytes: options.kvCacheBytes ?? (software ? 256 * 2 ** 20 : 4 * 2 ** 30),
      maxRows: options.maxRows ?? (software ? 64 : 256),
      prefillTokens: bucketOf(options.prefillTokens ?? (software ? 256 : 1024)),
      window: options.window ?? (software ? 4 : 8),
    };
  }

  /**
   * One completion per request, in order. Calls must not overlap: the engine sees to it. Throws `InputError` for a prompt that cannot
   * be continued, `UsageError` for an option out of range, `DeviceError` when a request exceeds the cache budget or the logits are not
   * finite, the signal's reason when aborted.
   */
  async generate(requests: readonly GenerateRequest[], options: GenerateOptions): Promise<Completion[]> {
    const { config, rope } = this.model.weights;
    const limits: ModelLimits = { vocabSize: config.vocabSize, maxPositions: rope.shape[0]! };
    const resolved = resolveOptions(options, limits);
    checkRequests(requests, options, limits);
    if (requests.length === 0) return [];
    const decoder = this.prepare(requests, resolved);
    const run =
      resolved.numBeams > 1
        ? new BeamRun(decoder, requests, resolved)
        : new SamplingRun(decoder, requests, resolved);
    return run.run();
  }

  /** Free the GPU memory. */
  destroy(): void {
    this.decoder?.destroy();
    this.decoder = null;
  }

  /** A decoder that holds the call: the one there is, or a new one. */
  private prepare(requests: readonly GenerateRequest[], options: ResolvedOptions): Decoder {
    const { config } = this.model.weights;
    const { maxRows, kvCacheBytes, prefillTokens, window } = this.budgets;
    const { numBeams, maxNewTokens } = options;
    const beams = numBeams > 1;
    if (numBeams > maxRows)
      throw new UsageError(
        `numBeams is ${numBeams}.`,
        `A decoding step has at most ${maxRows} rows (maxRows).`,
      );
    const prompts = sharePrompts(requests);
    const lengths = prompts.map((p) => p.tokens.length).sort((a, b) => b - a);
    const wanted = beams ? prompts.length * numBeams : requests.length;
    const rows = Math.min(wanted, maxRows);
    const perRow = beams ? beamEntries(options) / numBeams : maxNewTokens - 1;
    const capacity = kvCapacity(this.gpu, config, kvCacheBytes);
    assertFits(config, lengths[0]! + perRow * numBeams, capacity);
    // Prompts that can be in flight with that many rows, the longest ones in the worst case; one more is held for what waits.
    const flying = Math.min(prompts.length, (beams ? Math.ceil(rows / numBeams) : rows) + 1);
    const needed = lengths.slice(0, flying).reduce((a, b) => a + b, 0) + rows * perRow;
    const sizes: DecoderSizes = {
      rows,
      prompts: flying,
      entries: Math.min(Math.max(1, needed), capacity),
      ownEntries: beams ? Math.max(1, maxNewTokens - 1) : 0,
      topK: beams ? Math.min(config.vocabSize, new BeamSearch(options).candidatesNeeded) : 0,
    };
    if (this.decoder?.holds(sizes)) return this.decoder;
    this.destroy();
    const entries = Math.min(Math.ceil(sizes.entries / entryUnit) * entryUnit, capacity);
    const roomy = { ...sizes, rows: Math.min(bucketOf(rows), maxRows), entries };
    this.decoder = new Decoder(this.gpu, this.model, roomy, prefillTokens, window);
    return this.decoder;
  }
}
