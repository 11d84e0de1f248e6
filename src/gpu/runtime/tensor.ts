/** @file `Tensor`: a shape and a type over a range of a GPU buffer. */
import type { GpuContext } from './context.ts';

export type DType = 'f32' | 'f16' | 'u32' | 'i32';

export const bytesPerElement = (dtype: DType): number => (dtype === 'f16' ? 2 : 4);

/** A dense row-major array on the GPU. `offset` in bytes, a multiple of 256 so that it can be bound. */
export interface Tensor {
  readonly buffer: GPUBuffer;
  readonly offset: number;
  readonly shape: readonly number[];
  readonly dtype: DType;
}

export const sizeOf = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);
export const byteLength = (t: Tensor): number => sizeOf(t.shape) * bytesPerElement(t.dtype);

/** A new zeroed tensor in its own buffer. */
export function createTensor(
  gpu: GpuContext,
  label: string,
  shape: readonly number[],
  dtype: DType = 'f32',
): Tensor {
  return { buffer: gpu.createBuffer(sizeOf(shape) * bytesPerElement(dtype), label), offset: 0, shape, dtype };
}

/** Upload host data. f16 tensors take their bits as Uint16Array. */
export function writeTensor(
  gpu: GpuContext,
  t: Tensor,
  data: Float32Array | Uint32Array | Int32Array | Uint16Array,
): void {
  const padded = data.byteLength % 4 === 0 ? data : pad(data);
  gpu.device.queue.writeBuffer(t.buffer, t.offset, padded as BufferSource);
}

function pad(data: ArrayBufferView): Uint8Array {
  const out = new Uint8Array(Math.ceil(data.byteLength / 4) * 4);
  out.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  return out;
}

/** Read an f32 tensor back. */
export async function readTensor(gpu: GpuContext, t: Tensor): Promise<Float32Array> {
  return new Float32Array(await gpu.read(t.buffer, t.offset, byteLength(t)));
}
