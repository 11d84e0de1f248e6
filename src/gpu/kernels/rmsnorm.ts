/**
 * @file RMS norm, `y = x·rstd·w` with `rstd = (mean(x²) + eps)^(−1/2)`, forward and backward.
 *
 * Backward, with `u = dy·w`: `dx = rstd·(u − x·rstd²·mean(u·x))`, `dw = Σ_rows dy·x·rstd`. Nothing is saved from the
 * forward pass: rstd costs one look at the row.
 */
import type { GpuContext } from '../runtime/context.ts';
import type { DispatchList } from '../runtime/dispatch_list.ts';
import type { Tensor } from '../runtime/tensor.ts';
import { f32Literal } from '../runtime/wgsl.ts';
import { rowKernel } from './rows.ts';

/** `y = rmsnorm(x)·weight`. x, y [N, D], weight [D]. */
export function recordRmsNorm(
  gpu: GpuContext,
  list: DispatchList,
  { x, weight, y }: { x: Tensor; weight: Tensor; y: Tensor },
  eps: number,
): void {
  const [rows, width] = y.shape as [number, number];
  const { spec, workgroups } = rowKernel(
    gpu,
    {
      name: 'rmsnorm',
      reads: { x: 'f32', weight: 'f32' },
      writes: { y: 'f32' },
      width,
      rows: `arrayLength(&y) / ${width}u`,
      body: (threads) => `
  let first = row * ${width}u;
  var squares = 0.0;
  for (var i = lane; i < ${width}u; i += ${threads}u) {
    let value = x[first + i];
    squares += value * value;
  }
  let rstd = inverseSqrt(row_sum(squares, lane) / ${f32Literal(width)} + ${f32Literal(eps)});
  for (var i = lane; i < ${width}u; i += ${threads}u) { y[first + i] = x[first + i] * rstd * weight[i]; }`,
    },
    rows,
  );
  list.add(spec, [x, weight, y], workgroups);
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
  const { spec, workgroups } = rowKernel(
    gpu,
    {
      name: 'rmsnorm_backward',
      reads: { x: 'f32', weight: 'f32', dy: 'f32' },
      writes: { dx: 'f32', ...(contribution && { contribution: 'f32' }) },
      width,
      rows: `arrayLength(&dx) / ${width}u`,
      body: (threads) => `
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
    },
    rows,
  );
  list.add(spec, [x, weight, dy, dx, ...(contribution ? [contribution] : [])], workgroups);
}
