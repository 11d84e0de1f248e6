/**
 * @file A (fused) linear layer with its LoRA, forward and backward:
 *
 *     y = x·Wᵀ + bias + s·(drop(x)·Aᵀ)·Bᵀ
 *     dx = dy·W + drop'(s·dy·B·A),  dW = dyᵀ·x,  dB = s·dyᵀ·xa,  dA = (s·dy·B)ᵀ·drop(x)
 */
import { recordColumnSum } from '../kernels/column_sum.ts';
import { recordDropout } from '../kernels/dropout.ts';
import { recordMatmul } from '../kernels/matmul.ts';
import type { GpuContext } from '../runtime/context.ts';
import type { DispatchList } from '../runtime/dispatch_list.ts';
import type { Tensor } from '../runtime/tensor.ts';
import type { LoraAdapter, LoraPair } from './adapter.ts';
import type { LinearModule, ModelConfig } from './config.ts';
import { linearModules } from './config.ts';
import type { FlatTensors } from './parameters.ts';
import type { FusedLinear, LinearSlice, LinearWeights } from './weights.ts';
import { linearSlices } from './weights.ts';

/** Dropout of a training pass: what it is keyed by besides layer, module and feature. */
export interface DropoutKeys {
  /** Probability that an input feature is dropped. */
  probability: number;
  /** [2] u32: run seed, optimizer step. */
  seeds: Tensor;
  /** [N] u32: number of each token's sequence in the batch. */
  sequences: Tensor;
  /** [N] u32 */
  positions: Tensor;
}

/** One linear layer of a block as the recorders see it. */
export interface LinearContext {
  gpu: GpuContext;
  list: DispatchList;
  config: ModelConfig;
  layer: number;
  fused: FusedLinear;
  weights: LinearWeights;
  adapter: LoraAdapter | null;
  /** [out, in] with the adapter folded in: the adapter's own products are then needed for its gradients only. */
  merged?: Tensor | null;
  dropout: DropoutKeys | null;
  /** Where `x·Aᵀ` of a module goes. [N, r] */
  lowRank: (module: LinearModule) => Tensor;
  /** Room for a dropped-out input. [N, in] of the widest module; needed with dropout only. */
  dropped: Tensor | null;
}

/** Modules of the layer that the adapter changes, with their rows of the fused result. */
function adapted(c: LinearContext): { slice: LinearSlice; pair: LoraPair }[] {
  return linearSlices(c.config, c.fused).flatMap((slice) => {
    const pair = c.adapter?.layers[c.layer]?.[slice.module];
    return pair ? [{ slice, pair }] : [];
  });
}

/** The LoRA input of a module: x, or x with dropout in the scratch tensor. */
function loraInput(c: LinearContext, x: Tensor, module: LinearModule): Tensor {
  if (!c.dropout) return x;
  const dropped: Tensor = { ...c.dropped!, shape: x.shape };
  recordDropout(c.list, { x, out: dropped, ...c.dropout }, dropoutKey(c.layer, module), false);
  return dropped;
}

/** What tells the dropout masks of two modules apart. */
const dropoutKey = (layer: number, module: LinearModule): number =>
  layer * linearModules.length + linearModules.indexOf(module);

/** `y = linear(x) (+ add)`. x [N, in], y and add [N, out of the fused layer]. */
export function recordLinear(c: LinearContext, x: Tensor, y: Tensor, add: Tensor | null = null): void {
  const [m, k] = x.shape as [number, number];
  const n = y.shape[1]!;
  const { weight, bias } = c.weights;
  recordMatmul(
    c.gpu,
    c.list,
    { kind: 'NT', tokenRows: true, m, n, k },
    { a: x, b: c.merged ?? weight, c: y, bias, add },
  );
  for (const { slice, pair } of adapted(c)) {
    const r = c.adapter!.config.r;
    const xa = c.lowRank(slice.module);
    recordMatmul(
      c.gpu,
      c.list,
      { kind: 'NT', tokenRows: true, m, n: r, k },
      { a: loraInput(c, x, slice.module), b: pair.a, c: xa },
    );
    if (c.merged) continue;
    recordMatmul(
      c.gpu,
      c.list,
      {
        kind: 'NT',
        tokenRows: true,
        m,
        n: slice.width,
        k: r,
        ldc: n,
        cOffset: slice.start,
        alpha: c.adapter!.scale,
        accumulate: true,
      },
      { a: xa, b: pair.b, c: y },
    );
  }
}

/** Scratch and targets of a backward pass. */
export interface LinearGradients {
  /** Gradients of the trainable parameters, added to. */
  grads: FlatTensors;
  /** The base weights are trained, not only the adapter. */
  full: boolean;
  /** [N, r] */
  lowRank: Tensor;
  /** Scratch of column sums. */
  columns: Tensor;
}

/**
 * Gradients of a linear layer. x [N, in] and dy [N, out] are given; dx [N, in] is overwritten, or skipped when null.
 * The low-rank activations must be those of the forward pass.
 */
export function recordLinearBackward(
  c: LinearContext,
  g: LinearGradients,
  x: Tensor,
  dy: Tensor,
  dx: Tensor | null,
): void {
  const [m, k] = x.shape as [number, number];
  const n = dy.shape[1]!;
  const { gpu, list } = c;
  const { weight, name, biasName } = c.weights;
  if (dx)
    recordMatmul(
      gpu,
      list,
      { kind: 'NN', tokenRows: true, m, n: k, k: n },
      { a: dy, b: c.merged ?? weight, c: dx },
    );
  if (g.full) {
    const dw = g.grads.view(name, weight.shape);
    recordMatmul(
      gpu,
      list,
      { kind: 'TN', tokenRows: true, m: n, n: k, k: m, accumulate: true },
      { a: dy, b: x, c: dw },
    );
    if (biasName)
      recordColumnSum(list, { x: dy, scratch: g.columns, grad: g.grads.view(biasName, [n]) }, m, n);
  }
  for (const { slice, pair } of adapted(c)) {
    const { config, scale } = c.adapter!;
    const r = config.r;
    const view = { lda: n, aOffset: slice.start };
    const rows = slice.width;
    recordMatmul(
      gpu,
      list,
      { kind: 'TN', tokenRows: true, m: rows, n: r, k: m, ...view, alpha: scale, accumulate: true },
      { a: dy, b: c.lowRank(slice.module), c: g.grads.view(pair.names.b) },
    );
    recordMatmul(
      gpu,
      list,
      { kind: 'NN', tokenRows: true, m, n: r, k: rows, ...view, alpha: scale },
      { a: dy, b: pair.b, c: g.lowRank },
    );
    recordMatmul(
      gpu,
      list,
      { kind: 'TN', tokenRows: true, m: r, n: k, k: m, accumulate: true },
      { a: g.lowRank, b: loraInput(c, x, slice.module), c: g.grads.view(pair.names.a) },
    );
    if (!dx || c.merged) continue;
    if (!c.dropout) {
      recordMatmul(
        gpu,
        list,
        { kind: 'NN', tokenRows: true, m, n: k, k: r, accumulate: true },
        { a: g.lowRank, b: pair.a, c: dx },
      );
      continue;
    }
    const through: Tensor = { ...c.dropped!, shape: x.shape };
    recordMatmul(
      gpu,
      list,
      { kind: 'NN', tokenRows: true, m, n: k, k: r },
      { a: g.lowRank, b: pair.a, c: through },
    );
    recordDropout(list, { x: through, out: dx, ...c.dropout }, dropoutKey(c.layer, slice.module), true);
  }
}
