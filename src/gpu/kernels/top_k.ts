/**
 * @file The k most likely tokens of each row with their log-probs, for beam search: a few numbers a row cross the bus instead of the
 * whole vocabulary.
 */
import type { GpuContext } from '../runtime/context.ts';
import type { DispatchList } from '../runtime/dispatch_list.ts';
import type { KernelSpec } from '../runtime/kernel.ts';
import type { Tensor } from '../runtime/tensor.ts';
import { reductionsWgsl, samplingThreads } from './sampling.ts';

/**
 * Best first, ties to the lower id; `k ≤ V`. logits `[R, V]` → output `[R, 2k]` u32: k ids, then their log-probs' f32 bits under
 * the full softmax. One workgroup a row.
 *
 * Every thread knows the best token of its own share; the workgroup takes the best of those k times, and only the thread that gave
 * one looks for its next.
 */
export function recordTopK(gpu: GpuContext, list: DispatchList, logits: Tensor, output: Tensor): void {
  const V = logits.shape[1]!;
  const [rows, columns] = output.shape as [number, number];
  const k = columns / 2;
  const threads = samplingThreads(gpu, V);
  const spec: KernelSpec = {
    key: `top-k/${V}/${k}/${threads}`,
    name: 'top_k_logprobs',
    bindings: ['read', 'read_write'],
    wgsl: /* wgsl */ `
${reductionsWgsl(threads)}
@group(0) @binding(0) var<storage, read> logits: array<f32>;
@group(0) @binding(1) var<storage, read_write> output: array<u32>;
const NONE = 0xffffffffu;

@compute @workgroup_size(${threads})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let first = group.x * ${V}u;
  let at = group.x * ${2 * k}u;
  var mine = LOWEST;
  var id = NONE;
  for (var i = lane; i < ${V}u; i += THREADS) {
    let x = logits[first + i];
    if (x > mine || id == NONE) { mine = x; id = i; }
  }
  let top = reduce_best(lane, mine, id).value;
  var sum = 0.0;
  for (var i = lane; i < ${V}u; i += THREADS) { sum += exp(logits[first + i] - top); }
  let log_total = log(reduce_sum(lane, sum));

  for (var rank = 0u; rank < ${k}u; rank++) {
    let best = reduce_best(lane, mine, id);
    if (lane == 0u) {
      output[at + rank] = best.id;
      output[at + ${k}u + rank] = bitcast<u32>((best.value - top) - log_total);
    }
    if (id == best.id) {
      // The next of this thread's share: the largest that comes after the one taken.
      mine = LOWEST;
      id = NONE;
      for (var i = lane; i < ${V}u; i += THREADS) {
        let x = logits[first + i];
        let after = x < best.value || (x == best.value && i > best.id);
        if (after && (x > mine || id == NONE)) { mine = x; id = i; }
      }
    }
  }
}
`,
  };
  list.add(spec, [logits, output], [rows]);
}
