/** @file Between judged rows and the tokens of a loss: `slots[r]` is where the token that row r predicts lies among them. */
import type { DispatchList } from '../runtime/dispatch_list.ts';
import type { Tensor } from '../runtime/tensor.ts';
import { elementwise, flatGrid } from '../runtime/wgsl.ts';

/** Judged rows on the GPU. */
export interface JudgedTensors {
  /** See `recordLogSoftmax`. [R, 4] */
  statistics: Tensor;
  /** ∂loss/∂lp of each row. [R] */
  coefficients: Tensor;
}

/** Judged rows with their slots; 0xffffffff: filling. [R] u32 */
export type SlottedRows = JudgedTensors & { slots: Tensor };

/** `logprobs[slots[r]]`, `entropies[slots[r]]` from the statistics of row r. */
export function recordSpreadStatistics(
  list: DispatchList,
  { slots, statistics }: SlottedRows,
  { logprobs, entropies }: { logprobs: Tensor; entropies: Tensor },
): void {
  const spec = elementwise(
    'spread_statistics',
    'arrayLength(&statistics)',
    { slots: 'u32', statistics: 'vec4<f32>' },
    { logprobs: 'f32', entropies: 'f32' },
    `
  if (slots[i] >= arrayLength(&logprobs)) { return; }
  logprobs[slots[i]] = statistics[i].x;
  entropies[slots[i]] = statistics[i].y;`,
  );
  list.add(spec, [slots, statistics, logprobs, entropies], flatGrid(statistics.shape[0]!));
}

/** `coefficients[r] = gradients[slots[r]]`, 0 for filling. */
export function recordGatherScalars(
  list: DispatchList,
  gradients: Tensor,
  { slots, coefficients }: SlottedRows,
): void {
  const spec = elementwise(
    'gather_scalars',
    'arrayLength(&coefficients)',
    { gradients: 'f32', slots: 'u32' },
    { coefficients: 'f32' },
    `
  coefficients[i] = 0.0;
  if (slots[i] < arrayLength(&gradients)) { coefficients[i] = gradients[slots[i]]; }`,
  );
  list.add(spec, [gradients, slots, coefficients], flatGrid(coefficients.shape[0]!));
}
