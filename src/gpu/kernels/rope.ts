/**
 * @file Rotary position embedding of queries and keys, after Qwen3's per-head RMS norm where the model has one; forward
 * and backward. Queries, keys and values lie side by side in one matrix `[N, (H + 2·Kv)·hd]`, as one product writes
 * them. Dimension i is paired with i + hd/2 (Hugging Face's layout): `(a, b) → (a·cos − b·sin, b·cos + a·sin)`.
 */
import type { GpuContext } from '../runtime/context.ts';
import type { DispatchList } from '../runtime/dispatch_list.ts';
import type { Tensor } from '../runtime/tensor.ts';
import { createTensor, writeTensor } from '../runtime/tensor.ts';
import { elementwise, f32Literal, flatGrid } from '../runtime/wgsl.ts';
import type { ModelConfig } from '../model/config.ts';

/**
 * Rotation frequency of each pair in radians per position. [hd/2] Llama 3's scaling (Meta, 2024): wavelengths above
 * `original / lowFreqFactor` are stretched by `factor`, those below `original / highFreqFactor` are left, and those between
 * are interpolated.
 */
export function ropeFrequencies(c: ModelConfig): Float64Array {
  return Float64Array.from({ length: c.headDim / 2 }, (_, i) => {
    const frequency = c.ropeTheta ** ((-2 * i) / c.headDim);
    const scaling = c.ropeScaling;
    if (!scaling) return frequency;
    const wavelength = (2 * Math.PI) / frequency;
    const { factor, lowFreqFactor, highFreqFactor, originalMaxPositionEmbeddings: original } = scaling;
    if (wavelength > original / lowFreqFactor) return frequency / factor;
    if (wavelength < original / highFreqFactor) return frequency;
    const smooth = (original / wavelength - lowFreqFactor) / (highFreqFactor - lowFreqFactor);
    return ((1 - smooth) * frequency) / factor + smooth * frequency;
  });
}

/**
 * Cosines and sines of every position, computed in f64: GPUs' own lose digits at large angles. `[positions, hd]`: hd/2
 * cosines, then hd/2 sines.
 */
export function createRopeTable(gpu: GpuContext, c: ModelConfig, positions: number): Tensor {
  const half = c.headDim / 2;
  const frequencies = ropeFrequencies(c);
  const table = createTensor(gpu, 'rope', [positions, c.headDim]);
  const rows = 4096;
  for (let first = 0; first < positions; first += rows) {
    const count = Math.min(rows, positions - first);
    const values = new Float32Array(count * c.headDim);
    for (let p = 0; p < count; p++)
      for (let i = 0; i < half; i++) {
        const angle = (first + p) * frequencies[i]!;
        values[p * c.headDim + i] = Math.cos(angle);
        values[p * c.headDim + half + i] = Math.sin(angle);
      }
    writeTensor(gpu, { ...table, offset: first * c.headDim * 4 }, values);
  }
  return table;
}

/** What the kernels need of a model. */
export interface RopeShape {
  numHeads: number;
  numKvHeads: number;
  headDim: number;
  rmsNormEps: number;
}

/** The weights of Qwen3's head norms, [hd] each. */
export interface HeadNorms {
  q: Tensor;
  k: Tensor;
}

/** WGSL: where head `head` of token `n` begins in the fused matrix, its rstd, and the weight of its norm. */
function headWgsl(s: RopeShape, normed: boolean): string {
  const width = (s.numHeads + 2 * s.numKvHeads) * s.headDim;
  return `
fn first_of(n: u32, head: u32) -> u32 { return n * ${width}u + head * ${s.headDim}u; }
${
  normed
    ? `fn rstd_of(first: u32) -> f32 {
  var squares = 0.0;
  for (var i = 0u; i < ${s.headDim}u; i++) { squares += raw[first + i] * raw[first + i]; }
  return inverseSqrt(squares / ${f32Literal(s.headDim)} + ${f32Literal(s.rmsNormEps)});
}
fn weight_of(head: u32, i: u32) -> f32 {
  if (head < ${s.numHeads}u) { return q_norm[i]; }
  return k_norm[i];
}`
    : ''
}`;
}

/**
 * `qkv = rope(norm(raw))` on query and key heads; values are copied. raw, qkv [N, (H + 2·Kv)·hd]; positions [N] u32;
 * table from `createRopeTable`. One invocation a head of a token.
 */
export function recordRope(
  list: DispatchList,
  shape: RopeShape,
  tensors: { raw: Tensor; positions: Tensor; table: Tensor; norms: HeadNorms | null; qkv: Tensor },
): void {
  const { raw, positions, table, norms, qkv } = tensors;
  const { numHeads, numKvHeads, headDim } = shape;
  const heads = numHeads + 2 * numKvHeads;
  const half = headDim / 2;
  const count = raw.shape[0]! * heads;
  const spec = elementwise(
    'rope',
    `arrayLength(&positions) * ${heads}u`,
    { raw: 'f32', positions: 'u32', table: 'f32', ...(norms && { q_norm: 'f32', k_norm: 'f32' }) },
    { qkv: 'f32' },
    `
  let n = i / ${heads}u;
  let head = i % ${heads}u;
  let first = first_of(n, head);
  if (head >= ${numHeads + numKvHeads}u) {
    for (var j = 0u; j < ${headDim}u; j++) { qkv[first + j] = raw[first + j]; }
    return;
  }
  ${norms ? 'let rstd = rstd_of(first);' : ''}
  let turn = min(positions[n], ${table.shape[0]! - 1}u) * ${headDim}u;
  for (var j = 0u; j < ${half}u; j++) {
    let a = raw[first + j]${norms ? ' * rstd * weight_of(head, j)' : ''};
    let b = raw[first + j + ${half}u]${norms ? ` * rstd * weight_of(head, j + ${half}u)` : ''};
    let c = table[turn + j];
    let s = table[turn + j + ${half}u];
    qkv[first + j] = a * c - b * s;
    qkv[first + j + ${half}u] = b * c + a * s;
  }`,
    headWgsl(shape, norms !== null),
  );
  list.add(spec, [raw, positions, table, ...(norms ? [norms.q, norms.k] : []), qkv], flatGrid(count));
}

/**
 * In place: the gradient of `qkv` becomes the gradient of `raw`. With `contributions`, the terms of the norm weights'
 * gradients are written for a column sum: `q` [N·H, hd], `k` [N·Kv, hd]. `raw` is only read under norms.
 */
export function recordRopeBackward(
  list: DispatchList,
  shape: RopeShape,
  tensors: {
    raw: Tensor;
    positions: Tensor;
    table: Tensor;
    norms: HeadNorms | null;
    grad: Tensor;
    contributions?: { q: Tensor; k: Tensor } | null;
  },
): void {
  const { raw, positions, table, norms, grad, contributions } = tensors;
  const { numHeads, numKvHeads, headDim } = shape;
  const heads = numHeads + numKvHeads;
  const half = headDim / 2;
  const count = grad.shape[0]! * heads;
  const contribute = contributions && norms;
  const spec = elementwise(
    'rope_backward',
    `arrayLength(&positions) * ${heads}u`,
    { positions: 'u32', table: 'f32', ...(norms && { raw: 'f32', q_norm: 'f32', k_norm: 'f32' }) },
    { grad: 'f32', ...(contribute && { q_terms: 'f32', k_terms: 'f32' }) },
    `
  let n = i / ${heads}u;
  let head = i % ${heads}u;
  let first = first_of(n, head);
  let turn = min(positions[n], ${table.shape[0]! - 1}u) * ${headDim}u;
  for (var j = 0u; j < ${half}u; j++) {
    let a = grad[first + j];
    let b = grad[first + j + ${half}u];
    let c = table[turn + j];
    let s = table[turn + j + ${half}u];
    grad[first + j] = a * c + b * s;
    grad[first + j + ${half}u] = b * c - a * s;
  }
  ${
    norms
      ? `
  let rstd = rstd_of(first);
  var products = 0.0;
  for (var j = 0u; j < ${headDim}u; j++) { products += grad[first + j] * weight_of(head, j) * raw[first + j]; }
  let slope = rstd * rstd * products / ${f32Literal(headDim)};
  for (var j = 0u; j < ${headDim}u; j++) {
    let value = raw[first + j];
    let upstream = grad[first + j];
    ${
      contribute
        ? `if (head < ${numHeads}u) { q_terms[(n * ${numHeads}u + head) * ${headDim}u + j] = upstream * value * rstd; }
    else { k_terms[(n * ${numKvHeads}u + head - ${numHeads}u) * ${headDim}u + j] = upstream * value * rstd; }`
        : ''
    }
    grad[first + j] = rstd * (upstream * weight_of(head, j) - value * slope);
  }`
      : ''
  }`,
    headWgsl(shape, norms !== null),
  );
  const read = [positions, table, ...(norms ? [raw, norms.q, norms.k] : [])];
  list.add(spec, [...read, grad, ...(contribute ? [contributions.q, contributions.k] : [])], flatGrid(count));
}
