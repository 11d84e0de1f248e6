/**
 * @file From the last block's output to log-probs and back: gather the rows that matter, final norm, and the vocabulary in
 * chunks of rows, so that no `[N, V]` tensor exists for a large vocabulary.
 */
import {
  recordLogSoftmax,
  recordLogSoftmaxBackward,
  recordZero,
  statisticsWidth,
} from '../kernels/cross_entropy.ts';
import { recordGather, recordScatter } from '../kernels/embedding.ts';
import { recordMatmul } from '../kernels/matmul.ts';
import { recordRmsNorm, recordRmsNormBackward } from '../kernels/rmsnorm.ts';
import type { Capabilities, GpuContext } from '../runtime/context.ts';
import type { Tensor } from '../runtime/tensor.ts';
import { bytesPerElement, createTensor } from '../runtime/tensor.ts';
import type { BackwardTargets, Pass } from './transformer.ts';
import { recordNormGradient } from './transformer.ts';
import type { ModelConfig } from './config.ts';

/**
 * Bytes of a chunk of logits where nobody says. On a real GPU more than the memory asks for: the product of a chunk with the head's
 * weight has few outputs and a sum over the whole vocabulary, and fills the GPU only with some hundred rows.
 */
export const defaultChunkBytes = ({ software, maxBindingBytes }: Capabilities): number =>
  software ? 64 << 20 : Math.min(256 << 20, maxBindingBytes);

/** Floats of a row of logits: V, and up to three that fill the last vector. */
const logitsWidth = (config: ModelConfig): number => Math.ceil(config.vocabSize / 4) * 4;

/** Rows of a chunk of logits that fit into `bytes`, a multiple of 64. */
export const chunkRows = (config: ModelConfig, bytes: number): number =>
  Math.max(64, Math.floor(bytes / (logitsWidth(config) * 4) / 64) * 64);

/** Buffers of the head for up to `capacity` rows. */
export class HeadBuffers {
  /** Token of each row (0xffffffff: filling). [R] u32 */
  readonly rows: Tensor;
  /** Token that each row's logits are judged by. [R] u32 */
  readonly targets: Tensor;
  /** Temperature. [1] */
  readonly settings: Tensor;
  /** See `recordLogSoftmax`. [R, 4] */
  readonly statistics: Tensor;
  /** ∂loss/∂lp of each row. [R] */
  readonly coefficients: Tensor;
  readonly gathered: Tensor;
  readonly normed: Tensor;
  readonly dNormed: Tensor | null;
  readonly dGathered: Tensor | null;
  /** One chunk; rows are V rounded up to a multiple of 4, so that they can be read as vectors. [C, ≥ V] */
  readonly logits: Tensor;
  readonly chunk: number;

  constructor(
    private readonly gpu: GpuContext,
    config: ModelConfig,
    readonly capacity: number,
    options: { chunkBytes: number; backward: boolean },
  ) {
    const D = config.hiddenSize;
    this.chunk = Math.min(capacity, chunkRows(config, options.chunkBytes));
    this.rows = createTensor(gpu, 'head rows', [capacity], 'u32');
    this.targets = createTensor(gpu, 'head targets', [capacity], 'u32');
    this.settings = createTensor(gpu, 'head settings', [1]);
    this.statistics = createTensor(gpu, 'head statistics', [capacity, statisticsWidth]);
    this.coefficients = createTensor(gpu, 'head coefficients', [capacity]);
    this.gathered = createTensor(gpu, 'head gathered', [capacity, D]);
    this.normed = createTensor(gpu, 'head normed', [capacity, D]);
    this.dNormed = options.backward ? createTensor(gpu, 'head d normed', [capacity, D]) : null;
    this.dGathered = options.backward ? createTensor(gpu, 'head d gathered', [capacity, D]) : null;
    this.logits = createTensor(gpu, 'head logits', [this.chunk, logitsWidth(config)]);
  }

  destroy(): void {
    for (const t of [
      this.rows,
      this.targets,
      this.settings,
      this.statistics,
      this.coefficients,
      this.gathered,
      this.normed,
      this.dNormed,
      this.dGathered,
      this.logits,
    ])
      if (t) this.gpu.destroyBuffer(t.buffer);
  }
}

/** Rows `[first, first + count)` of a tensor. `first` a multiple of 64, so that the view can be bound. */
export const rowsOf = (t: Tensor, first: number, count: number): Tensor => {
  const width = t.shape.slice(1).reduce((a, b) => a * b, 1);
  const offset = t.offset + first * width * bytesPerElement(t.dtype);
  return { ...t, offset, shape: [count, ...t.shape.slice(1)] };
};

/** The chunks of R rows. */
export function chunksOf(head: HeadBuffers, rows: number): { first: number; count: number }[] {
  const chunks = [];
  for (let first = 0; first < rows; first += head.chunk)
    chunks.push({ first, count: Math.min(head.chunk, rows - first) });
  return chunks;
}

/** Gather R rows of `x` [N, D] and norm them. */
export function recordHeadInput(p: Pass, head: HeadBuffers, x: Tensor, rows: number): void {
  const { gpu, list, weights } = p;
  const gathered = rowsOf(head.gathered, 0, rows);
  recordGather(list, x, rowsOf(head.rows, 0, rows), gathered);
  const y = rowsOf(head.normed, 0, rows);
  recordRmsNorm(gpu, list, { x: gathered, weight: weights.norm.weight, y }, weights.config.rmsNormEps);
}

/** Logits of one chunk into `head.logits`. */
export function recordLogits(p: Pass, head: HeadBuffers, first: number, count: number): Tensor {
  const { hiddenSize: k, vocabSize: n } = p.weights.config;
  const logits = rowsOf(head.logits, 0, count);
  recordMatmul(
    p.gpu,
    p.list,
    { kind: 'NT', tokenRows: true, m: count, n, k, ldc: logits.shape[1]! },
    { a: rowsOf(head.normed, first, count), b: p.weights.head.weight, c: logits },
  );
  return logits;
}

/** Statistics of R rows; `recordHeadInput` comes first. */
export function recordStatistics(p: Pass, head: HeadBuffers, rows: number): void {
  for (const { first, count } of chunksOf(head, rows)) {
    const logits = recordLogits(p, head, first, count);
    recordLogSoftmax(p.gpu, p.list, p.weights.config.vocabSize, {
      logits,
      targets: rowsOf(head.targets, first, count),
      settings: head.settings,
      statistics: rowsOf(head.statistics, first, count),
    });
  }
}

/**
 * Backward of the head: from `head.coefficients` to the gradient of the last block's output in `acts.backward.dx` (other rows
 * become 0). A single chunk's logits are still there from `recordStatistics`; several are computed again.
 */
export function recordHeadBackward(p: Pass, t: BackwardTargets, head: HeadBuffers, rows: number): void {
  const { gpu, list, weights } = p;
  const { hiddenSize: D, vocabSize: V, rmsNormEps } = weights.config;
  const chunks = chunksOf(head, rows);
  for (const { first, count } of chunks) {
    const logits = chunks.length === 1 ? rowsOf(head.logits, 0, count) : recordLogits(p, head, first, count);
    recordLogSoftmaxBackward(list, {
      logits,
      targets: rowsOf(head.targets, first, count),
      settings: head.settings,
      statistics: rowsOf(head.statistics, first, count),
      coefficients: rowsOf(head.coefficients, first, count),
    });
    const weight = weights.head.weight;
    const dNormed = rowsOf(head.dNormed!, first, count);
    recordMatmul(
      gpu,
      list,
      { kind: 'NN', tokenRows: true, m: count, n: D, k: V, lda: logits.shape[1]! },
      { a: logits, b: weight, c: dNormed },
    );
    if (t.full)
      recordMatmul(
        gpu,
        list,
        { kind: 'TN', tokenRows: true, m: V, n: D, k: count, lda: logits.shape[1]!, accumulate: true },
        { a: logits, b: rowsOf(head.normed, first, count), c: t.grads.view(weights.head.name) },
      );
  }
  const { dx, normTerms } = p.acts.backward!;
  const dGathered = rowsOf(head.dGathered!, 0, rows);
  const terms = t.full ? { ...normTerms!, shape: [rows, D] } : null;
  recordZero(list, dGathered);
  recordRmsNormBackward(
    gpu,
    list,
    {
      x: rowsOf(head.gathered, 0, rows),
      weight: weights.norm.weight,
      dy: rowsOf(head.dNormed!, 0, rows),
      dx: dGathered,
      contribution: terms,
    },
    rmsNormEps,
  );
  if (terms) recordNormGradient(p, t, weights.norm, terms);
  recordZero(list, dx);
  recordScatter(list, dGathered, rowsOf(head.rows, 0, rows), dx);
}
