/**
 * @file The cache's memory: per layer two pools of entries on the GPU, and on the host the book of which ranges of entries are
 * taken. Entry e means the same place in every layer.
 */
import { DeviceError } from '../../core/errors.ts';
import type { ModelConfig } from '../model/config.ts';
import type { GpuContext } from '../runtime/context.ts';
import type { Tensor } from '../runtime/tensor.ts';
import { createTensor } from '../runtime/tensor.ts';

/** `length` entries from `start`. */
export interface EntryRange {
  start: number;
  length: number;
}

/** First-fit book of ranges in `[0, capacity)`; free neighbours are joined. */
export class RangeAllocator {
  private free: EntryRange[];
  constructor(readonly capacity: number) {
    this.free = [{ start: 0, length: capacity }];
  }

  /** Take a range, or null when no gap is long enough. */
  take(length: number): EntryRange | null {
    if (length === 0) return { start: 0, length: 0 };
    const index = this.free.findIndex((gap) => gap.length >= length);
    const gap = this.free[index];
    if (!gap) return null;
    const range = { start: gap.start, length };
    if (gap.length === length) this.free.splice(index, 1);
    else this.free[index] = { start: gap.start + length, length: gap.length - length };
    return range;
  }

  /** Give a taken range back. */
  give(range: EntryRange): void {
    if (range.length === 0) return;
    let index = this.free.findIndex((gap) => gap.start > range.start);
    if (index < 0) index = this.free.length;
    this.free.splice(index, 0, { ...range });
    for (const i of [index, index - 1]) {
      const [left, right] = [this.free[i], this.free[i + 1]];
      if (left && right && left.start + left.length === right.start)
        this.free.splice(i, 2, { start: left.start, length: left.length + right.length });
    }
  }

  /** Free entries, in however many gaps. */
  get available(): number {
    return this.free.reduce((sum, gap) => sum + gap.length, 0);
  }
}

/** Bytes of one entry over all layers, keys and values. */
export const kvEntryBytes = (c: ModelConfig): number => c.numLayers * 2 * c.numKvHeads * c.headDim * 4;

/** The pools of all layers. */
export class KvPool {
  readonly layers: { k: Tensor; v: Tensor }[] = [];
  readonly ranges: RangeAllocator;

  constructor(
    private readonly gpu: GpuContext,
    config: ModelConfig,
    readonly entries: number,
  ) {
    const width = config.numKvHeads * config.headDim;
    for (let l = 0; l < config.numLayers; l++)
      this.layers.push({
        k: createTensor(gpu, `kv_cache.${l}.k`, [entries, width]),
        v: createTensor(gpu, `kv_cache.${l}.v`, [entries, width]),
      });
    this.ranges = new RangeAllocator(entries);
  }

  destroy(): void {
    for (const { k, v } of this.layers) {
      this.gpu.destroyBuffer(k.buffer);
      this.gpu.destroyBuffer(v.buffer);
    }
  }
}

/** Most entries a budget of bytes and the device's largest binding allow. */
export function kvCapacity(gpu: GpuContext, config: ModelConfig, budgetBytes: number): number {
  const perLayer = config.numKvHeads * config.headDim * 4;
  return Math.floor(
    Math.min(budgetBytes / kvEntryBytes(config), gpu.capabilities.maxBindingBytes / perLayer),
  );
}

/** Throws `DeviceError` when even one request alone does not fit. */
export function assertFits(config: ModelConfig, needed: number, capacity: number): void {
  if (needed <= capacity) return;
  throw new DeviceError(
    `A request needs ${needed} key/value cache entries (${needed * kvEntryBytes(config)} bytes), the budget holds ${capacity}.`,
    'Raise the key/value cache budget (kvCacheBytes), or lower the prompt length, max_new_tokens or num_beams.',
  );
}
