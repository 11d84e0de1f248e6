/**
 * @file Attention of single query tokens over the key/value cache (decoding and prefill alike), grouped heads.
 *
 * One workgroup takes one key/value head and a few tokens that share a prefix (rows of one prompt, or neighbours within it), with all query
 * heads of that head: an entry of the prefix is read once for all of them. Then each token's own entries follow. Scores are made tile
 * by tile with a running maximum and sum (online softmax). The order of every sum depends on a token's own prefix and length alone:
 * its result does not depend on the batch it is in, on its neighbours, nor on where its entries lie.
 */
import type { GpuContext } from '../runtime/context.ts';
import type { DispatchList } from '../runtime/dispatch_list.ts';
import type { KernelSpec } from '../runtime/kernel.ts';
import type { Tensor } from '../runtime/tensor.ts';
import { f32Literal, kernelSpec, unroll } from '../runtime/wgsl.ts';
import { lanesAttention, lanesAttentionFits } from './decode_attention_lanes.ts';
import { idle, placeWgsl } from './kv_cache.ts';

export interface CachedAttentionShape {
  numHeads: number;
  numKvHeads: number;
  headDim: number;
}

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
  /** Tokens that share a prefix, from `shareGroups`, `[N, M]` u32. */
  groups: Tensor;
  /** Entry numbers of own entries, when places are indirect. */
  ownEntries?: Tensor | null;
}

const chooseVariant = (gpu: GpuContext, shape: CachedAttentionShape): 'lanes' | 'workgroup' =>
  gpu.capabilities.lanes && lanesAttentionFits(shape) ? 'lanes' : 'workgroup';

/** M: how many of N tokens a workgroup takes at most. A hardware device with few tokens wants workgroups more than reuse. */
export function tokensPerGroup(gpu: GpuContext, shape: CachedAttentionShape, tokens: number): number {
  const { software } = gpu.capabilities;
  if (!software && tokens < 128) return 1;
  const heads = shape.numHeads / shape.numKvHeads;
  // What a thread can keep in registers: about 8 queries, or 512 numbers of output among four lanes.
  const queries =
    chooseVariant(gpu, shape) === 'lanes' ? Math.min(8, 512 / shape.headDim) : 1024 / shape.headDim;
  return Math.max(1, Math.min(mostTokens, Math.floor(queries / heads)));
}

/** Most tokens of a group. */
export const mostTokens = 4;

/** Tokens 0 … n−1 in groups of at most M neighbours with the same prefix, filled up with `idle`. `[capacity, M]` */
export function shareGroups(prefixes: readonly number[], M: number, capacity: number): Uint32Array {
  const groups = new Uint32Array(capacity * M).fill(idle);
  let group = -1;
  let members = M;
  prefixes.forEach((prefix, n) => {
    if (members === M || prefix !== prefixes[n - 1]) {
      group++;
      members = 0;
    }
    groups[group * M + members++] = n;
  });
  return groups;
}

/** Entries between two rescalings. */
const tile = 128;
const lowest = '-3e38f';

/**
 * `out[n, h] = Σ_t softmax_t(q[n, h]·k[t] / √hd) v[t]` over positions t = 0 … position of token n. Idle tokens' outputs are left as
 * they are.
 */
export function recordDecodeAttention(
  gpu: GpuContext,
  list: DispatchList,
  shape: CachedAttentionShape,
  { q, kPool, vPool, out, places, groups, ownEntries }: DecodeAttentionTensors,
  variant: 'lanes' | 'workgroup' = chooseVariant(gpu, shape),
): void {
  const M = groups.shape[1]!;
  const spec =
    variant === 'lanes'
      ? lanesAttention(shape, M, Boolean(ownEntries))
      : workgroupAttention(shape, M, Boolean(ownEntries), gpu.capabilities.software);
  const read = [q, kPool, vPool, places, groups, ...(ownEntries ? [ownEntries] : [])];
  list.add(spec, [...read, out], [groups.shape[0]!, shape.numKvHeads]);
}

/** The kernel in which threads share a tile through workgroup memory. */
function workgroupAttention(
  { numHeads: H, numKvHeads: KV, headDim: HD }: CachedAttentionShape,
  M: number,
  indirect: boolean,
  software: boolean,
): KernelSpec {
  // Few threads on a software device, where barriers cost more than loops.
  const threads = software ? 4 : 64;
  const G = H / KV;
  const Q = M * G;
  const width = HD % 4 === 0 ? 4 : HD % 2 === 0 ? 2 : 1;
  const vec = width === 1 ? 'f32' : `vec${width}<f32>`;
  /** Vectors of a head. Fewer than threads: several threads share one and split the entries (slices). */
  const C = HD / width;
  const slices = Math.max(1, Math.floor(threads / C));
  const columns = Math.ceil(C / threads);
  // Whether a·b + c is contracted must not be the compiler's choice: it could choose differently for another M.
  const fma = (a: string, b: string, c: string): string =>
    software ? `${c} + ${a} * ${b}` : `fma(${a}, ${b}, ${c})`;
  const tokens = Array.from({ length: M }, (_, m) => m);
  const eachToken = (line: (m: number) => string): string => tokens.map(line).join('\n');
  const each = (line: (query: number, token: number) => string): string =>
    unroll(Q, (i) => line(i, Math.floor(i / G)));
  /** Unrolled, a query's address is a constant, which a software device turns into a plain load; but shaders compile slowly there. */
  const overColumns = (body: (c: string) => string): string =>
    software && C * Q <= 32
      ? unroll(C, (c) => `{ ${body(`${c}u`)} }`)
      : `for (var c = 0u; c < ${C}u; c++) { ${body('c')} }`;

  /** Reduce a number of every thread and query; the result lies at `reduced[query · threads]`. */
  const reduce = (name: string, combine: string): string => `
    ${each((i) => `reduced[${i * threads}u + lane] = ${name}${i};`)}
    for (var step = ${threads / 2}u; step > 0u; step >>= 1u) {
      workgroupBarrier();
      if (lane < step) {
        for (var i = lane; i < ${Q * threads}u; i += ${threads}u) {
          let a = reduced[i];
          let b = reduced[i + step];
          reduced[i] = ${combine};
        }
      }
    }
    workgroupBarrier();`;

  /**
   * All tiles of positions `[first, end)`. With `shared` entries one key and one value serve all tokens; otherwise each token has its
   * own at the same position.
   */
  const tiles = (first: string, end: string, shared: boolean): string => {
    const of = (m: number): number => (shared ? 0 : m);
    const loaded = shared ? [0] : tokens;
    const entry = (m: number): string =>
      shared ? 'place0.x + t' : `entry_of(place${m}, min(t, max(length${m}, 1u) - 1u))`;
    const load = (pool: string, name: string, from: (m: number) => string): string =>
      loaded.map((m) => `let ${name}${m} = ${pool}[${from(m)}];`).join(' ');
    return `
  for (var base = ${first}; base < ${end}; base += ${tile}u) {
    let count = min(${tile}u, ${end} - base);
    workgroupBarrier();
    ${each((i) => `var high${i} = ${lowest};`)}
    for (var at = lane; at < count; at += ${threads}u) {
      let t = base + at;
      ${loaded.map((m) => `let entry${m} = ((${entry(m)}) * ${KV}u + head) * ${C}u; entries[${m * tile}u + at] = entry${m};`).join('\n')}
      ${each((i) => `var score${i} = 0.0;`)}
      ${overColumns((c) => `${load('k_pool', 'key', (m) => `entry${m} + ${c}`)} ${each((i, m) => `score${i} = product(query[${i * C}u + ${c}], key${of(m)}, score${i});`)}`)}
      ${each((i, m) => `score${i} = select(${lowest}, score${i}, t < length${m}); weights[${i * tile}u + at] = score${i}; high${i} = max(high${i}, score${i});`)}
    }
    ${reduce('high', 'max(a, b)')}
    // Weights against the new maximum; what was summed before shrinks with it.
    ${each((i) => `let top${i} = max(best${i}, reduced[${i * threads}u]); let shrink${i} = exp(best${i} - top${i}); best${i} = top${i};`)}
    workgroupBarrier();
    ${each((i) => `var share${i} = 0.0;`)}
    for (var at = lane; at < count; at += ${threads}u) {
      ${each((i) => `let w${i} = exp(weights[${i * tile}u + at] - best${i}); weights[${i * tile}u + at] = w${i}; share${i} += w${i};`)}
    }
    ${reduce('share', 'a + b')}
    ${each((i) => `sum${i} = ${fma(`sum${i}`, `shrink${i}`, `reduced[${i * threads}u]`)};`)}
    ${each((i) => unroll(columns, (j) => `acc${i}_${j} *= shrink${i};`))}
    if (slice < ${slices}u) {
      for (var at = slice; at < count; at += ${slices}u) {
        ${load('entries', 'entry', (m) => `${m * tile}u + at`)}
        ${unroll(columns, (j) => load('v_pool', `value${j}_`, (m) => `entry${m} + column${j}`))}
        ${each((i, m) => `let w${i} = weights[${i * tile}u + at]; ${unroll(columns, (j) => `acc${i}_${j} = ${fma(`${vec}(w${i})`, `value${j}_${of(m)}`, `acc${i}_${j}`)};`, ' ')}`)}
      }
    }
  }`;
  };
  const store = (i: number, m: number, column: string, value: string): string =>
    `out[(token${m} * ${H}u + head * ${G}u + ${i % G}u) * ${C}u + ${column}] = ${value} / sum${i};`;

  return kernelSpec(
    'decode_attention',
    {
      q: vec,
      k_pool: vec,
      v_pool: vec,
      places: 'vec4u',
      groups: 'u32',
      ...(indirect && { own_entries: 'u32' }),
    },
    { out: vec },
    `
${placeWgsl(indirect)}
var<workgroup> query: array<${vec}, ${Q * C}>;
var<workgroup> weights: array<f32, ${Q * tile}>;
var<workgroup> entries: array<u32, ${M * tile}>;
var<workgroup> reduced: array<f32, ${Q * threads}>;
${slices > 1 ? `var<workgroup> partial: array<${vec}, ${threads}>;` : ''}

/** acc + a·b, added up in the order of the components. */
fn product(a: ${vec}, b: ${vec}, acc: f32) -> f32 {
  var sum = acc;
  ${unroll(width, (i) => `sum = ${width === 1 ? fma('a', 'b', 'sum') : fma(`a[${i}]`, `b[${i}]`, 'sum')};`)}
  return sum;
}

@compute @workgroup_size(${threads})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let head = group.y;
  // Length 0: the token is idle (IDLE + 1 is 0), or there is none.
  ${eachToken(
    (m) => `let token${m} = groups[group.x * ${M}u + ${m}u];
  let place${m} = places[min(token${m}, arrayLength(&places) - 1u)];
  let length${m} = select(place${m}.w + 1u, 0u, token${m} == IDLE);`,
  )}
  let longest = ${tokens.map((m) => `length${m}`).reduce((a, b) => `max(${a}, ${b})`)};
  if (longest == 0u) { return; }
  for (var i = lane; i < ${Q * C}u; i += ${threads}u) {
    let token = groups[group.x * ${M}u + i / ${G * C}u];
    query[i] = q[(min(token, arrayLength(&places) - 1u) * ${H}u + head * ${G}u) * ${C}u + i % ${G * C}u] * ${f32Literal(1 / Math.sqrt(HD))};
  }
  ${each((i) => `var best${i} = ${lowest}; var sum${i} = 0.0; ${unroll(columns, (j) => `var acc${i}_${j} = ${vec}();`, ' ')}`)}
  ${unroll(columns, (j) => `let column${j} = min(lane % ${slices > 1 ? C : threads}u + ${j * threads}u, ${C - 1}u);`)}
  let slice = ${slices > 1 ? `lane / ${C}u` : '0u'};

  let shared_end = min(place0.y, longest);
  ${tiles('0u', 'shared_end', true)}
  ${tiles('place0.y', 'longest', false)}
  ${
    slices > 1
      ? each(
          (i, m) => `workgroupBarrier();
  partial[lane] = acc${i}_0;
  workgroupBarrier();
  if (lane < ${C}u && length${m} > 0u) {
    var value = partial[lane];
    for (var s = 1u; s < ${slices}u; s++) { value += partial[s * ${C}u + lane]; }
    ${store(i, m, 'lane', 'value')}
  }`,
        )
      : each((i, m) =>
          unroll(
            columns,
            (j) =>
              `if (lane + ${j * threads}u < ${C}u && length${m} > 0u) { ${store(i, m, `column${j}`, `acc${i}_${j}`)} }`,
          ),
        )
  }
}`,
  );
}
