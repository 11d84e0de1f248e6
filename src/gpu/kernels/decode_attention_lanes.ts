/**
 * @file Cached attention for software devices (SwiftShader): four invocations, which are one subgroup, take one key/value head and a
 * few tokens that share a prefix. There a load costs as much as five multiplications whatever its addresses, and a barrier costs
 * more: so each lane loads something different and the lanes hand it round; no workgroup memory, no barrier. Sixteen positions
 * are scored at a time (a lane has every fourth), then folded into the running softmax; a lane owns every fourth vector of the
 * output. The shared prefix is read once for all tokens, then each token reads its own entries.
 */
import type { KernelSpec } from '../runtime/kernel.ts';
import { f32Literal, kernelSpec, unroll } from '../runtime/wgsl.ts';
import type { CachedAttentionShape } from './decode_attention.ts';
import { placeWgsl } from './kv_cache.ts';

const lowest = '-3e38f';

/** Whether heads can be read as vectors of four, as this kernel does. */
export const lanesAttentionFits = ({ headDim }: CachedAttentionShape): boolean => headDim % 4 === 0;

/** The kernel for M tokens a workgroup; bindings as in `decode_attention.ts`. */
export function lanesAttention(
  { numHeads: H, numKvHeads: KV, headDim: HD }: CachedAttentionShape,
  M: number,
  indirect: boolean,
): KernelSpec {
  const G = H / KV;
  /** Vectors of a head, and how many of them a lane owns. */
  const C = HD / 4;
  const owned = Math.ceil(C / 4);
  const tokens = Array.from({ length: M }, (_, m) => m);
  /** Queries of one token, and of all. */
  const one = Array.from({ length: G }, (_, g) => g);
  const all = Array.from({ length: M * G }, (_, i) => i);
  const tokenOf = (i: number): number => Math.floor(i / G);
  const four = (line: (e: number) => string, separator = ' '): string => unroll(4, line, separator);
  const accumulators = (line: (j: number) => string): string => unroll(owned, line, ' ');
  const each = (queries: readonly number[], line: (i: number) => string): string =>
    queries.map(line).join('\n');

  /** Positions from `base` to `end` of `place`; query i sees those below `limit<i>`. */
  const positions = (queries: readonly number[], base: string): string => `
  for (var base = ${base}; base < end; base += 16u) {
    ${four((e) => `let t${e} = base + ${4 * e}u + lane;`)}
    // Positions past the end repeat the last one and have no weight.
    let entry = vec4u(${four((e) => `(entry_of(place, min(t${e}, end - 1u)) * ${KV}u + head) * ${C}u`, ', ')});
    ${each(queries, (i) => `var score${i} = vec4f();`)}
    for (var c = 0u; c < ${C}u; c++) {
      ${four((e) => `let key${e} = k_pool[entry[${e}] + c];`)}
      ${four((l) => `let keys${l} = vec4f(${four((e) => `key${e}[${l}]`, ', ')});`)}
      ${each(queries, (i) => `{ let mine = q[first${i} + 4u * c + lane]; ${four((l) => `score${i} += subgroupBroadcast(mine, ${l}u) * keys${l};`)} }`)}
    }
    ${each(
      queries,
      (i) => `let seen${i} = vec4<bool>(${four((e) => `t${e} < limit${i}`, ', ')});
    score${i} = select(vec4f(${lowest}), score${i} * ${f32Literal(1 / Math.sqrt(HD))}, seen${i});
    let top${i} = max(best${i}, subgroupMax(max(max(score${i}.x, score${i}.y), max(score${i}.z, score${i}.w))));
    let shrink${i} = exp(best${i} - top${i});
    best${i} = top${i};
    let weight${i} = select(vec4f(), exp(score${i} - top${i}), seen${i});
    sum${i} = sum${i} * shrink${i} + subgroupAdd((weight${i}.x + weight${i}.y) + (weight${i}.z + weight${i}.w));
    ${accumulators((j) => `acc${i}_${j} *= shrink${i};`)}`,
    )}
    ${fold(queries)}
  }`;

  /** Add up to sixteen weighted values. Few queries: short code (shaders compile slowly there) matters more than a cheap hand-over. */
  const fold = (queries: readonly number[]): string => {
    const value = accumulators((j) => `let value${j} = v_pool[at + column${j}];`);
    const add = (weight: (i: number) => string): string =>
      each(
        queries,
        (i) => `{ let w = ${weight(i)}; ${accumulators((j) => `acc${i}_${j} += w * value${j};`)} }`,
      );
    if (queries.length < 4)
      return `for (var n = 0u; n < min(16u, end - base); n++) {
      let at = subgroupShuffle(entry[n / 4u], n % 4u);
      ${value}
      ${add((i) => `subgroupShuffle(weight${i}[n / 4u], n % 4u)`)}
    }`;
    return `for (var e = 0u; e < min(4u, (end - base + 3u) / 4u); e++) {
      let entries = entry[e];
      ${each(queries, (i) => `let weights${i} = weight${i}[e];`)}
      ${four(
        (l) => `{
        let at = subgroupBroadcast(entries, ${l}u);
        ${value}
        ${add((i) => `subgroupBroadcast(weights${i}, ${l}u)`)}
      }`,
        '\n',
      )}
    }`;
  };

  return kernelSpec(
    'decode_attention_lanes',
    {
      q: 'f32',
      k_pool: 'vec4f',
      v_pool: 'vec4f',
      places: 'vec4u',
      groups: 'u32',
      ...(indirect && { own_entries: 'u32' }),
    },
    { out: 'vec4f' },
    `
${placeWgsl(indirect)}
/** Positions a token sees; 0 when it is idle (IDLE + 1 is 0) or there is none. */
fn length_of(token: u32) -> u32 {
  return select(places[min(token, arrayLength(&places) - 1u)].w + 1u, 0u, token == IDLE);
}
/** First element of a query head. */
fn first_of(token: u32, head: u32) -> u32 {
  return (min(token, arrayLength(&places) - 1u) * ${H}u + head) * ${HD}u;
}
@compute @workgroup_size(4)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(subgroup_invocation_id) lane: u32) {
  let head = group.y;
  ${tokens
    .map(
      (m) => `let token${m} = groups[group.x * ${M}u + ${m}u];
  let length${m} = length_of(token${m});`,
    )
    .join('\n')}
  let longest = ${tokens.map((m) => `length${m}`).reduce((a, b) => `max(${a}, ${b})`)};
  if (longest == 0u) { return; }
  ${unroll(owned, (j) => `let column${j} = min(lane + ${4 * j}u, ${C - 1}u);`)}
  var bests: array<f32, ${all.length}>;
  var sums: array<f32, ${all.length}>;
  var accs: array<vec4f, ${all.length * owned}>;

  // The shared prefix, all tokens at once.
  {
    let place = places[min(token0, arrayLength(&places) - 1u)];
    let end = min(place.y, longest);
    ${each(all, (i) => `let first${i} = first_of(token${tokenOf(i)}, head * ${G}u + ${i % G}u); let limit${i} = min(end, length${tokenOf(i)});`)}
    ${each(all, (i) => `var best${i} = ${lowest}; var sum${i} = 0.0; ${accumulators((j) => `var acc${i}_${j} = vec4f();`)}`)}
    ${positions(all, '0u')}
    ${each(all, (i) => `bests[${i}] = best${i}; sums[${i}] = sum${i}; ${accumulators((j) => `accs[${i * owned + j}] = acc${i}_${j};`)}`)}
  }
  // Each token's own entries, and its result.
  for (var m = 0u; m < ${M}u; m++) {
    let token = groups[group.x * ${M}u + m];
    let end = length_of(token);
    if (end == 0u) { continue; }
    let place = places[token];
    ${each(one, (g) => `let first${g} = first_of(token, head * ${G}u + ${g}u); let limit${g} = end; let state${g} = m * ${G}u + ${g}u;`)}
    ${each(one, (g) => `var best${g} = bests[state${g}]; var sum${g} = sums[state${g}]; ${accumulators((j) => `var acc${g}_${j} = accs[state${g} * ${owned}u + ${j}u];`)}`)}
    ${positions(one, 'place.y')}
    ${each(one, (g) => accumulators((j) => `if (lane + ${4 * j}u < ${C}u) { out[first${g} / 4u + column${j}] = acc${g}_${j} / sum${g}; }`))}
  }
}`,
    { subgroups: true },
  );
}
