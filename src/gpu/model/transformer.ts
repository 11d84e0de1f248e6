/**
 * @file The decoder-only transformer on packed tokens, forward and backward, written out. All sequences of a batch lie one
 * after another on one token axis of N; no dialogue attends to another.
 *
 *     x₀ = embed(tokens)
 *     block:  qkv = rope(norm?(rmsnorm(x)·Wqkvᵀ));  m = x + attention(qkv)·Woᵀ
 *             x' = m + swiglu(rmsnorm(m)·Wguᵀ)·Wdᵀ
 *
 * Saved for backward, per block: x, qkv, attention's output and log-sum-exp, m, gate_up, and LoRA's low-rank products. The
 * rest is cheap and computed again.
 */
import { recordAttention, recordAttentionBackward } from '../kernels/attention.ts';
import { recordColumnSum } from '../kernels/column_sum.ts';
import { recordEmbeddingBackward, recordGather } from '../kernels/embedding.ts';
import { recordRmsNorm, recordRmsNormBackward } from '../kernels/rmsnorm.ts';
import { recordRope, recordRopeBackward } from '../kernels/rope.ts';
import { recordSwiGlu, recordSwiGluBackward } from '../kernels/swiglu.ts';
import type { GpuContext } from '../runtime/context.ts';
import type { DispatchList } from '../runtime/dispatch_list.ts';
import type { Tensor } from '../runtime/tensor.ts';
import type { Activations, BlockActivations } from './activations.ts';
import type { LoraAdapter } from './adapter.ts';
import type { LinearModule } from './config.ts';
import type { DropoutKeys, LinearContext, LinearGradients } from './linear.ts';
import { recordLinear, recordLinearBackward } from './linear.ts';
import type { FlatTensors } from './parameters.ts';
import type { FusedLinear, LayerWeights, ModelWeights, NormWeights } from './weights.ts';

/** A pass over the model: what it computes with and where it keeps things. */
export interface Pass {
  gpu: GpuContext;
  list: DispatchList;
  weights: ModelWeights;
  adapter: LoraAdapter | null;
  /** The weights with the adapter folded in, where there is such a copy (never with dropout). */
  merged: ModelWeights | null;
  /** Training passes only. */
  dropout: DropoutKeys | null;
  batch: PackedTensors;
  acts: Activations;
}

/** The token axis on the GPU; [N] u32 unless said. */
export interface PackedTensors {
  tokens: Tensor;
  positions: Tensor;
  /** What each token attends to and is seen by: see `PackedBatch`. */
  starts: Tensor;
  /** [N, 2] */
  prefixes: Tensor;
  ends: Tensor;
  /** Number of each token's sequence in the whole batch (dropout). */
  sequences: Tensor;
  /** Positions by token id, for the embedding's gradient: see `recordEmbeddingBackward`. */
  order: Tensor;
  orderStarts: Tensor;
  orderIds: Tensor;
}

function linearContext(p: Pass, layer: number, fused: FusedLinear, block: BlockActivations): LinearContext {
  return {
    gpu: p.gpu,
    list: p.list,
    config: p.weights.config,
    layer,
    fused,
    weights: p.weights.layers[layer]![fused],
    adapter: p.adapter,
    merged: p.merged?.layers[layer]![fused].weight ?? null,
    dropout: p.dropout,
    lowRank: (module: LinearModule) => block.lowRank[module]!,
    dropped: p.acts.scratch.dropped,
  };
}

const headNorms = (layer: LayerWeights) =>
  layer.qNorm && layer.kNorm ? { q: layer.qNorm.weight, k: layer.kNorm.weight } : null;

/** One block: reads `block.x`, writes `out`, leaves its activations behind. All [N, D]. */
export function recordBlock(p: Pass, index: number, block: BlockActivations, out: Tensor): void {
  const { gpu, list, acts, batch } = p;
  const { config } = p.weights;
  const layer = p.weights.layers[index]!;
  const { normed, hidden } = acts.scratch;
  const linear = (fused: FusedLinear) => linearContext(p, index, fused, block);

  recordRmsNorm(gpu, list, { x: block.x, weight: layer.inputNorm.weight, y: normed }, config.rmsNormEps);
  recordLinear(linear('qkv'), normed, block.raw);
  const rope = { raw: block.raw, positions: batch.positions, table: p.weights.rope, norms: headNorms(layer) };
  recordRope(list, config, { ...rope, qkv: block.qkv });
  recordAttention(gpu, list, config, {
    qkv: block.qkv,
    starts: batch.starts,
    prefixes: batch.prefixes,
    out: block.attended,
    lse: block.lse,
  });
  recordLinear(linear('o'), block.attended, block.middle, block.x);
  recordRmsNorm(gpu, list, { x: block.middle, weight: layer.postNorm.weight, y: normed }, config.rmsNormEps);
  recordLinear(linear('gate_up'), normed, block.gateUp);
  recordSwiGlu(list, block.gateUp, hidden);
  recordLinear(linear('down'), hidden, out, block.middle);
}

/** Embedding and all blocks; returns the last block's output [N, D], before the final norm. */
export function recordForward(p: Pass): Tensor {
  recordGather(p.list, p.weights.embed.weight, p.batch.tokens, p.acts.input(0));
  for (let l = 0; l < p.weights.config.numLayers; l++)
    recordBlock(p, l, p.acts.block(l), p.acts.input(l + 1));
  return p.acts.input(p.weights.config.numLayers);
}

/** Where gradients go. */
export interface BackwardTargets {
  grads: FlatTensors;
  /** All base weights are trained (full fine-tuning), not only the adapter. */
  full: boolean;
}

/** Gradient of a norm's weight from the terms of its elements. */
export function recordNormGradient(p: Pass, t: BackwardTargets, norm: NormWeights, terms: Tensor): void {
  const width = norm.weight.shape[0]!;
  const rows = terms.shape.reduce((a, b) => a * b, 1) / width;
  const grad = t.grads.view(norm.name);
  recordColumnSum(p.list, { x: terms, scratch: p.acts.backward!.columns, grad }, rows, width);
}

/**
 * Backward through one block: `acts.backward.dx` holds the gradient of its output and receives that of its input (left alone
 * when `inputGradient` is false: nothing below needs it).
 */
function recordBlockBackward(
  p: Pass,
  t: BackwardTargets,
  index: number,
  block: BlockActivations,
  inputGradient: boolean,
): void {
  const { gpu, list, acts, batch } = p;
  const { config } = p.weights;
  const layer = p.weights.layers[index]!;
  const { normed, hidden } = acts.scratch;
  const b = acts.backward!;
  const gradients: LinearGradients = { ...t, lowRank: b.lowRank!, columns: b.columns };
  const linear = (fused: FusedLinear) => linearContext(p, index, fused, block);
  const terms = t.full ? b.normTerms : null;
  const eps = config.rmsNormEps;

  recordSwiGlu(list, block.gateUp, hidden);
  recordLinearBackward(linear('down'), gradients, hidden, b.dx, b.dHidden);
  recordSwiGluBackward(list, block.gateUp, b.dHidden, b.dGateUp);
  const post = { x: block.middle, weight: layer.postNorm.weight };
  recordRmsNorm(gpu, list, { ...post, y: normed }, eps);
  recordLinearBackward(linear('gate_up'), gradients, normed, b.dGateUp, b.dNormed);
  recordRmsNormBackward(gpu, list, { ...post, dy: b.dNormed, dx: b.dx, contribution: terms }, eps);
  if (terms) recordNormGradient(p, t, layer.postNorm, terms);

  recordLinearBackward(linear('o'), gradients, block.attended, b.dx, b.dAttended);
  recordAttentionBackward(gpu, list, config, {
    qkv: block.qkv,
    out: block.attended,
    dOut: b.dAttended,
    lse: block.lse!,
    delta: b.delta,
    starts: batch.starts,
    prefixes: batch.prefixes,
    ends: batch.ends,
    dQkv: b.dQkv,
  });
  const rope = { raw: block.raw, positions: batch.positions, table: p.weights.rope, norms: headNorms(layer) };
  const headTerms = t.full ? b.headTerms : null;
  recordRopeBackward(list, config, { ...rope, grad: b.dQkv, contributions: headTerms });
  if (headTerms) {
    recordNormGradient(p, t, layer.qNorm!, headTerms.q);
    recordNormGradient(p, t, layer.kNorm!, headTerms.k);
  }
  const input = { x: block.x, weight: layer.inputNorm.weight };
  recordRmsNorm(gpu, list, { ...input, y: normed }, eps);
  recordLinearBackward(linear('qkv'), gradients, normed, b.dQkv, inputGradient ? b.dNormed : null);
  if (!inputGradient) return;
  recordRmsNormBackward(gpu, list, { ...input, dy: b.dNormed, dx: b.dx, contribution: terms }, eps);
  if (terms) recordNormGradient(p, t, layer.inputNorm, terms);
}

/**
 * Backward through all blocks and the embedding. `acts.backward.dx` holds the gradient of `recordForward`'s result. With
 * checkpointing, each block is run forward again from its saved input first; the last one's activations are still there.
 */
export function recordBackward(p: Pass, t: BackwardTargets): void {
  const { acts, batch } = p;
  const last = p.weights.config.numLayers - 1;
  for (let l = last; l >= 0; l--) {
    const block = acts.block(l);
    if (acts.checkpointing && l < last) recordBlock(p, l, block, acts.scratch.discarded!);
    recordBlockBackward(p, t, l, block, l > 0 || t.full);
  }
  if (!t.full) return;
  recordEmbeddingBackward(p.list, {
    dx: acts.backward!.dx,
    order: batch.order,
    starts: batch.orderStarts,
    ids: batch.orderIds,
    grad: t.grads.view(p.weights.embed.name),
  });
}
