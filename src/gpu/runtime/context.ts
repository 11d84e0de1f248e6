/**
 * @file `GpuContext`: one GPUDevice with what the engine needs to know about it: capabilities, a kernel cache and a
 * ledger of allocated bytes. It never requests a device itself: the host (page, worker, Node) hands one in.
 */
import { DeviceError } from '../../core/errors.ts';
import type { Kernel, KernelSpec } from './kernel.ts';
import { buildKernel } from './kernel.ts';

/** What kernels may use, read once from the device. */
export interface Capabilities {
  /** `f16` storage and arithmetic in WGSL. */
  f16: boolean;
  subgroups: boolean;
  /** The device is a CPU in disguise (SwiftShader): costly loads and barriers. */
  software: boolean;
  /** It has subgroups of exactly four invocations, which `lanes` kernels are written for. */
  lanes: boolean;
  /** Most invocations in a workgroup. */
  maxInvocations: number;
  /** Bytes of workgroup memory. */
  workgroupBytes: number;
  maxBindingBytes: number;
  vendor: string;
  architecture: string;
}

/** The limits the engine asks a device for, read from the adapter; pass the result to `requestDevice`. */
export function engineDeviceDescriptor(adapter: GPUAdapter): GPUDeviceDescriptor {
  const wanted = [
    'maxBufferSize',
    'maxStorageBufferBindingSize',
    'maxStorageBuffersPerShaderStage',
    'maxComputeWorkgroupStorageSize',
    'maxComputeInvocationsPerWorkgroup',
    'maxComputeWorkgroupSizeX',
  ] as const;
  const requiredLimits: Record<string, number> = {};
  for (const name of wanted) requiredLimits[name] = adapter.limits[name];
  const optional: GPUFeatureName[] = ['shader-f16', 'subgroups', 'timestamp-query'];
  return { requiredLimits, requiredFeatures: optional.filter((f) => adapter.features.has(f)) };
}

/** Compiled kernels by device: engines that share a device share them, and compiling is what costs most in a short run. */
const kernelsOf = new WeakMap<GPUDevice, Map<string, Kernel>>();

/** One device, its capabilities, its kernels and its bytes. */
export class GpuContext {
  readonly capabilities: Capabilities;
  private readonly kernels: Map<string, Kernel>;
  private readonly sizes = new Map<GPUBuffer, number>();
  /** Bytes allocated now, and the most there ever were (`perf/peak_bytes`). */
  allocatedBytes = 0;
  peakBytes = 0;
  /** Set when the device is lost or refuses a command; every later call throws it. */
  lost: DeviceError | null = null;

  private readonly onError = ({ error }: GPUUncapturedErrorEvent): void => {
    const memory = typeof GPUOutOfMemoryError !== 'undefined' && error instanceof GPUOutOfMemoryError;
    this.lost ??= new DeviceError(
      memory ? `The GPU ran out of memory: ${error.message}` : `The GPU refused a command: ${error.message}`,
      memory
        ? 'Lower the batch size or the tokens per micro-batch, or turn on gradient checkpointing.'
        : 'This is a bug in the engine: please report it with this message.',
    );
  };

  constructor(readonly device: GPUDevice) {
    this.kernels = kernelsOf.get(device) ?? new Map<string, Kernel>();
    kernelsOf.set(device, this.kernels);
    const { limits, features } = device;
    const info = device.adapterInfo;
    const software = info?.isFallbackAdapter === true || info?.architecture === 'swiftshader';
    this.capabilities = {
      f16: features.has('shader-f16'),
      subgroups: features.has('subgroups'),
      software,
      lanes:
        software && features.has('subgroups') && info.subgroupMinSize === 4 && info.subgroupMaxSize === 4,
      maxInvocations: limits.maxComputeInvocationsPerWorkgroup,
      workgroupBytes: limits.maxComputeWorkgroupStorageSize,
      maxBindingBytes: limits.maxStorageBufferBindingSize,
      vendor: info?.vendor ?? 'unknown',
      architecture: info?.architecture ?? 'unknown',
    };
    device.addEventListener('uncapturederror', this.onError);
    void device.lost.then((why) => {
      this.lost = new DeviceError(
        `The GPU device was lost (${why.reason || 'unknown reason'}: ${why.message}).`,
        'Resume the run from its last checkpoint with a new device.',
      );
    });
  }

  /** Allocate a storage buffer of at least `bytes`, zeroed. Throws `DeviceError` when no binding can hold it. */
  createBuffer(
    bytes: number,
    label: string,
    usage: number = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST,
  ): GPUBuffer {
    this.assertAlive();
    const size = Math.max(16, Math.ceil(bytes / 16) * 16);
    if (size > this.capabilities.maxBindingBytes)
      throw new DeviceError(
        `${label} needs ${size} bytes in one buffer, this GPU binds at most ${this.capabilities.maxBindingBytes}.`,
        'Lower the batch size or the sequence length, or store the weights in f16.',
      );
    const buffer = this.device.createBuffer({ size, usage, label });
    this.sizes.set(buffer, size);
    this.allocatedBytes += size;
    this.peakBytes = Math.max(this.peakBytes, this.allocatedBytes);
    return buffer;
  }

  destroyBuffer(buffer: GPUBuffer): void {
    this.allocatedBytes -= this.sizes.get(buffer) ?? 0;
    this.sizes.delete(buffer);
    buffer.destroy();
  }

  /** The compiled kernel of a spec; compiled once per distinct spec. */
  kernel(spec: KernelSpec): Kernel {
    this.assertAlive();
    let kernel = this.kernels.get(spec.key);
    if (!kernel) this.kernels.set(spec.key, (kernel = buildKernel(this.device, spec)));
    return kernel;
  }

  /** Read `bytes` of a buffer back to the host. */
  async read(buffer: GPUBuffer, offset: number, bytes: number): Promise<ArrayBuffer> {
    this.assertAlive();
    const size = Math.ceil(bytes / 4) * 4;
    const staging = this.device.createBuffer({
      size,
      usage: GPUBufferUsage.COPY_DST | GPUBufferUsage.MAP_READ,
    });
    const encoder = this.device.createCommandEncoder();
    encoder.copyBufferToBuffer(buffer, offset, staging, 0, size);
    this.device.queue.submit([encoder.finish()]);
    try {
      await staging.mapAsync(GPUMapMode.READ);
      this.assertAlive();
      return staging.getMappedRange().slice(0, bytes);
    } catch (cause) {
      throw this.lost ?? new DeviceError('Reading back from the GPU failed.', undefined, { cause });
    } finally {
      staging.destroy();
    }
  }

  assertAlive(): void {
    if (this.lost) throw this.lost;
  }

  /** Free every buffer made here. The device itself belongs to the host. */
  destroy(): void {
    this.device.removeEventListener('uncapturederror', this.onError);
    for (const buffer of this.sizes.keys()) buffer.destroy();
    this.sizes.clear();
    this.allocatedBytes = 0;
  }
}
