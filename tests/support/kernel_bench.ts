/** @file What kernel tests share: a device, poisoned outputs, noise, and the two kinds of device every kernel is written for. */
import { requestDawnDevice } from '../../server/dawn.ts';
import { hash32, toUnit } from '../../src/core/random.ts';
import { GpuContext } from '../../src/gpu/runtime/context.ts';
import { DispatchList } from '../../src/gpu/runtime/dispatch_list.ts';
import type { DType, Tensor } from '../../src/gpu/runtime/tensor.ts';
import { createTensor, readTensor, sizeOf, writeTensor } from '../../src/gpu/runtime/tensor.ts';

/** Uniform noise in (−1, 1). */
export const noise = (n: number, seed: number): Float32Array =>
  Float32Array.from({ length: n }, (_, i) => toUnit(hash32(seed, i)) * 2 - 1);

/** What an output holds before it is written: nothing that a kernel could produce. */
export const poison = 1e30;

/** The kernels of software devices, and those of real GPUs (which a software device runs too, slowly). */
export const deviceKinds = ['software', 'real'] as const;

export class KernelBench {
  private constructor(readonly gpu: GpuContext) {}

  static async open(kind: (typeof deviceKinds)[number]): Promise<KernelBench> {
    const gpu = new GpuContext(await requestDawnDevice());
    if (kind === 'real') Object.assign(gpu.capabilities, { software: false, lanes: false });
    return new KernelBench(gpu);
  }

  input(shape: readonly number[], data: Float32Array | Uint32Array): Tensor {
    const dtype: DType = data instanceof Uint32Array ? 'u32' : 'f32';
    const tensor = createTensor(this.gpu, 'input', shape, dtype);
    writeTensor(this.gpu, tensor, data);
    return tensor;
  }

  /** A tensor of poison. */
  output(shape: readonly number[]): Tensor {
    return this.input(shape, new Float32Array(sizeOf(shape)).fill(poison));
  }

  /** Record, run, and read tensors back. */
  async run(record: (list: DispatchList) => void, ...outputs: Tensor[]): Promise<Float32Array[]> {
    const list = new DispatchList(this.gpu);
    record(list);
    list.submit();
    return Promise.all(outputs.map((t) => readTensor(this.gpu, t)));
  }

  close(): void {
    this.gpu.destroy();
    this.gpu.device.destroy();
  }
}
