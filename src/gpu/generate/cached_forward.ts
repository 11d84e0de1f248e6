/**
 * @file The forward pass over the key/value cache, recorded: N tokens in, each with its place, their last hidden states out. Prefill and
 * decoding are the same pass; only the tokens differ.
 */
import { recordDecodeAttention } from '../kernels/decode_attention.ts';
import { recordGather } from '../kernels/embedding.ts';
import { recordRotateAndStore } from '../kernels/kv_cache.ts';
import { recordMatmul } from '../kernels/matmul.ts';
import { recordRmsNorm } from '../kernels/rmsnorm.ts';
import { recordSwiGlu } from '../kernels/swiglu.ts';
import type { LoraAdapter } from '../model/adapter.ts';
import { recordLinear } from '../model/linear.ts';
import type { FusedLinear, ModelWeights } from '../model/weights.ts';
import type { GpuContext } from '../runtime/context.ts';
import type { DispatchList } from '../runtime/dispatch_list.ts';
import type { Tensor } from '../runtime/tensor.ts';
import { createTensor } from '../runtime/tensor.ts';
import type { KvPool } from './kv_pool.ts';

/** What generates: base weights and the adapter in training. */
export interface GeneratorModel {
  weights: ModelWeights;
  adapter: LoraAdapter | null;
}

/** The first `rows` rows of a tensor. */
export const head = (t: Tensor, rows: number): Tensor => ({ ...t, shape: [rows, ...t.shape.slice(1)] });

/** Activations of up to `capacity` tokens. */
export class ForwardBuffers {
  /** The residual stream, twice: a layer reads one and writes the other. [N, D] */
  readonly x: readonly [Tensor, Tensor];
  readonly normed: Tensor;
  /** [N, (H + 2·Kv)·hd] */
  readonly raw: Tensor;
  /** [N, H·hd] */
  readonly q: Tensor;
  readonly attended: Tensor;
  /** [N, 2F] */
  readonly gateUp: Tensor;
  /** [N, F] */
  readonly activated: Tensor;
  /** [N, r] */
  readonly lowRank: Tensor;

  constructor(
    private readonly gpu: GpuContext,
    { weights, adapter }: GeneratorModel,
    readonly capacity: number,
  ) {
    const c = weights.config;
    const make = (name: string, width: number) => createTensor(gpu, `generate.${name}`, [capacity, width]);
    this.x = [make('x0', c.hiddenSize), make('x1', c.hiddenSize)];
    this.normed = make('normed', c.hiddenSize);
    this.raw = make('qkv', (c.numHeads + 2 * c.numKvHeads) * c.headDim);
    this.q = make('q', c.numHeads * c.headDim);
    this.attended = make('attended', c.numHeads * c.headDim);
    this.gateUp = make('gate_up', 2 * c.intermediateSize);
    this.activated = make('activated', c.intermediateSize);
    this.lowRank = make('low_rank', adapter?.config.r ?? 1);
  }

  destroy(): void {
    const { x, normed, raw, q, attended, gateUp, activated, lowRank } = this;
    for (const t of [...x, normed, raw, q, attended, gateUp, activated, lowRank])
      this.gpu.destroyBuffer(t.buffer);
  }
}

/** What a recorded pass reads. */
export interface ForwardInputs {
  /** [N] u32 */
  tokens: Tensor;
  /** [N, 4] u32, see `kv_cache.ts` */
  places: Tensor;
  /** [N, M] u32, from `shareGroups` */
  groups: Tensor;
  /** Entry table of indirect places. */
  ownEntries?: Tensor | null;
}

/** Record a pass; returns the tensor that will hold the last hidden states, before the final norm. [N, D] */
export function recordCachedForward(
  gpu: GpuContext,
  list: DispatchList,
  { weights, adapter }: GeneratorModel,
  cache: KvPool,
  buffers: ForwardBuffers,
  { tokens, places, groups, ownEntries }: ForwardInputs,
): Tensor {
  const { config } = weights;
  const N = tokens.shape[0]!;
  const [x0, x1] = [head(buffers.x[0], N), head(buffers.x[1], N)];
  const normed = head(buffers.normed, N);
  const raw = head(buffers.raw, N);
  const q = head(buffers.q, N);
  const attended = head(buffers.attended, N);
  const gateUp = head(buffers.gateUp, N);
  const activated = head(buffers.activated, N);
  recordGather(list, weights.embed.weight, tokens, x0);
  weights.layers.forEach((layer, l) => {
    const linear = (fused: FusedLinear, x: Tensor, y: Tensor, add: Tensor | null = null): void => {
      const lowRank = (): Tensor => head(buffers.lowRank, N);
      const context = { gpu, list, config, layer: l, fused, weights: layer[fused], adapter, dropout: null };
      recordLinear({ ...context, lowRank, dropped: null }, x, y, add);
    };
    const { k: kPool, v: vPool } = cache.layers[l]!;
    const norms = layer.qNorm && layer.kNorm ? { q: layer.qNorm.weight, k: layer.kNorm.weight } : null;
    recordRmsNorm(gpu, list, { x: x0, weight: layer.inputNorm.weight, y: normed }, config.rmsNormEps);
    linear('qkv', normed, raw);
    recordRotateAndStore(gpu, list, config, {
      raw,
      table: weights.rope,
      norms,
      places,
      ownEntries,
      q,
      kPool,
      vPool,
    });
    recordDecodeAttention(gpu, list, config, { q, kPool, vPool, out: attended, places, groups, ownEntries });
    linear('o', attended, x1, x0);
    recordRmsNorm(gpu, list, { x: x1, weight: layer.postNorm.weight, y: normed }, config.rmsNormEps);
    linear('gate_up', normed, gateUp);
    recordSwiGlu(list, gateUp, activated);
    linear('down', activated, x0, x1);
  });
  return x0;
}

/** Record `logits = norm(hidden)·headᵀ`. hidden [P, D], normed scratch [P, D], logits [P, V] */
export function recordHead(
  gpu: GpuContext,
  list: DispatchList,
  { weights }: GeneratorModel,
  { hidden, normed, logits }: { hidden: Tensor; normed: Tensor; logits: Tensor },
): void {
  const [m, k] = hidden.shape as [number, number];
  recordRmsNorm(gpu, list, { x: hidden, weight: weights.norm.weight, y: normed }, weights.config.rmsNormEps);
  recordMatmul(
    gpu,
    list,
    { kind: 'NT', tokenRows: true, m, n: weights.config.vocabSize, k },
    { a: normed, b: weights.head.weight, c: logits },
  );
}
