/** @file Sums over rows, for the gradients of biases and norm weights. Two stages, each in a fixed order. */
import type { DispatchList } from '../runtime/dispatch_list.ts';
import type { Tensor } from '../runtime/tensor.ts';
import { elementwise, flatGrid } from '../runtime/wgsl.ts';

/** Rows added up by one invocation of the first stage. */
const rowsPerPartial = 32;

/** Floats of scratch that `recordColumnSum` needs for [rows, width]. */
export const columnSumScratch = (rows: number, width: number): number =>
  Math.ceil(rows / rowsPerPartial) * width;

/** `grad[j] += Σ_i x[i, j]`. x [rows, width], grad [width], scratch [≥ columnSumScratch]. */
export function recordColumnSum(
  list: DispatchList,
  { x, scratch, grad }: { x: Tensor; scratch: Tensor; grad: Tensor },
  rows: number,
  width: number,
): void {
  const partials = Math.ceil(rows / rowsPerPartial);
  list.add(
    elementwise(
      'column_sum_partial',
      partials * width,
      { x: 'f32' },
      { scratch: 'f32' },
      `
  let first = (i / ${width}u) * ${rowsPerPartial}u;
  let last = min(first + ${rowsPerPartial}u, ${rows}u);
  var sum = 0.0;
  for (var row = first; row < last; row++) { sum += x[row * ${width}u + i % ${width}u]; }
  scratch[i] = sum;`,
    ),
    [x, scratch],
    flatGrid(partials * width),
  );
  list.add(
    elementwise(
      'column_sum',
      width,
      { scratch: 'f32' },
      { grad: 'f32' },
      `
  var sum = 0.0;
  for (var part = 0u; part < ${partials}u; part++) { sum += scratch[part * ${width}u + i]; }
  grad[i] += sum;`,
    ),
    [scratch, grad],
    flatGrid(width),
  );
}
