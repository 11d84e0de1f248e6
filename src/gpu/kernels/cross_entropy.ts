/**
 * @file Log-softmax over the vocabulary for a chunk of rows: log-prob of the target, entropy and whether the target is the
 * most likely token; and the gradient of the logits, in place. Logits are divided by the temperature first.
 */
import type { GpuContext } from '../runtime/context.ts';
import type { DispatchList } from '../runtime/dispatch_list.ts';
import type { Tensor } from '../runtime/tensor.ts';
import { elementwise, flatGrid } from '../runtime/wgsl.ts';
import { rowKernel } from './rows.ts';

/** Floats of statistics a row: log-prob, entropy, 1 where the target has the highest logit, log-sum-exp. */
export const statisticsWidth = 4;

/**
 * Statistics of every row. logits [C, stride] of which the first `vocabSize` columns count, targets [C] u32 (clamped to the
 * vocabulary), settings [1]: the temperature; statistics [C, 4]. With z = logits/temperature and m = max z:
 * `lse = m + log Σ e^(z−m)`, `lp = z_target − lse`, `entropy = lse − Σ softmax(z)·z`.
 */
export function recordLogSoftmax(
  gpu: GpuContext,
  list: DispatchList,
  vocabSize: number,
  {
    logits,
    targets,
    settings,
    statistics,
  }: { logits: Tensor; targets: Tensor; settings: Tensor; statistics: Tensor },
): void {
  const [rows, stride] = logits.shape as [number, number];
  const { spec, workgroups } = rowKernel(
    gpu,
    {
      name: 'log_softmax',
      reads: { logits: 'f32', targets: 'u32', settings: 'f32' },
      writes: { statistics: 'vec4<f32>' },
      width: vocabSize,
      rows: 'arrayLength(&statistics)',
      body: (threads) => `
  let first = row * ${stride}u;
  let inverse = 1.0 / settings[0];
  var top = -3.4e38f;
  for (var i = lane; i < ${vocabSize}u; i += ${threads}u) { top = max(top, logits[first + i]); }
  top = row_max(top, lane);
  var total = 0.0;
  var weighted = 0.0;
  for (var i = lane; i < ${vocabSize}u; i += ${threads}u) {
    let below = (logits[first + i] - top) * inverse;
    let weight = exp(below);
    total += weight;
    weighted += weight * below;
  }
  total = row_sum(total, lane);
  weighted = row_sum(weighted, lane);
  if (lane == 0u) {
    let target_logit = logits[first + min(targets[row], ${vocabSize - 1}u)];
    let spread = log(total);
    statistics[row] = vec4f(
      (target_logit - top) * inverse - spread,
      spread - weighted / total,
      select(0.0, 1.0, target_logit >= top),
      top * inverse + spread,
    );
  }`,
    },
    rows,
  );
  list.add(spec, [logits, targets, settings, statistics], workgroups);
}

/**
 * In place: logits become `g·(onehot(target) − softmax(logits/τ))/τ`, the gradient of `Σ g·lp` with respect to the logits.
 * coefficients [C]: g = ∂loss/∂lp of every row.
 */
export function recordLogSoftmaxBackward(
  list: DispatchList,
  t: { logits: Tensor; targets: Tensor; settings: Tensor; statistics: Tensor; coefficients: Tensor },
): void {
  const [rows, stride] = t.logits.shape as [number, number];
  const spec = elementwise(
    'log_softmax_backward',
    'arrayLength(&logits)',
    { targets: 'u32', settings: 'f32', statistics: 'vec4<f32>', coefficients: 'f32' },
    { logits: 'f32' },
    `
  let row = i / ${stride}u;
  let inverse = 1.0 / settings[0];
  let hit = select(0.0, 1.0, i % ${stride}u == targets[row]);
  let probability = exp(logits[i] * inverse - statistics[row].w);
  logits[i] = coefficients[row] * inverse * (hit - probability);`,
  );
  list.add(spec, [t.targets, t.settings, t.statistics, t.coefficients, t.logits], flatGrid(rows * stride));
}

/** Dynamic Fine-Tuning: each coefficient is weighted by its token's own detached probability. statistics [R, 4], coefficients [R] */
export function recordProbabilityWeights(list: DispatchList, statistics: Tensor, coefficients: Tensor): void {
  const spec = elementwise(
    'probability_weights',
    'arrayLength(&coefficients)',
    { statistics: 'vec4<f32>' },
    { coefficients: 'f32' },
    `coefficients[i] = coefficients[i] * exp(statistics[i].x);`,
  );
  list.add(spec, [statistics, coefficients], flatGrid(coefficients.shape[0]!));
}

/** `x[i] = 0` for every float. */
export function recordZero(list: DispatchList, x: Tensor): void {
  const count = x.shape.reduce((a, b) => a * b, 1);
  list.add(elementwise('zero', 'arrayLength(&x)', {}, { x: 'f32' }, 'x[i] = 0.0;'), [x], flatGrid(count));
}
