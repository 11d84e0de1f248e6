/**
 * @file `DispatchList`: the program of a step, recorded once for a shape and replayed. Recording creates the bind groups;
 * replaying encodes them into one compute pass, which is what keeps a dispatch at a few microseconds.
 */
import type { GpuContext } from './context.ts';
import type { Kernel, KernelSpec } from './kernel.ts';
import type { Tensor } from './tensor.ts';
import { byteLength } from './tensor.ts';

export type Workgroups = readonly [x: number, y?: number, z?: number];

interface Dispatch {
  kernel: Kernel;
  bindGroup: GPUBindGroup;
  workgroups: Workgroups;
}

/** An ordered list of dispatches. */
export class DispatchList {
  private readonly dispatches: Dispatch[] = [];
  constructor(private readonly gpu: GpuContext) {}

  get length(): number {
    return this.dispatches.length;
  }

  /**
   * Append one dispatch. Tensors are bound in the order of the spec's bindings, rounded up to 16 bytes (as buffers are), so
   * that a kernel may read them four floats at a time.
   */
  add(spec: KernelSpec, tensors: readonly Tensor[], workgroups: Workgroups): void {
    const kernel = this.gpu.kernel(spec);
    const bindGroup = this.gpu.device.createBindGroup({
      label: spec.name,
      layout: kernel.layout,
      entries: tensors.map((t, binding) => ({
        binding,
        resource: { buffer: t.buffer, offset: t.offset, size: Math.ceil(byteLength(t) / 16) * 16 },
      })),
    });
    this.dispatches.push({ kernel, bindGroup, workgroups });
  }

  /** Encode every dispatch into one compute pass. */
  encode(encoder: GPUCommandEncoder): void {
    const pass = encoder.beginComputePass();
    for (const { kernel, bindGroup, workgroups } of this.dispatches) {
      pass.setPipeline(kernel.pipeline);
      pass.setBindGroup(0, bindGroup);
      pass.dispatchWorkgroups(workgroups[0], workgroups[1], workgroups[2]);
    }
    pass.end();
  }

  /** Encode and submit. */
  submit(): void {
    this.gpu.assertAlive();
    const encoder = this.gpu.device.createCommandEncoder();
    this.encode(encoder);
    this.gpu.device.queue.submit([encoder.finish()]);
  }
}
