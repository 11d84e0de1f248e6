/**
 * @file AdamW with global norm clipping over flat buffers, in three dispatches: partial sums of squares, norm and clip factor,
 * update. The norm is summed in a fixed order. The update does nothing when the norm is not finite.
 */
import type { DispatchList } from '../runtime/dispatch_list.ts';
import type { Tensor } from '../runtime/tensor.ts';
import { elementwise, flatGrid, kernelSpec } from '../runtime/wgsl.ts';

/** Strided partial sums of the norm. */
export const normPartials = 4096;

/** Numbers of one step, in the order of the settings buffer. */
export interface AdamWSettings {
  learningRate: number;
  beta1: number;
  beta2: number;
  eps: number;
  weightDecay: number;
  /** 0 = no clipping. */
  maxGradNorm: number;
  /** Steps taken, this one included. */
  step: number;
}

/** Floats of the settings buffer. */
export const settingsWidth = 10;

/** The settings buffer's content; corrections and complements are computed in f64. */
export const packSettings = (s: AdamWSettings): Float32Array =>
  Float32Array.of(
    s.learningRate,
    s.beta1,
    1 - s.beta1,
    s.beta2,
    1 - s.beta2,
    s.eps,
    1 - s.learningRate * s.weightDecay,
    s.maxGradNorm,
    1 / (1 - s.beta1 ** s.step),
    1 / Math.sqrt(1 - s.beta2 ** s.step),
  );

export interface AdamWTensors {
  parameters: Tensor;
  grads: Tensor;
  m: Tensor;
  v: Tensor;
  /** [settingsWidth], see `packSettings`. */
  settings: Tensor;
  /** Scratch. [normPartials] */
  partials: Tensor;
  /** Norm before clipping, clip factor, 1 when finite. [3] */
  result: Tensor;
}

/** WGSL: whether a float is finite, by its bits (compilers may assume that no float is not). */
const finite = 'fn finite(x: f32) -> bool { return (bitcast<u32>(x) & 0x7f800000u) != 0x7f800000u; }';

/** `result` from `grads`. */
export function recordGradientNorm(list: DispatchList, t: AdamWTensors): void {
  const partial = elementwise(
    'gradient_norm_partial',
    normPartials,
    { grads: 'f32' },
    { partials: 'f32' },
    `
  var sum = 0.0;
  for (var at = i; at < arrayLength(&grads); at += ${normPartials}u) { sum += grads[at] * grads[at]; }
  partials[i] = sum;`,
  );
  list.add(partial, [t.grads, t.partials], flatGrid(normPartials));
  const threads = 64;
  const total = kernelSpec(
    'gradient_norm',
    { partials: 'f32', settings: 'f32' },
    { result: 'f32' },
    `
${finite}
var<workgroup> sums: array<f32, ${threads}>;
@compute @workgroup_size(${threads})
fn main(@builtin(local_invocation_index) lane: u32) {
  var sum = 0.0;
  for (var i = lane; i < ${normPartials}u; i += ${threads}u) { sum += partials[i]; }
  sums[lane] = sum;
  workgroupBarrier();
  if (lane > 0u) { return; }
  var total = 0.0;
  for (var i = 0u; i < ${threads}u; i++) { total += sums[i]; }
  let norm = sqrt(total);
  let limit = settings[7];
  result[0] = norm;
  result[1] = select(1.0, min(1.0, limit / (norm + 1e-6)), limit > 0.0);
  result[2] = select(0.0, 1.0, finite(total));
}`,
  );
  list.add(total, [t.partials, t.settings, t.result], [1]);
}

/** Moments and parameters from `grads`, scaled by the clip factor in `result`. */
export function recordAdamW(list: DispatchList, t: AdamWTensors): void {
  const count = t.parameters.shape[0]!;
  const spec = elementwise(
    'adamw',
    'arrayLength(&parameters)',
    { grads: 'f32', settings: 'f32', result: 'f32' },
    { parameters: 'f32', m: 'f32', v: 'f32' },
    `
  if (result[2] == 0.0) { return; }
  let g = grads[i] * result[1];
  let first = settings[1] * m[i] + settings[2] * g;
  let second = settings[3] * v[i] + settings[4] * g * g;
  m[i] = first;
  v[i] = second;
  parameters[i] = parameters[i] * settings[6]
    - settings[0] * (first * settings[8]) / (sqrt(second) * settings[9] + settings[5]);`,
  );
  list.add(spec, [t.grads, t.settings, t.result, t.parameters, t.m, t.v], flatGrid(count));
}
