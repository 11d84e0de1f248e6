/**
 * @file Buffers of a pass over N packed tokens. What is kept depends on what the pass is for: `forward` keeps one block's
 * worth, `train` every block's, `checkpoint` every block's input and one block's worth of the rest.
 */
import { rowsPerPartial } from '../kernels/column_sum.ts';
import type { GpuContext } from '../runtime/context.ts';
import type { Tensor } from '../runtime/tensor.ts';
import { createTensor } from '../runtime/tensor.ts';
import type { LinearModule, LoraConfig, ModelConfig } from './config.ts';

export type ActivationMode = 'forward' | 'train' | 'checkpoint';

/** What one block leaves behind. F = intermediate size, W = (H + 2·Kv)·hd. */
export interface BlockActivations {
  /** Input of the block. [N, D] */
  x: Tensor;
  /** q, k, v before norm and rotation; shared by all blocks unless the model norms its heads. [N, W] */
  raw: Tensor;
  /** [N, W] */
  qkv: Tensor;
  /** [N, H·hd] */
  attended: Tensor;
  /** Null when nothing will go backward. [N, H] */
  lse: Tensor | null;
  /** Residual stream between attention and MLP. [N, D] */
  middle: Tensor;
  /** [N, 2F] */
  gateUp: Tensor;
  /** `x·Aᵀ` of every adapted module. [N, r] */
  lowRank: Partial<Record<LinearModule, Tensor>>;
}

/** Scratch of a forward (and recomputed) pass. */
export interface ForwardScratch {
  /** [N, D] */
  normed: Tensor;
  /** [N, F] */
  hidden: Tensor;
  /** Room for the widest dropped-out input, with dropout. */
  dropped: Tensor | null;
  /** Output of a recomputed block, which nobody reads. [N, D] */
  discarded: Tensor | null;
}

/** Scratch of a backward pass, shared by all blocks. */
export interface BackwardScratch {
  /** Gradient of the residual stream. [N, D] */
  dx: Tensor;
  dNormed: Tensor;
  dHidden: Tensor;
  dGateUp: Tensor;
  dAttended: Tensor;
  dQkv: Tensor;
  /** [N, H] */
  delta: Tensor;
  /** [N, r], with an adapter */
  lowRank: Tensor | null;
  columns: Tensor;
  /** Terms of norm gradients [N, D], full fine-tuning only. */
  normTerms: Tensor | null;
  /** Terms of head norm gradients, [N·H, hd] and [N·Kv, hd]. */
  headTerms: { q: Tensor; k: Tensor } | null;
}

/** What to allocate. */
export interface ActivationOptions {
  mode: ActivationMode;
  /** Base weights are trained. */
  full: boolean;
}

/** The buffers of passes over up to `capacity` tokens; `at(N)` narrows them to a number of tokens. */
export class ActivationPool {
  private readonly owned = new Map<string, Tensor>();

  constructor(
    private readonly gpu: GpuContext,
    private readonly config: ModelConfig,
    readonly capacity: number,
    readonly options: ActivationOptions,
  ) {}

  /** A view of the first `tokens` rows of a named buffer of rows of `width`. */
  private rows(name: string, tokens: number, width: number): Tensor {
    let whole = this.owned.get(name);
    if (!whole) this.owned.set(name, (whole = createTensor(this.gpu, name, [this.capacity, width])));
    return { ...whole, shape: [tokens, width] };
  }

  /** Views for a pass over `tokens` tokens, at most `capacity`, through a model with an adapter or none. */
  at(tokens: number, lora: LoraConfig | null): Activations {
    const { config: c, options } = this;
    const { mode, full } = options;
    const backward = mode !== 'forward';
    const rows = (name: string, width: number) => this.rows(name, tokens, width);
    const qkvWidth = (c.numHeads + 2 * c.numKvHeads) * c.headDim;
    const outWidth = c.numHeads * c.headDim;
    const widest = Math.max(c.hiddenSize, c.intermediateSize, outWidth);
    // Forward passes swap two residual streams; training keeps one an input of every block.
    const input = (l: number) => rows(backward ? `x ${l}` : l % 2 === 0 ? 'x even' : 'x odd', c.hiddenSize);
    const block = (l: number): BlockActivations => {
      const own = mode === 'train' ? `block ${l}` : 'block';
      const lowRank: BlockActivations['lowRank'] = {};
      for (const module of lora?.targetModules ?? [])
        lowRank[module] = rows(`${own} low rank ${lora!.r} ${module}`, lora!.r);
      return {
        x: input(l),
        raw: rows(c.qkNorm ? `${own} raw` : 'raw', qkvWidth),
        qkv: rows(`${own} qkv`, qkvWidth),
        attended: rows(`${own} attended`, outWidth),
        lse: backward ? rows(`${own} lse`, c.numHeads) : null,
        middle: rows(`${own} middle`, c.hiddenSize),
        gateUp: rows(`${own} gate up`, 2 * c.intermediateSize),
        lowRank,
      };
    };
    return {
      tokens,
      checkpointing: mode === 'checkpoint',
      input,
      block,
      scratch: {
        normed: rows('normed', c.hiddenSize),
        hidden: rows('hidden', c.intermediateSize),
        dropped: backward && lora && lora.dropout > 0 ? rows('dropped', widest) : null,
        discarded: mode === 'checkpoint' ? rows('discarded', c.hiddenSize) : null,
      },
      backward: backward
        ? {
            dx: rows('dx', c.hiddenSize),
            dNormed: rows('d normed', c.hiddenSize),
            dHidden: rows('d hidden', c.intermediateSize),
            dGateUp: rows('d gate up', 2 * c.intermediateSize),
            dAttended: rows('d attended', outWidth),
            dQkv: rows('d qkv', qkvWidth),
            delta: rows('delta', c.numHeads),
            lowRank: lora ? rows(`d low rank ${lora.r}`, lora.r) : null,
            columns: rows('columns', full ? Math.ceil(Math.max(widest, qkvWidth) / rowsPerPartial) : 1),
            normTerms: full ? rows('norm terms', c.hiddenSize) : null,
            headTerms:
              full && c.qkNorm
                ? {
                    q: this.rows('q terms', tokens, outWidth),
                    k: this.rows('k terms', tokens, c.numKvHeads * c.headDim),
                  }
                : null,
          }
        : null,
    };
  }

  destroy(): void {
    for (const tensor of this.owned.values()) this.gpu.destroyBuffer(tensor.buffer);
    this.owned.clear();
  }
}

/** The buffers of one pass over N tokens. */
export interface Activations {
  /** N */
  tokens: number;
  checkpointing: boolean;
  /** Input of block l; l = number of layers is the output of the last. [N, D] */
  input(l: number): Tensor;
  block(l: number): BlockActivations;
  scratch: ForwardScratch;
  backward: BackwardScratch | null;
}
