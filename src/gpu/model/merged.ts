/**
 * @file Weights with an adapter folded in, `W' = W + (alpha/r)·B·A`: what samples and scores needs no LoRA products, and training
 * without dropout needs only those of the adapter's own gradients. The adapter stays the truth; the copy is made anew
 * whenever it has changed. Only for f32 weights, and where a second copy of the adapted matrices is cheap.
 */
import { recordMatmul } from '../kernels/matmul.ts';
import type { GpuContext } from '../runtime/context.ts';
import { DispatchList } from '../runtime/dispatch_list.ts';
import type { Tensor } from '../runtime/tensor.ts';
import { byteLength, createTensor } from '../runtime/tensor.ts';
import type { LoraAdapter } from './adapter.ts';
import type { FusedLinear, LayerWeights, ModelWeights } from './weights.ts';
import { fusedModules, linearSlices } from './weights.ts';

const fusedLinears = Object.keys(fusedModules) as FusedLinear[];

/** Most bytes of a merged copy. */
const affordableBytes = 256 << 20;

/** A merged copy of the matrices that an adapter changes; everything else is shared with the base weights. */
export class MergedWeights {
  readonly weights: ModelWeights;
  private readonly list: DispatchList;
  private readonly own: Tensor[] = [];
  private stale = true;

  /** The merged copy, or null where it is not affordable or the weights are not f32. */
  static of(gpu: GpuContext, base: ModelWeights, adapter: LoraAdapter | null): MergedWeights | null {
    if (!adapter) return null;
    const matrices = base.layers.flatMap((layer) =>
      fusedLinears.filter((fused) => isAdapted(adapter, fused)).map((fused) => layer[fused].weight),
    );
    const bytes = matrices.reduce((sum, t) => sum + byteLength(t), 0);
    const fits = bytes <= affordableBytes && matrices.every((t) => t.dtype === 'f32');
    return fits ? new MergedWeights(gpu, base, adapter) : null;
  }

  private constructor(
    private readonly gpu: GpuContext,
    base: ModelWeights,
    adapter: LoraAdapter,
  ) {
    this.list = new DispatchList(gpu);
    const encoder = gpu.device.createCommandEncoder();
    const layers = base.layers.map((layer, l): LayerWeights => {
      const merged = { ...layer };
      for (const fused of fusedLinears) {
        if (!isAdapted(adapter, fused)) continue;
        const from = layer[fused].weight;
        const to = createTensor(gpu, `merged ${layer[fused].name}`, from.shape);
        this.own.push(to);
        // Rows of modules without LoRA stay as they are.
        encoder.copyBufferToBuffer(from.buffer, from.offset, to.buffer, 0, byteLength(from));
        merged[fused] = { ...layer[fused], weight: to };
        const n = from.shape[1]!;
        for (const { module, start, width } of linearSlices(base.config, fused)) {
          const pair = adapter.layers[l]![module];
          if (!pair) continue;
          recordMatmul(
            gpu,
            this.list,
            { kind: 'NN', m: width, n, k: adapter.config.r, cOffset: start * n, alpha: adapter.scale },
            { a: pair.b, b: pair.a, c: to, add: from },
          );
        }
      }
      return merged;
    });
    gpu.device.queue.submit([encoder.finish()]);
    this.weights = { ...base, layers };
  }

  /** The adapter has changed: merge again before the next use. */
  invalidate(): void {
    this.stale = true;
  }

  /** Merge if the adapter has changed since. */
  refresh(): void {
    if (this.stale) this.list.submit();
    this.stale = false;
  }

  destroy(): void {
    for (const tensor of this.own) this.gpu.destroyBuffer(tensor.buffer);
  }
}

const isAdapted = (adapter: LoraAdapter, fused: FusedLinear): boolean =>
  fusedModules[fused].some((module) => adapter.config.targetModules.includes(module));
