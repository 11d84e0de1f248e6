/**
 * @file `PassBuffers`: the GPU memory of passes over a model, grown to the largest batch seen and shared by every runner over that
 * model.
 */
import type { GpuContext } from '../runtime/context.ts';
import type { Tensor } from '../runtime/tensor.ts';
import { createTensor } from '../runtime/tensor.ts';
import type { ActivationMode } from './activations.ts';
import { ActivationPool } from './activations.ts';
import type { ModelConfig } from './config.ts';
import { HeadBuffers } from './head.ts';
import type { PackedTensors } from './transformer.ts';

/** What buffers are for. */
export interface PassOptions {
  mode: ActivationMode;
  /** Base weights are trained. */
  full: boolean;
  /** Bytes of one chunk of logits. */
  chunkBytes: number;
}

/** Buffers of passes, grown to the largest batch seen. Runners over the same model share them. */
export class PassBuffers {
  private pool: ActivationPool | null = null;
  private heads: HeadBuffers | null = null;
  private tokenAxis: PackedTensors | null = null;
  /** Changes when buffers were replaced: programs recorded before are void. */
  version = 0;

  constructor(
    readonly gpu: GpuContext,
    readonly config: ModelConfig,
    readonly options: PassOptions,
  ) {}

  /** Make room for N tokens and R rows. */
  ensure(tokens: number, rows: number): void {
    const { gpu, config, options } = this;
    if (!this.pool || this.pool.capacity < tokens) {
      this.pool?.destroy();
      this.freeTokenAxis();
      this.pool = new ActivationPool(gpu, config, tokens, options);
      const axis = (name: string, extra = 0) => createTensor(gpu, name, [tokens + extra], 'u32');
      this.tokenAxis = {
        tokens: axis('tokens'),
        positions: axis('positions'),
        starts: axis('starts'),
        prefixes: createTensor(gpu, 'prefixes', [tokens, 2], 'u32'),
        ends: axis('ends'),
        sequences: axis('sequences'),
        order: axis('order'),
        orderStarts: axis('order starts', 1),
        orderIds: axis('order ids'),
      };
      this.version++;
    }
    if (!this.heads || this.heads.capacity < rows) {
      this.heads?.destroy();
      this.heads = new HeadBuffers(gpu, config, rows, {
        chunkBytes: options.chunkBytes,
        backward: options.mode !== 'forward',
      });
      this.version++;
    }
  }

  get head(): HeadBuffers {
    return this.heads!;
  }

  get activations(): ActivationPool {
    return this.pool!;
  }

  /** The token axis narrowed to N tokens. */
  axis(tokens: number): PackedTensors {
    const all = this.tokenAxis!;
    const first = (t: Tensor, count = tokens): Tensor => ({ ...t, shape: [count] });
    return {
      tokens: first(all.tokens),
      positions: first(all.positions),
      starts: first(all.starts),
      prefixes: { ...all.prefixes, shape: [tokens, 2] },
      ends: first(all.ends),
      sequences: first(all.sequences),
      order: first(all.order),
      orderStarts: first(all.orderStarts, tokens + 1),
      orderIds: first(all.orderIds),
    };
  }

  private freeTokenAxis(): void {
    if (this.tokenAxis)
      for (const t of Object.values(this.tokenAxis)) this.gpu.destroyBuffer((t as Tensor).buffer);
  }

  destroy(): void {
    this.pool?.destroy();
    this.heads?.destroy();
    this.freeTokenAxis();
    this.pool = this.heads = this.tokenAxis = null;
    this.version++;
  }
}
