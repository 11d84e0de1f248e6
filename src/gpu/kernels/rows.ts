/** @file Kernels in which a team of invocations works on one row, and the reductions over a row that they share. */
import type { GpuContext } from '../runtime/context.ts';
import type { KernelSpec } from '../runtime/kernel.ts';
import type { Workgroups } from '../runtime/dispatch_list.ts';
import { grid, kernelSpec } from '../runtime/wgsl.ts';

/** What a row kernel is made of. */
export interface RowKernel {
  name: string;
  reads: Record<string, string>;
  writes: Record<string, string>;
  /** Elements of a row. */
  width: number;
  /** WGSL of the number of rows. */
  rows: string;
  /** WGSL of one row's work: knows `row`, `lane`, `row_sum(x, lane)` and `row_max(x, lane)`, and strides by `threads`. */
  body: (threads: number) => string;
}

/** Rows of a workgroup where a subgroup of four is a team. */
const rowsPerGroup = 16;

/** The kernel and its grid for `rows` rows. Reductions have a fixed order and give every invocation the same bits. */
export function rowKernel(
  gpu: GpuContext,
  k: RowKernel,
  rows: number,
): { spec: KernelSpec; workgroups: Workgroups } {
  if (gpu.capabilities.lanes) {
    const body = `
fn row_sum(value: f32, lane: u32) -> f32 { return subgroupAdd(value); }
fn row_max(value: f32, lane: u32) -> f32 { return subgroupMax(value); }
@compute @workgroup_size(4, ${rowsPerGroup})
fn main(
  @builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_id) local: vec3u,
) {
  let row = (group.y * groups.x + group.x) * ${rowsPerGroup}u + local.y;
  let lane = local.x;
  if (row >= ${k.rows}) { return; }
  ${k.body(4)}
}`;
    const spec = kernelSpec(k.name, k.reads, k.writes, body, { subgroups: true });
    return { spec, workgroups: grid(Math.ceil(rows / rowsPerGroup)) };
  }
  // A workgroup a row. Few invocations on a software device, where a barrier costs more than a loop.
  const threads = gpu.capabilities.software ? 4 : k.width <= 64 ? 32 : k.width <= 1024 ? 64 : 256;
  const body = `
${reduction('row_sum', threads, (a, b) => `${a} + ${b}`)}
${reduction('row_max', threads, (a, b) => `max(${a}, ${b})`)}
@compute @workgroup_size(${threads})
fn main(
  @builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let row = group.y * groups.x + group.x;
  if (row >= ${k.rows}) { return; }
  ${k.body(threads)}
}`;
  return { spec: kernelSpec(k.name, k.reads, k.writes, body), workgroups: grid(rows) };
}

/** WGSL `name(value, lane)`: `value` combined over the workgroup, halving the number of terms each step. */
const reduction = (name: string, threads: number, combine: (a: string, b: string) => string): string => `
var<workgroup> ${name}_parts: array<f32, ${threads}>;
fn ${name}(value: f32, lane: u32) -> f32 {
  workgroupBarrier();
  ${name}_parts[lane] = value;
  workgroupBarrier();
  for (var step = ${threads / 2}u; step > 0u; step /= 2u) {
    if (lane < step) { ${name}_parts[lane] = ${combine(`${name}_parts[lane]`, `${name}_parts[lane + step]`)}; }
    workgroupBarrier();
  }
  return ${name}_parts[0];
}`;
