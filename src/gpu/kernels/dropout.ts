/**
 * @file Dropout on a LoRA's input. The mask is a hash of (run seed, optimizer step, sequence, position, module, feature): it does
 * not depend on how a batch is split, and backward computes it again instead of storing it.
 */
import type { DispatchList } from '../runtime/dispatch_list.ts';
import type { Tensor } from '../runtime/tensor.ts';
import { elementwise, f32Literal, flatGrid } from '../runtime/wgsl.ts';
import { randomWgsl } from './random.ts';

export interface DropoutTensors {
  /** [N, K] */
  x: Tensor;
  /** [N, K] */
  out: Tensor;
  /** In [0, 1). */
  probability: number;
  /** [2] u32: run seed, optimizer step. */
  seeds: Tensor;
  /** [N] u32: number of each token's sequence in the batch. */
  sequences: Tensor;
  /** [N] u32 */
  positions: Tensor;
}

/**
 * `out = x·mask/(1 − p)`, or added to `out` with `accumulate`; the mask is its own derivative. `key` tells modules apart.
 * The hash is `hash32(seed, step, key, sequence, position, feature)` of `src/core/random.ts`; a feature is kept when its
 * 32 bits are at least p·2³².
 */
export function recordDropout(list: DispatchList, t: DropoutTensors, key: number, accumulate: boolean): void {
  const [rows, width] = t.out.shape as [number, number];
  const spec = elementwise(
    'dropout',
    'arrayLength(&out)',
    { x: 'f32', seeds: 'u32', sequences: 'u32', positions: 'u32' },
    { out: 'f32' },
    `
  let n = i / ${width}u;
  let token = hash3(hash3(seeds[0], seeds[1], ${key}u) ^ sequences[n], positions[n], i % ${width}u);
  let kept = select(0.0, ${f32Literal(1 / (1 - t.probability))}, token >= ${Math.min(2 ** 32 - 1, Math.round(t.probability * 2 ** 32))}u);
  out[i] ${accumulate ? '+=' : '='} x[i] * kept;`,
    randomWgsl,
  );
  list.add(spec, [t.x, t.seeds, t.sequences, t.positions, t.out], flatGrid(rows * width));
}
