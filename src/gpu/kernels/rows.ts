/** @file Kernels in which one workgroup works on one row, and the reductions over a row they share. */
import type { GpuContext } from '../runtime/context.ts';

/** Invocations that share a row: few on a software device, where a barrier costs more than a loop. */
export const rowThreads = (gpu: GpuContext, width: number): number =>
  gpu.capabilities.software ? 4 : width <= 64 ? 32 : width <= 1024 ? 64 : 256;

/**
 * WGSL `name(value, lane)`: `value` combined over the workgroup, in a fixed order, the same bits in every invocation.
 * `combine` must be associative and commutative up to rounding.
 */
export const rowReduce = (
  name: string,
  threads: number,
  combine: (a: string, b: string) => string,
): string => `
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

/** The head of a kernel in which one workgroup of `threads` works on one of `rows` (WGSL) rows, over `grid(rows)`. */
export const rowMain = (threads: number, rows: string, body: string): string => `
@compute @workgroup_size(${threads})
fn main(
  @builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let row = group.y * groups.x + group.x;
  if (row >= ${rows}) { return; }
  ${body}
}`;
