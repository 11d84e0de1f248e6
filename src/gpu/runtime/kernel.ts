/**
 * @file Kernels: WGSL with its shapes baked in, compiled once, dispatched from recorded lists.
 *
 * A kernel's bindings are all storage buffers in group 0, numbered in the order of `bindings`. Values that change from
 * step to step (learning rate, seed, row count) travel in small buffers like any other tensor, so that a recorded list
 * can be replayed without being rebuilt.
 */

/** One compiled program. */
export interface Kernel {
  readonly name: string;
  readonly pipeline: GPUComputePipeline;
  readonly layout: GPUBindGroupLayout;
}

export interface KernelSpec {
  /** Distinct for every distinct WGSL text: name plus baked constants. */
  key: string;
  name: string;
  wgsl: string;
  /** Access of each binding, in order. */
  bindings: readonly ('read' | 'read_write')[];
}

export function buildKernel(device: GPUDevice, spec: KernelSpec): Kernel {
  const layout = device.createBindGroupLayout({
    label: spec.name,
    entries: spec.bindings.map((access, binding) => ({
      binding,
      visibility: GPUShaderStage.COMPUTE,
      buffer: { type: access === 'read' ? 'read-only-storage' : 'storage' },
    })),
  });
  const pipeline = device.createComputePipeline({
    label: spec.name,
    layout: device.createPipelineLayout({ bindGroupLayouts: [layout] }),
    compute: { module: device.createShaderModule({ label: spec.name, code: spec.wgsl }), entryPoint: 'main' },
  });
  return { name: spec.name, pipeline, layout };
}
