/** @file Between judged rows and the packed token axis: row n predicts token n + 1. */
import type { DispatchList } from '../runtime/dispatch_list.ts';
import type { Tensor } from '../runtime/tensor.ts';
import { elementwise, flatGrid } from '../runtime/wgsl.ts';

/** Judged rows on the GPU. */
export interface JudgedTensors {
  /** Token of each row; 0xffffffff: filling. [R] u32 */
  rows: Tensor;
  /** See `recordLogSoftmax`. [R, 4] */
  statistics: Tensor;
  /** ∂loss/∂lp of each row. [R] */
  coefficients: Tensor;
}

/** `logprobs[rows[r] + 1]`, `entropies[rows[r] + 1]` from the statistics of row r. logprobs, entropies [N] */
export function recordSpreadStatistics(
  list: DispatchList,
  judged: JudgedTensors,
  { logprobs, entropies }: { logprobs: Tensor; entropies: Tensor },
): void {
  const spec = elementwise(
    'spread_statistics',
    'arrayLength(&statistics)',
    { rows: 'u32', statistics: 'vec4<f32>' },
    { logprobs: 'f32', entropies: 'f32' },
    `
  if (rows[i] >= arrayLength(&logprobs) - 1u) { return; }
  logprobs[rows[i] + 1u] = statistics[i].x;
  entropies[rows[i] + 1u] = statistics[i].y;`,
  );
  list.add(
    spec,
    [judged.rows, judged.statistics, logprobs, entropies],
    flatGrid(judged.statistics.shape[0]!),
  );
}

/** `coefficients[r] = gradients[rows[r] + 1]`, 0 for filling. gradients [N] */
export function recordGatherScalars(list: DispatchList, gradients: Tensor, judged: JudgedTensors): void {
  const spec = elementwise(
    'gather_scalars',
    'arrayLength(&coefficients)',
    { gradients: 'f32', rows: 'u32' },
    { coefficients: 'f32' },
    `
  coefficients[i] = 0.0;
  if (rows[i] < arrayLength(&gradients) - 1u) { coefficients[i] = gradients[rows[i] + 1u]; }`,
  );
  list.add(spec, [gradients, judged.rows, judged.coefficients], flatGrid(judged.coefficients.shape[0]!));
}
