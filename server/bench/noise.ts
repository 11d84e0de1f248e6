/**
 * @file Random operands made on the GPU, each entry a function of its seed and index, so that a check on the host can make any entry
 * again; and a model of random weights that is made as fast as memory is copied.
 */
import { hash32, hashString, Rng } from '../../src/core/random.ts';
import type { ModelSource } from '../../src/gpu/formats/model_source.ts';
import { parameterShapes } from '../../src/gpu/formats/open_model.ts';
import { randomWgsl } from '../../src/gpu/kernels/random.ts';
import type { ModelConfig } from '../../src/gpu/model/config.ts';
import type { GpuContext } from '../../src/gpu/runtime/context.ts';
import { DispatchList } from '../../src/gpu/runtime/dispatch_list.ts';
import type { DType, Tensor } from '../../src/gpu/runtime/tensor.ts';
import { createTensor, sizeOf } from '../../src/gpu/runtime/tensor.ts';
import { elementwise, flatGrid } from '../../src/gpu/runtime/wgsl.ts';

/** Entry i of the operand of a seed: multiples of 1/64 in [−1, 1), exact in f16. */
export const noiseAt = (seed: number, index: number): number => (hash32(seed, index) >>> 25) / 64 - 1;

/** Run one elementwise kernel over a tensor. */
function fill(gpu: GpuContext, tensor: Tensor, count: number, type: string, body: string): void {
  const list = new DispatchList(gpu);
  list.add(elementwise('bench_fill', count, {}, { out: type }, body, randomWgsl), [tensor], flatGrid(count));
  list.submit();
}

/** A tensor of noise. f16 takes the same values as f32. */
export function noiseTensor(
  gpu: GpuContext,
  label: string,
  shape: readonly number[],
  seed: number,
  dtype: DType = 'f32',
): Tensor {
  const tensor = createTensor(gpu, label, shape, dtype);
  const value = (index: string) => `(f32(hash2(${seed}u, ${index}) >> 25u) / 64.0 - 1.0)`;
  if (dtype === 'f32') fill(gpu, tensor, sizeOf(shape), 'f32', `out[i] = ${value('i')};`);
  else
    fill(
      gpu,
      tensor,
      Math.ceil(sizeOf(shape) / 2),
      'u32',
      `out[i] = pack2x16float(vec2f(${value('2u * i')}, ${value('2u * i + 1u')}));`,
    );
  return tensor;
}

/** Fill an output with what no right result holds, so that an entry nobody wrote shows. */
export function poison(gpu: GpuContext, tensor: Tensor): void {
  fill(gpu, tensor, sizeOf(tensor.shape), 'f32', 'out[i] = 1e30;');
}

/** Entries of the pool that weights are cut from; no power of two, so that rows do not repeat in step. */
const poolSize = 4_000_037;

/**
 * A model whose matrices are cut from one pool of uniform numbers of standard deviation 0.02, each from its own place on: random enough
 * for speed, and billions of weights are there in seconds. Norms are 1.
 */
export function noiseModel(config: ModelConfig, seed: number): ModelSource {
  const shapes = parameterShapes(config);
  const rng = new Rng(seed);
  const bound = 0.02 * Math.sqrt(3);
  const pool = Float32Array.from({ length: poolSize }, () => (2 * rng.next() - 1) * bound);
  const shapeOf = (tensor: string): readonly number[] => {
    const shape = shapes.get(tensor);
    if (!shape) throw new RangeError(`The model has no tensor ${tensor}.`);
    return shape;
  };
  return {
    name: `noise-${config.family}-${seed}`,
    config,
    has: (tensor) => shapes.has(tensor),
    shape: shapeOf,
    read: async (tensor, start = 0, end) => {
      const shape = shapeOf(tensor);
      const width = shape[1] ?? 1;
      const values = new Float32Array(((end ?? shape[0]!) - start) * width);
      if (tensor.endsWith('norm.weight')) return values.fill(1);
      let from = (hash32(seed, hashString(tensor)) + start * width) % poolSize;
      for (let at = 0; at < values.length;) {
        const piece = pool.subarray(from, Math.min(poolSize, from + values.length - at));
        values.set(piece, at);
        at += piece.length;
        from = 0;
      }
      return values;
    },
  };
}
