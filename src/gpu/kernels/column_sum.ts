/** @file Sums over rows, for the gradients of biases and norm weights. Two stages, each in a fixed order. */
import type { DispatchList } from '../runtime/dispatch_list.ts';
import type { Tensor } from '../runtime/tensor.ts';
import { elementwise, flatGrid } from '../runtime/wgsl.ts';

/** Rows added up by one invocation of the first stage: scratch holds ⌈rows / rowsPerPartial⌉ × width floats. */
export const rowsPerPartial = 32;

/** `grad[j] += Σ_i x[i, j]`. x [rows, width], grad [width], scratch [≥ ⌈rows/32⌉·width]. */
export function recordColumnSum(
  list: DispatchList,
  { x, scratch, grad }: { x: Tensor; scratch: Tensor; grad: Tensor },
  rows: number,
  width: number,
): void {
  const partials = Math.ceil(rows / rowsPerPartial);
  const parts: Tensor = { ...scratch, shape: [partials, width] };
  list.add(
    elementwise(
      'column_sum_partial',
      'arrayLength(&scratch)',
      { x: 'f32' },
      { scratch: 'f32' },
      `
  let first = (i / ${width}u) * ${rowsPerPartial}u;
  let last = min(first + ${rowsPerPartial}u, arrayLength(&x) / ${width}u);
  var sum = 0.0;
  for (var row = first; row < last; row++) { sum += x[row * ${width}u + i % ${width}u]; }
  scratch[i] = sum;`,
    ),
    [{ ...x, shape: [rows, width] }, parts],
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
  for (var part = 0u; part < arrayLength(&scratch) / ${width}u; part++) { sum += scratch[part * ${width}u + i]; }
  grad[i] += sum;`,
    ),
    [parts, grad],
    flatGrid(width),
  );
}
