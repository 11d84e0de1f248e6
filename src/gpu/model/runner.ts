/**
 * @file `ModelRunner`: the recorded programs of one model (weights with or without an adapter). A program is recorded once for a
 * number of tokens and rows, and replayed for every batch that fits the same buckets.
 */
import type { PackedBatch } from '../train/packing.ts';
import { bucket, positionsByToken } from '../train/packing.ts';
import type { JudgedTensors } from '../kernels/judged_rows.ts';
import { DispatchList } from '../runtime/dispatch_list.ts';
import type { Tensor } from '../runtime/tensor.ts';
import { writeTensor } from '../runtime/tensor.ts';
import type { LoraAdapter } from './adapter.ts';
import {
  chunksOf,
  recordHeadBackward,
  recordHeadInput,
  recordLogits,
  recordStatistics,
  rowsOf,
} from './head.ts';
import type { PassBuffers } from './pass_buffers.ts';
import type { BackwardTargets, Pass } from './transformer.ts';
import { recordBackward, recordForward } from './transformer.ts';
import type { ModelWeights } from './weights.ts';

/** Rows of the token axis whose prediction is judged, and the token each is judged by. */
export interface JudgedRows {
  rows: Uint32Array;
  targets: Uint32Array;
}

/** Statistics of judged rows, in their order. */
export interface RowStatistics {
  logprobs: Float32Array;
  entropies: Float32Array;
  /** 1 where the target was the most likely token. */
  correct: Float32Array;
}

/** What a training runner adds: where gradients go, and the seeds of dropout ([2] u32). */
export interface TrainingTargets extends BackwardTargets {
  seeds: Tensor;
  /** The weights with the adapter folded in; unused with dropout. */
  merged: ModelWeights | null;
}

/** Programs that depend on the number of tokens alone. */
interface BodyPrograms {
  forward: DispatchList;
  backward: DispatchList | null;
}

/** Programs that depend on the number of rows too. */
interface HeadPrograms {
  /** Final norm of the gathered rows. */
  input: DispatchList;
  /** Log-probs and entropies of all rows. */
  statistics: DispatchList;
  backward: DispatchList | null;
  /** Logits alone, a list a chunk. */
  logits: { first: number; count: number; list: DispatchList }[];
}

/** Programs of one model over shared buffers. */
export class ModelRunner {
  private readonly bodies = new Map<number, BodyPrograms>();
  private readonly headPrograms = new Map<string, HeadPrograms>();
  private version = -1;
  private body: BodyPrograms | null = null;
  private head: HeadPrograms | null = null;
  private judged: JudgedRows | null = null;

  constructor(
    readonly buffers: PassBuffers,
    readonly weights: ModelWeights,
    readonly adapter: LoraAdapter | null,
    private readonly training: TrainingTargets | null = null,
  ) {}

  /** Upload a micro-batch and choose its programs. */
  load(batch: PackedBatch, judged: JudgedRows, temperature = 1): void {
    const { buffers } = this;
    const { gpu } = buffers;
    const N = batch.tokens.length;
    const R = bucket(judged.rows.length);
    buffers.ensure(N, R);
    if (this.version !== buffers.version) {
      this.bodies.clear();
      this.headPrograms.clear();
    }
    this.version = buffers.version;
    const axis = buffers.axis(N);
    for (const name of ['tokens', 'positions', 'starts', 'prefixes', 'ends', 'sequences'] as const)
      writeTensor(gpu, axis[name], batch[name]);
    if (this.training?.full) {
      const { order, starts, ids } = positionsByToken(batch);
      writeTensor(gpu, axis.order, order);
      writeTensor(gpu, axis.orderStarts, starts);
      writeTensor(gpu, axis.orderIds, ids);
    }
    const rows = new Uint32Array(R).fill(0xffffffff);
    rows.set(judged.rows);
    const targets = new Uint32Array(R);
    targets.set(judged.targets);
    writeTensor(gpu, buffers.head.rows, rows);
    writeTensor(gpu, buffers.head.targets, targets);
    writeTensor(gpu, buffers.head.settings, Float32Array.of(temperature));
    const record = this.recorder(N);
    let body = this.bodies.get(N);
    if (!body) this.bodies.set(N, (body = this.recordBody(record)));
    const key = `${N}/${R}`;
    let head = this.headPrograms.get(key);
    if (!head) this.headPrograms.set(key, (head = this.recordHead(record, R)));
    this.body = body;
    this.head = head;
    this.judged = judged;
  }

  /** Records lists of passes over N tokens. */
  private recorder(N: number): (fill: (p: Pass) => void) => DispatchList {
    const { buffers, weights, adapter, training } = this;
    const { gpu } = buffers;
    const batch = buffers.axis(N);
    const probability = adapter?.config.dropout ?? 0;
    const dropout =
      training && probability > 0
        ? { probability, seeds: training.seeds, sequences: batch.sequences, positions: batch.positions }
        : null;
    const merged = dropout ? null : (training?.merged ?? null);
    const acts = buffers.activations.at(N, adapter?.config ?? null);
    return (fill) => {
      const list = new DispatchList(gpu);
      fill({ gpu, list, weights, adapter, merged, dropout, batch, acts });
      return list;
    };
  }

  private recordBody(record: (fill: (p: Pass) => void) => DispatchList): BodyPrograms {
    const { training } = this;
    return {
      forward: record((p) => void recordForward(p)),
      backward: training && record((p) => recordBackward(p, training)),
    };
  }

  private recordHead(record: (fill: (p: Pass) => void) => DispatchList, R: number): HeadPrograms {
    const { training, buffers, weights } = this;
    const { head } = buffers;
    return {
      input: record((p) => recordHeadInput(p, head, p.acts.input(weights.config.numLayers), R)),
      statistics: record((p) => recordStatistics(p, head, R)),
      backward: training && record((p) => recordHeadBackward(p, training, head, R)),
      logits: chunksOf(head, R).map(({ first, count }) => ({
        first,
        count,
        list: record((p) => void recordLogits(p, head, first, count)),
      })),
    };
  }

  /** Run the loaded batch forward, up to the statistics of its judged rows. */
  forward(): void {
    this.body!.forward.submit();
    this.head!.input.submit();
    this.head!.statistics.submit();
  }

  /** Read the statistics of the judged rows back. */
  async statistics(): Promise<RowStatistics> {
    const count = this.judged!.rows.length;
    const { gpu, head } = this.buffers;
    const values = new Float32Array(await gpu.read(head.statistics.buffer, 0, count * 16));
    const column = (c: number) => Float32Array.from({ length: count }, (_, i) => values[4 * i + c]!);
    return { logprobs: column(0), entropies: column(1), correct: column(2) };
  }

  /** ∂loss/∂lp of every judged row; the filling gets 0. */
  setCoefficients(coefficients: ArrayLike<number>): void {
    const { gpu, head } = this.buffers;
    const values = new Float32Array(bucket(this.judged!.rows.length));
    values.set(coefficients);
    writeTensor(gpu, head.coefficients, values);
  }

  /** The judged rows on the GPU, their filling included. */
  judgedTensors(): JudgedTensors {
    const count = bucket(this.judged!.rows.length);
    const { statistics, coefficients } = this.buffers.head;
    const first = (t: Tensor) => rowsOf(t, 0, count);
    return { statistics: first(statistics), coefficients: first(coefficients) };
  }

  /** From the coefficients to the gradients of all trainable parameters, added to what is there. */
  backward(): void {
    this.head!.backward!.submit();
    this.body!.backward!.submit();
  }

  /** Logits of the judged rows, [R, V], a chunk at a time. */
  async logits(): Promise<Float32Array> {
    const { gpu, head } = this.buffers;
    const V = this.weights.config.vocabSize;
    const count = this.judged!.rows.length;
    const out = new Float32Array(count * V);
    this.body!.forward.submit();
    this.head!.input.submit();
    const stride = head.logits.shape[1]!;
    for (const { first, list } of this.head!.logits) {
      list.submit();
      const rows = Math.max(0, Math.min(head.chunk, count - first));
      const chunk = new Float32Array(await gpu.read(head.logits.buffer, 0, rows * stride * 4));
      for (let r = 0; r < rows; r++) out.set(chunk.subarray(r * stride, r * stride + V), (first + r) * V);
    }
    return out;
  }
}
