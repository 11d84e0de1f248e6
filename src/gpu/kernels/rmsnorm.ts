/**
 * @file RMS norm, `y = x·rstd·w` with `rstd = (mean(x²) + eps)^(−1/2)`, forward and backward. One workgroup a row.
 *
 * Backward, with `u = dy·w`: `dx = rstd·(u − x·rstd²·mean(u·x))`, `dw = Σ_rows dy·x·rstd`. Nothing is saved from the
 * forward pass: rstd costs one look at the row.
 */
import type { GpuContext } from '../runtime/context.ts';
import type { DispatchList } from '../runtime/dispatch_list.ts';
import type { Tensor } from '../runtime/tensor.ts';
import { f32Literal, grid, kernelSpec } from '../runtime/wgsl.ts';

/** Invocations that share a row: few on a software device, where a barrier costs more than a loop. */
export const rowThreads = (gpu: GpuContext, width: number): number =>
  gpu.capabilities.software ? 4 : width <= 64 ? 32 : width <= 1024 ? 64 : 256;

/** WGSL `row_sum(value, lane)`: the sum of `value` over a workgroup of `threads`, the same bits in every invocation. */
export const rowSum = (threads: number): string => `
var<workgroup> partial: array<f32, ${threads}>;
fn row_sum(value: f32, lane: u32) -> f32 {
  workgroupBarrier();
  partial[lane] = value;
  workgroupBarrier();
  for (var step = ${threads / 2}u; step > 0u; step /= 2u) {
    if (lane < step) { partial[lane] += partial[lane + step]; }
    workgroupBarrier();
  }
  return partial[0];
}`;

/** The head of a kernel in which one workgroup of `threads` works on one of `rows` rows. */
export const rowMain = (threads: number, rows: number, body: string): string => `
@compute @workgroup_size(${threads})
fn main(
  @builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let row = group.y * groups.x + group.x;
  if (row >= ${rows}u) { return; }
  ${body}
}`;

/** `y = rmsnorm(x)·weight`. x, y [N, D], weight [D]. */
export function recordRmsNorm(
  gpu: GpuContext,
  list: DispatchList,
  { x, weight, y }: { x: Tensor; weight: Tensor; y: Tensor },
  eps: number,
): void {
  const [rows, width] = y.shape as [number, number];
  const threads = rowThreads(gpu, width);
  const spec = kernelSpec(
    'rmsnorm',
    { x: 'f32', weight: 'f32' },
    { y: 'f32' },
    `${rowSum(threads)}
${rowMain(
  threads,
  rows,
  `
  let first = row * ${width}u;
  var squares = 0.0;
  for (var i = lane; i < ${width}u; i += ${threads}u) { squares += x[first + i] * x[first + i]; }
  let rstd = inverseSqrt(row_sum(squares, lane) / ${f32Literal(width)} + ${f32Literal(eps)});
  for (var i = lane; i < ${width}u; i += ${threads}u) { y[first + i] = x[first + i] * rstd * weight[i]; }`,
)}`,
  );
  list.add(spec, [x, weight, y], grid(rows));
}

/**
 * `dx += ∂/∂x`, and with `contribution` also `dy·x·rstd` of every element, whose column sums are the weight's gradient.
 * x, dy, dx, contribution [N, D], weight [D].
 */
export function recordRmsNormBackward(
  gpu: GpuContext,
  list: DispatchList,
  tensors: { x: Tensor; weight: Tensor; dy: Tensor; dx: Tensor; contribution?: Tensor | null },
  eps: number,
): void {
  const { x, weight, dy, dx, contribution } = tensors;
  const [rows, width] = dx.shape as [number, number];
  const threads = rowThreads(gpu, width);
  const spec = kernelSpec(
    'rmsnorm_backward',
    { x: 'f32', weight: 'f32', dy: 'f32' },
    { dx: 'f32', ...(contribution && { contribution: 'f32' }) },
    `${rowSum(threads)}
${rowMain(
  threads,
  rows,
  `
  let first = row * ${width}u;
  var squares = 0.0;
  var products = 0.0;
  for (var i = lane; i < ${width}u; i += ${threads}u) {
    let value = x[first + i];
    squares += value * value;
    products += value * dy[first + i] * weight[i];
  }
  let rstd = inverseSqrt(row_sum(squares, lane) / ${f32Literal(width)} + ${f32Literal(eps)});
  let slope = rstd * rstd * row_sum(products, lane) / ${f32Literal(width)};
  for (var i = lane; i < ${width}u; i += ${threads}u) {
    let value = x[first + i];
    let upstream = dy[first + i];
    dx[first + i] += rstd * (upstream * weight[i] - value * slope);
    ${contribution ? 'contribution[first + i] = upstream * value * rstd;' : ''}
  }`,
)}`,
  );
  list.add(spec, [x, weight, dy, dx, ...(contribution ? [contribution] : [])], grid(rows));
}
