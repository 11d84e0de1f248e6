/**
 * @file TensorFlow.js on the engine's own GPUDevice, for comparison. Its packages are development dependencies, loaded only when they
 * are asked for.
 */
import type * as tfjsModule from '@tensorflow/tfjs';
import type * as backendModule from '@tensorflow/tfjs-backend-webgpu';
import type { MatmulKind } from '../../src/gpu/kernels/matmul.ts';
import type { Tensor } from '../../src/gpu/runtime/tensor.ts';
import type { Subject } from './timing.ts';

export type TfModule = typeof tfjsModule;
type BackendModule = typeof backendModule;

/** Its WebGPU kernels are registered under this name. */
const backendName = 'webgpu';

/** A product by TensorFlow.js on GPU buffers that are there. */
export interface TfjsProduct extends Subject {
  /** Entries of the result at `[row, column]`. */
  entries(places: readonly (readonly [number, number])[]): Promise<ArrayLike<number>>;
  dispose(): Promise<void>;
}

/** TensorFlow.js with a backend on our device. */
export class Tfjs {
  constructor(
    readonly tf: TfModule,
    readonly version: string,
  ) {}

  /** `a × b` of f32 tensors that stay where they are. */
  product(kind: MatmulKind, a: Tensor, b: Tensor): TfjsProduct {
    const { tf } = this;
    const wrap = (t: Tensor) => tf.tensor({ buffer: t.buffer, zeroCopy: true }, [...t.shape], 'float32');
    const [x, y] = [wrap(a), wrap(b)];
    const multiply = () => tf.matMul(x, y, kind === 'TN', kind === 'NT');
    /** Reading one entry of the last product waits for all that were queued. */
    const finish = async (of: ReturnType<typeof multiply>): Promise<void> => {
      const entry = of.slice([0, 0], [1, 1]);
      await entry.data();
      entry.dispose();
    };
    return {
      run: async (times) => {
        for (let i = 1; i < times; i++) multiply().dispose();
        const last = multiply();
        await finish(last);
        last.dispose();
      },
      entries: async (places) => {
        const gathered = tf.tidy(() =>
          tf.gatherND(
            multiply(),
            tf.tensor2d(
              places.map((p) => [...p]),
              undefined,
              'int32',
            ),
          ),
        );
        const values = await gathered.data();
        gathered.dispose();
        return values as Float32Array;
      },
      dispose: async () => {
        // Commands that name our buffers must be on their way before those are freed.
        const last = multiply();
        await finish(last);
        for (const t of [last, x, y]) t.dispose();
      },
    };
  }
}

/** Load the packages. Throws an error that says what to install. */
async function load(): Promise<{ tf: TfModule; backend: BackendModule }> {
  try {
    const tf = await import('@tensorflow/tfjs');
    const backend = await import('@tensorflow/tfjs-backend-webgpu');
    return { tf, backend };
  } catch (cause) {
    throw new Error(
      'TensorFlow.js is not installed; it is a development dependency (npm i -D @tensorflow/tfjs @tensorflow/tfjs-backend-webgpu).',
      { cause },
    );
  }
}

/** Give TensorFlow.js a backend on the device, do the work, and free what it allocated. The device stays. */
export async function withTfjs<T>(device: GPUDevice, work: (tfjs: Tfjs) => Promise<T>): Promise<T> {
  const { tf, backend } = await load();
  claimWebGpu();
  if (tf.findBackendFactory(backendName)) tf.removeBackend(backendName);
  // Its types come from another version of @webgpu/types than ours.
  const info = device.adapterInfo as ConstructorParameters<typeof backend.WebGPUBackend>[1];
  tf.registerBackend(backendName, () => new backend.WebGPUBackend(device, info));
  if (!(await tf.setBackend(backendName))) throw new Error('TensorFlow.js refused its WebGPU backend.');
  tf.engine().startScope();
  try {
    return await work(new Tfjs(tf, tf.version.tfjs));
  } finally {
    tf.engine().endScope();
    await device.queue.onSubmittedWorkDone();
    tf.removeBackend(backendName);
  }
}

/** TensorFlow.js takes `navigator.gpu` as the sign of WebGPU, and asks it for nothing when it is handed a device. */
function claimWebGpu(): void {
  const holder = globalThis as { navigator?: object };
  if (!holder.navigator) Object.defineProperty(holder, 'navigator', { configurable: true, value: {} });
  if (!('gpu' in holder.navigator!))
    Object.defineProperty(holder.navigator, 'gpu', { configurable: true, value: {} });
}

/** Why TensorFlow.js cannot run on this device; null when it can. */
export async function tfjsObstacle(device: GPUDevice): Promise<string | null> {
  try {
    return await withTfjs(device, async ({ tf }) => {
      const product = tf.matMul(tf.ones([32, 32]), tf.ones([32, 32]));
      const values = await product.data();
      return values.every((x) => x === 32)
        ? null
        : `TensorFlow.js multiplies wrongly on this device (${values[0]} for 32).`;
    });
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}
