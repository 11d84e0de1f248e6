/**
 * @file Choosing the next token on the GPU: temperature, top-k, top-p (in Hugging Face's order), then the race that realises a
 * draw from the softmax; the chosen token's log-prob; stop tokens; and the state that the next step of decoding reads.
 *
 * The draw is the exponential form of the Gumbel-max trick: token i wins with the largest `p_i / E_i`, E_i ~ Exp(1), which has
 * probability p_i. E_i is keyed by (seed of the request, number of the new token, i), so that a draw depends on nothing else. Every
 * sum has a fixed order or is an integer one: the same row gives the same bits in any batch.
 */
import type { GpuContext } from '../runtime/context.ts';
import type { DispatchList } from '../runtime/dispatch_list.ts';
import type { KernelSpec } from '../runtime/kernel.ts';
import type { Tensor } from '../runtime/tensor.ts';
import { idle } from './kv_cache.ts';
import { randomWgsl } from './random.ts';

/** u32 words of a row's settings: seed, temperature (f32 bits; 0 = greedy), top-k (0 = off), top-p (f32 bits), minNew, maxNew, logits row. */
export const samplingWords = 8;

/** What a row wants, as the kernel reads it. */
export interface RowSampling {
  seed: number;
  temperature: number;
  topK: number;
  topP: number;
  minNewTokens: number;
  maxNewTokens: number;
  /** Which row of the logits it samples from. */
  logitsRow: number;
}

/** Write a row's settings at `words[offset …]`. */
export function packRowSampling(words: Uint32Array, offset: number, row: RowSampling): void {
  const floats = new Float32Array(words.buffer, words.byteOffset, words.length);
  words[offset] = row.seed >>> 0;
  floats[offset + 1] = row.temperature;
  words[offset + 2] = row.topK;
  floats[offset + 3] = row.topP;
  words[offset + 4] = row.minNewTokens;
  words[offset + 5] = row.maxNewTokens;
  words[offset + 6] = row.logitsRow;
  words[offset + 7] = 0;
}

/** u32 words a row has in the output: tokens and log-probs (f32 bits) of the last `window` steps, count, done. */
export const outputWords = (window: number): number => 2 * window + 2;

export interface SamplingTensors {
  /** `[P, V]` */
  logits: Tensor;
  /** Each row's settings, `[R, 8]` u32. */
  settings: Tensor;
  /** Count, then the tokens, `[1 + n]` u32. */
  stopTokens: Tensor;
  /** Written: the next step's input, `[R]` u32. */
  tokens: Tensor;
  /** Positions advance, a done row becomes idle, `[R, 4]` u32. */
  places: Tensor;
  /** `[R, 2·window + 2]` u32; new token number c lies at column c mod window. */
  output: Tensor;
}

/** Threads of a row: a function of device and vocabulary alone, as it decides the order of sums. */
export const samplingThreads = (gpu: GpuContext, vocabSize: number): number =>
  gpu.capabilities.software ? 4 : vocabSize <= 4096 ? 64 : 256;

/** WGSL: `reduce_*` over the workgroup in a fixed tree. */
export const reductionsWgsl = (threads: number): string => /* wgsl */ `
const THREADS = ${threads}u;
const LOWEST = -3.4028234e38;
var<workgroup> shared_value: array<f32, ${threads}>;
var<workgroup> shared_id: array<u32, ${threads}>;
fn reduce_sum(lane: u32, value: f32) -> f32 {
  shared_value[lane] = value;
  for (var step = THREADS / 2u; step > 0u; step >>= 1u) {
    workgroupBarrier();
    if (lane < step) { shared_value[lane] += shared_value[lane + step]; }
  }
  let total = workgroupUniformLoad(&shared_value[0]);
  return total;
}
struct Best { value: f32, id: u32 }
/** The largest value; of equal ones the lowest id. */
fn reduce_best(lane: u32, value: f32, id: u32) -> Best {
  shared_value[lane] = value;
  shared_id[lane] = id;
  for (var step = THREADS / 2u; step > 0u; step >>= 1u) {
    workgroupBarrier();
    if (lane < step) {
      let other = shared_value[lane + step];
      let other_id = shared_id[lane + step];
      if (other > shared_value[lane] || (other == shared_value[lane] && other_id < shared_id[lane])) {
        shared_value[lane] = other;
        shared_id[lane] = other_id;
      }
    }
  }
  let best = workgroupUniformLoad(&shared_value[0]);
  return Best(best, workgroupUniformLoad(&shared_id[0]));
}
`;

/**
 * Top-k and top-p. A token's rank is its logit's bits made orderable, then its id; the kernel finds the last rank that stays by radix
 * selection, eight bits a pass, with integer counts (top-k) or fixed-point probability mass (top-p).
 * Top-k keeps ties of the k-th logit, as Hugging Face does; top-p breaks ties by id so that the set is the smallest.
 */
const truncationWgsl = /* wgsl */ `
var<workgroup> bins: array<atomic<u32>, 256>;
var<workgroup> chosen_bin: u32;
var<workgroup> remaining: u32;
fn orderable(x: f32) -> u32 {
  let bits = bitcast<u32>(x);
  return select(bits | 0x80000000u, ~bits, bits >= 0x80000000u);
}
fn from_rank(rank: u32) -> f32 { return bitcast<f32>(select(~rank, rank & 0x7fffffffu, rank >= 0x80000000u)); }
/** Probability as a fixed-point number with 31 fractional bits; the allowed set sums to 2³¹. */
fn mass(x: f32, top: f32, total: f32) -> u32 { return u32(exp(x - top) / total * 2147483648.0); }

/**
 * Descend eight bits: of the bins, from the highest, find the one in which the running total reaches the target. Leaves what
 * is still wanted inside that bin in 'remaining'. When the total never reaches the target, the lowest bin that holds anything is taken.
 */
fn descend(lane: u32, target_amount: u32) -> u32 {
  workgroupBarrier();
  if (lane == 0u) {
    var above = 0u;
    var bin = 256u;
    var last = 0u;
    var last_above = 0u;
    loop {
      if (bin == 0u) { break; }
      bin--;
      let amount = atomicLoad(&bins[bin]);
      if (amount > 0u) {
        last = bin;
        last_above = above;
        if (amount >= target_amount - above) { break; }
        above += amount;
      }
    }
    chosen_bin = last;
    remaining = target_amount - last_above;
  }
  return workgroupUniformLoad(&chosen_bin);
}
fn clear_bins(lane: u32) {
  workgroupBarrier();
  for (var i = lane; i < 256u; i += THREADS) { atomicStore(&bins[i], 0u); }
  workgroupBarrier();
}
`;

/** Choose one token for every row that is not idle. `truncated`: some row uses top-k or top-p. One workgroup a row. */
export function recordSampling(
  gpu: GpuContext,
  list: DispatchList,
  tensors: SamplingTensors,
  truncated: boolean,
): void {
  const V = tensors.logits.shape[1]!;
  const [rows, columns] = tensors.output.shape as [number, number];
  const W = (columns - 2) / 2;
  const threads = samplingThreads(gpu, V);
  const spec: KernelSpec = {
    key: `sample/${V}/${W}/${truncated}/${threads}`,
    name: 'sample_tokens',
    bindings: ['read', 'read', 'read', 'read_write', 'read_write', 'read_write'],
    wgsl: /* wgsl */ `
${randomWgsl}
${reductionsWgsl(threads)}
${truncated ? truncationWgsl : ''}
struct Settings { seed: u32, temperature: f32, top_k: u32, top_p: f32, min_new: u32, max_new: u32, logits_row: u32, spare: u32 }
struct Place { prefix_start: u32, prefix_length: u32, own_start: u32, position: u32 }
@group(0) @binding(0) var<storage, read> logits: array<f32>;
@group(0) @binding(1) var<storage, read> settings: array<Settings>;
@group(0) @binding(2) var<storage, read> stop_tokens: array<u32>;
@group(0) @binding(3) var<storage, read_write> tokens: array<u32>;
@group(0) @binding(4) var<storage, read_write> places: array<Place>;
@group(0) @binding(5) var<storage, read_write> output: array<u32>;
var<workgroup> row_count: u32;
var<workgroup> row_position: u32;

fn is_stop(id: u32) -> bool {
  for (var i = 1u; i <= stop_tokens[0]; i++) { if (stop_tokens[i] == id) { return true; } }
  return false;
}

@compute @workgroup_size(${threads})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let row = group.x;
  if (lane == 0u) {
    row_count = output[row * ${columns}u + ${2 * W}u];
    row_position = places[row].position;
  }
  let count = workgroupUniformLoad(&row_count);
  let position = workgroupUniformLoad(&row_position);
  if (position == ${idle}u) { return; }
  let want = settings[row];
  let first = want.logits_row * ${V}u;
  let greedy = want.temperature == 0.0;
  let temperature = select(want.temperature, 1.0, greedy);
  let no_stop = count < want.min_new;

  var high = LOWEST;
  var allowed_high = LOWEST;
  var allowed_id = 0xffffffffu;
  for (var i = lane; i < ${V}u; i += THREADS) {
    let x = logits[first + i] / temperature;
    high = max(high, x);
    if ((x > allowed_high || allowed_id == 0xffffffffu) && !(no_stop && is_stop(i))) { allowed_high = x; allowed_id = i; }
  }
  let top = reduce_best(lane, high, 0u).value;
  let best = reduce_best(lane, allowed_high, allowed_id);

  var sum = 0.0;
  var win = -1.0;
  var winner = best.id;
  let key = hash2(want.seed, count);
  let race = !greedy${truncated ? ' && want.top_k == 0u && want.top_p >= 1.0' : ''};
  for (var i = lane; i < ${V}u; i += THREADS) {
    let weight = exp(logits[first + i] / temperature - top);
    sum += weight;
    if (race) {
      var chance = weight;
      // Refused stop tokens may be so likely that everything else vanishes beside them: measure against the allowed.
      if (best.value < top) { chance = exp(logits[first + i] / temperature - best.value); }
      let speed = chance / exponential(pcg32(key ^ i));
      if (speed > win && !(no_stop && is_stop(i))) { win = speed; winner = i; }
    }
  }
  let total = reduce_sum(lane, sum);
  ${truncated ? truncatedRace(V) : ''}
  let chosen = reduce_best(lane, win, winner).id;

  if (lane == 0u) {
    let logprob = (logits[first + chosen] / temperature - top) - log(total);
    let at = row * ${columns}u;
    output[at + count % ${W}u] = chosen;
    output[at + ${W}u + count % ${W}u] = bitcast<u32>(logprob);
    output[at + ${2 * W}u] = count + 1u;
    tokens[row] = chosen;
    let done = count + 1u >= want.max_new || is_stop(chosen);
    if (done) { output[at + ${2 * W + 1}u] = 1u; }
    places[row].position = select(position + 1u, ${idle}u, done);
  }
}
`,
  };
  const { logits, settings, stopTokens, tokens, places, output } = tensors;
  list.add(spec, [logits, settings, stopTokens, tokens, places, output], [rows]);
}

/** The race among the tokens that top-k and top-p leave. */
function truncatedRace(V: number): string {
  /** Four passes over the 32 bits of a rank, from the highest: `amount` is what a token of the current prefix adds to its bin. */
  const select32 = (name: string, amount: string): string => `
      for (var shift = 24u; ; shift -= 8u) {
        clear_bins(lane);
        for (var i = lane; i < ${V}u; i += THREADS) {
          let x = logits[first + i] / temperature;
          let rank = orderable(x);
          let same_prefix = shift == 24u || (rank >> (shift + 8u)) == (${name} >> (shift + 8u));
          if (same_prefix && rank >= floor_rank && !(no_stop && is_stop(i))) {
            atomicAdd(&bins[(rank >> shift) & 255u], ${amount});
          }
        }
        ${name} |= descend(lane, wanted) << shift;
        wanted = workgroupUniformLoad(&remaining);
        if (shift == 0u) { break; }
      }`;
  return /* wgsl */ `
  if (!greedy && !race) {
    var floor_rank = 0u;
    if (want.top_k > 0u && want.top_k < ${V}u) {
      var kth = 0u;
      var wanted = want.top_k;
      ${select32('kth', '1u')}
      floor_rank = kth;
    }
    var last_id = 0xffffffffu;
    if (want.top_p < 1.0) {
      var kept = 0.0;
      for (var i = lane; i < ${V}u; i += THREADS) {
        let x = logits[first + i] / temperature;
        if (orderable(x) >= floor_rank && !(no_stop && is_stop(i))) { kept += exp(x - best.value); }
      }
      let kept_total = reduce_sum(lane, kept);
      var pth = 0u;
      var wanted = max(1u, u32(want.top_p * 2147483648.0));
      ${select32('pth', 'mass(x, best.value, kept_total)')}
      // What is still wanted is spread over the tokens of exactly this logit, in the order of their ids.
      let each = max(1u, mass(from_rank(pth), best.value, kept_total));
      var ties = (wanted + each - 1u) / each;
      floor_rank = max(floor_rank, pth);
      last_id = 0u;
      for (var shift = 16u; ; shift -= 8u) {
        clear_bins(lane);
        for (var i = lane; i < ${V}u; i += THREADS) {
          let flipped = ~i & 0xffffffu;
          let same_prefix = (flipped >> (shift + 8u)) == (last_id >> (shift + 8u));
          if (same_prefix && orderable(logits[first + i] / temperature) == pth && !(no_stop && is_stop(i))) {
            atomicAdd(&bins[(flipped >> shift) & 255u], 1u);
          }
        }
        last_id |= descend(lane, ties) << shift;
        ties = workgroupUniformLoad(&remaining);
        if (shift == 0u) { break; }
      }
      last_id = ~last_id & 0xffffffu;
    }
    for (var i = lane; i < ${V}u; i += THREADS) {
      let x = logits[first + i] / temperature;
      let rank = orderable(x);
      if (rank >= floor_rank && (rank > floor_rank || i <= last_id) && !(no_stop && is_stop(i))) {
        let speed = exp(x - best.value) / exponential(pcg32(key ^ i));
        if (speed > win) { win = speed; winner = i; }
      }
    }
  }`;
}
