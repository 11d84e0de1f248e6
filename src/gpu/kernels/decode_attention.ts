/**
 * @file Attention of single query tokens over the key/value cache (decoding and prefill alike), grouped heads.
 *
 * One workgroup takes one token and one key/value head with all query heads that share it, so every cached entry is read once. Scores
 * are made tile by tile with a running maximum and sum (online softmax). The order of every sum depends on the token's own length
 * alone, so a token's result does not depend on the batch it is in, nor on where its entries lie.
 */
import type { GpuContext } from '../runtime/context.ts';
import type { DispatchList } from '../runtime/dispatch_list.ts';
import type { Tensor } from '../runtime/tensor.ts';
import { kernelSpec } from '../runtime/wgsl.ts';
import { placeWgsl } from './kv_cache.ts';

export interface DecodeAttentionTensors {
  /** Rotated queries `[N, H·hd]`. */
  q: Tensor;
  /** `[entries, Kv·hd]`, as is `vPool`. */
  kPool: Tensor;
  vPool: Tensor;
  /** `[N, H·hd]` */
  out: Tensor;
  /** `[N, 4]` u32 */
  places: Tensor;
  /** Entry numbers of own entries, when places are indirect. */
  ownEntries?: Tensor | null;
}

/**
 * `out[n, h] = Σ_t softmax_t(q[n, h]·k[t] / √hd) v[t]` over positions t = 0 … position of token n. Idle tokens' outputs are left as
 * they are.
 */
export function recordDecodeAttention(
  gpu: GpuContext,
  list: DispatchList,
  { numHeads: H, numKvHeads: KV, headDim: HD }: { numHeads: number; numKvHeads: number; headDim: number },
  { q, kPool, vPool, out, places, ownEntries }: DecodeAttentionTensors,
): void {
  // Few threads on a software device, where barriers cost more than loops.
  const threads = gpu.capabilities.software ? 4 : 64;
  const G = H / KV;
  const width = HD % 4 === 0 ? 4 : HD % 2 === 0 ? 2 : 1;
  const vec = width === 1 ? 'f32' : `vec${width}<f32>`;
  const dot = width === 1 ? 'a * b' : 'dot(a, b)';
  const C = HD / width;
  /** Output vectors of the workgroup; when they are fewer than threads, several threads share one and split the entries. */
  const outputs = G * C;
  const slices = Math.max(1, Math.floor(threads / outputs));
  const perThread = Math.ceil(outputs / threads);
  const tile = threads * Math.max(1, Math.floor(Math.min(512, 2048 / G) / threads));
  const spec = kernelSpec(
    'decode_attention',
    { q: vec, k_pool: vec, v_pool: vec, places: 'vec4u', ...(ownEntries && { own_entries: 'u32' }) },
    { out: vec },
    `
${placeWgsl(Boolean(ownEntries))}
var<workgroup> query: array<${vec}, ${outputs}>;
var<workgroup> weights: array<f32, ${G * tile}>;
var<workgroup> entries: array<u32, ${tile}>;
var<workgroup> reduced: array<f32, ${G * threads}>;
var<workgroup> partial: array<${vec}, ${slices > 1 ? outputs * slices : 1}>;

fn product(a: ${vec}, b: ${vec}) -> f32 { return ${dot}; }

@compute @workgroup_size(${threads})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let n = group.x;
  let place = places[n];
  if (place.w == IDLE) { return; }
  let length = place.w + 1u;
  let first = (n * ${H}u + group.y * ${G}u) * ${C}u;
  for (var i = lane; i < ${outputs}u; i += ${threads}u) { query[i] = q[first + i] * ${1 / Math.sqrt(HD)}; }

  var best: array<f32, ${G}>;
  var sum: array<f32, ${G}>;
  for (var g = 0u; g < ${G}u; g++) { best[g] = -3.0e38; sum[g] = 0.0; }
  var acc: array<${vec}, ${perThread}>;
  for (var j = 0u; j < ${perThread}u; j++) { acc[j] = ${vec}(); }

  for (var base = 0u; base < length; base += ${tile}u) {
    let count = min(${tile}u, length - base);
    workgroupBarrier();
    // Scores: a thread takes every ${threads}th entry, for all ${G} heads.
    var high: array<f32, ${G}>;
    for (var g = 0u; g < ${G}u; g++) { high[g] = -3.0e38; }
    for (var t = lane; t < count; t += ${threads}u) {
      let entry = (entry_of(place, base + t) * ${KV}u + group.y) * ${C}u;
      entries[t] = entry;
      var score: array<f32, ${G}>;
      // Said aloud: SwiftShader does not zero it anew in every turn of the loop.
      for (var g = 0u; g < ${G}u; g++) { score[g] = 0.0; }
      for (var c = 0u; c < ${C}u; c++) {
        let key = k_pool[entry + c];
        for (var g = 0u; g < ${G}u; g++) { score[g] += product(query[g * ${C}u + c], key); }
      }
      for (var g = 0u; g < ${G}u; g++) {
        weights[g * ${tile}u + t] = score[g];
        high[g] = max(high[g], score[g]);
      }
    }
    for (var g = 0u; g < ${G}u; g++) { reduced[g * ${threads}u + lane] = high[g]; }
    for (var step = ${threads / 2}u; step > 0u; step >>= 1u) {
      workgroupBarrier();
      if (lane < step) {
        for (var g = 0u; g < ${G}u; g++) {
          let i = g * ${threads}u + lane;
          reduced[i] = max(reduced[i], reduced[i + step]);
        }
      }
    }
    workgroupBarrier();
    // Weights against the new maximum; what was summed before shrinks with it.
    var shrink: array<f32, ${G}>;
    for (var g = 0u; g < ${G}u; g++) {
      let top = max(best[g], reduced[g * ${threads}u]);
      shrink[g] = exp(best[g] - top);
      best[g] = top;
    }
    workgroupBarrier();
    for (var g = 0u; g < ${G}u; g++) {
      var share = 0.0;
      for (var t = lane; t < count; t += ${threads}u) {
        let w = exp(weights[g * ${tile}u + t] - best[g]);
        weights[g * ${tile}u + t] = w;
        share += w;
      }
      reduced[g * ${threads}u + lane] = share;
    }
    for (var step = ${threads / 2}u; step > 0u; step >>= 1u) {
      workgroupBarrier();
      if (lane < step) {
        for (var g = 0u; g < ${G}u; g++) {
          let i = g * ${threads}u + lane;
          reduced[i] += reduced[i + step];
        }
      }
    }
    workgroupBarrier();
    for (var g = 0u; g < ${G}u; g++) { sum[g] = sum[g] * shrink[g] + reduced[g * ${threads}u]; }
    // Values: thread (output, slice) takes the entries t ≡ slice.
    for (var j = 0u; j < ${perThread}u; j++) {
      let o = (lane + j * ${threads}u) ${slices > 1 ? `% ${outputs}u` : ''};
      let slice = ${slices > 1 ? `lane / ${outputs}u` : '0u'};
      if (o < ${outputs}u && slice < ${slices}u) {
        let g = o / ${C}u;
        let c = o % ${C}u;
        var value = acc[j] * shrink[g];
        for (var t = slice; t < count; t += ${slices}u) {
          value += weights[g * ${tile}u + t] * v_pool[entries[t] + c];
        }
        acc[j] = value;
      }
    }
  }
  ${
    slices > 1
      ? `if (lane < ${outputs * slices}u) { partial[lane] = acc[0]; }
  workgroupBarrier();
  if (lane < ${outputs}u) {
    var value = partial[lane];
    for (var s = 1u; s < ${slices}u; s++) { value += partial[s * ${outputs}u + lane]; }
    out[first + lane] = value / sum[lane / ${C}u];
  }`
      : `for (var j = 0u; j < ${perThread}u; j++) {
    let o = lane + j * ${threads}u;
    if (o < ${outputs}u) { out[first + o] = acc[j] / sum[o / ${C}u]; }
  }`
  }
}`,
  );
  list.add(spec, [q, kPool, vPool, places, ...(ownEntries ? [ownEntries] : []), out], [out.shape[0]!, KV]);
}
