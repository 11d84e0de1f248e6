/**
 * @file Cached attention for software devices (SwiftShader): four invocations, which are one subgroup, take one key/value head and a
 * few tokens that share a prefix. There a load costs four scalar loads whatever its addresses, and a barrier costs a lot: so each lane
 * loads something different and the lanes hand it round; no workgroup memory, no barrier. Sixteen positions are scored at a
 * time (a lane has every fourth), then folded into the running softmax; a lane owns every fourth output dimension.
 *
 * Positions come in parts: the shared prefix, seen by all tokens, then each token's own entries, seen by it alone.
 */
import type { KernelSpec } from '../runtime/kernel.ts';
import { f32Literal, kernelSpec, unroll } from '../runtime/wgsl.ts';
import type { CachedAttentionShape } from './decode_attention.ts';
import { placeWgsl } from './kv_cache.ts';

const lanes = 4;
const lowest = '-3e38f';

/** The kernel for M tokens a workgroup; bindings as in `decode_attention.ts`. */
export function lanesAttention(
  { numHeads: H, numKvHeads: KV, headDim: HD }: CachedAttentionShape,
  M: number,
  indirect: boolean,
): KernelSpec {
  const G = H / KV;
  const columns = Math.ceil(HD / lanes);
  const whole = Math.floor(HD / lanes) * lanes;
  const tokens = Array.from({ length: M }, (_, m) => m);
  /** A line for each query: number, and number of its token. */
  const each = (line: (i: number, m: number) => string, separator = '\n'): string =>
    unroll(M * G, (i) => line(i, Math.floor(i / G)), separator);
  const four = (line: (e: number) => string, separator = ' '): string => unroll(4, line, separator);
  const multiply = (x: (i: number) => string): string =>
    each((i) => `{ let x = ${x(i)}; ${four((e) => `score${i}_${e} += x * key${e};`)} }`);

  return kernelSpec(
    'decode_attention_lanes',
    {
      q: 'f32',
      k_pool: 'f32',
      v_pool: 'f32',
      places: 'vec4u',
      groups: 'u32',
      ...(indirect && { own_entries: 'u32' }),
    },
    { out: 'f32' },
    `
${placeWgsl(indirect)}
@compute @workgroup_size(${lanes})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(subgroup_invocation_id) lane: u32) {
  let head = group.y;
  // Length 0: the token is idle (IDLE + 1 is 0), or there is none.
  ${tokens
    .map(
      (m) => `let token${m} = groups[group.x * ${M}u + ${m}u];
  let place${m} = places[min(token${m}, arrayLength(&places) - 1u)];
  let length${m} = select(place${m}.w + 1u, 0u, token${m} == IDLE);`,
    )
    .join('\n')}
  let longest = ${tokens.map((m) => `length${m}`).reduce((a, b) => `max(${a}, ${b})`)};
  if (longest == 0u) { return; }
  ${each((i, m) => `let first${i} = (min(token${m}, arrayLength(&places) - 1u) * ${H}u + head * ${G}u + ${i % G}u) * ${HD}u;`)}
  ${each((i) => `var best${i} = ${lowest}; var sum${i} = 0.0; ${unroll(columns, (j) => `var acc${i}_${j} = 0.0;`, ' ')}`)}
  ${unroll(columns, (j) => `let column${j} = min(lane + ${j * lanes}u, ${HD - 1}u);`)}

  for (var part = 0u; part <= ${M}u; part++) {
    var place = place0;
    var base = 0u;
    var end = min(place0.y, longest);
    ${tokens.map((m) => `if (part == ${m + 1}u) { place = place${m}; base = place.y; end = length${m}; }`).join('\n')}
    // How far each token sees into this part.
    ${tokens.map((m) => `let limit${m} = select(select(0u, end, part == ${m + 1}u), min(length${m}, end), part == 0u);`).join('\n')}
    for (; base < end; base += 16u) {
      ${four((e) => `let t${e} = base + ${e * lanes}u + lane;`)}
      let entry = vec4u(${four((e) => `(entry_of(place, min(t${e}, end - 1u)) * ${KV}u + head) * ${HD}u`, ', ')});
      ${each((i) => four((e) => `var score${i}_${e} = 0.0;`))}
      for (var d = 0u; d < ${whole}u; d += ${lanes}u) {
        ${each((i) => `let q${i} = q[first${i} + d + lane];`)}
        ${unroll(
          lanes,
          (l) => `{
          ${four((e) => `let key${e} = k_pool[entry[${e}] + d + ${l}u];`)}
          ${multiply((i) => `subgroupBroadcast(q${i}, ${l}u)`)}
        }`,
        )}
      }
      ${unroll(
        HD - whole,
        (r) => `{
        ${four((e) => `let key${e} = k_pool[entry[${e}] + ${whole + r}u];`)}
        ${multiply((i) => `q[first${i} + ${whole + r}u]`)}
      }`,
      )}
      ${each(
        (i, m) => `let seen${i} = vec4<bool>(${four((e) => `t${e} < limit${m}`, ', ')});
      let score${i} = select(vec4f(${lowest}), vec4f(${four((e) => `score${i}_${e}`, ', ')}) * ${f32Literal(1 / Math.sqrt(HD))}, seen${i});
      let top${i} = max(best${i}, subgroupMax(max(max(score${i}.x, score${i}.y), max(score${i}.z, score${i}.w))));
      let shrink${i} = exp(best${i} - top${i});
      best${i} = top${i};
      let weight${i} = select(vec4f(), exp(score${i} - vec4f(top${i})), seen${i});
      sum${i} = sum${i} * shrink${i} + subgroupAdd((weight${i}.x + weight${i}.y) + (weight${i}.z + weight${i}.w));
      ${unroll(columns, (j) => `acc${i}_${j} *= shrink${i};`, ' ')}`,
      )}
      for (var e = 0u; e < (end - base + ${lanes - 1}u) / ${lanes}u && e < 4u; e++) {
        let mine = entry[e];
        ${each((i) => `let w${i} = weight${i}[e];`)}
        ${unroll(
          lanes,
          (l) => `{
          let at = subgroupBroadcast(mine, ${l}u);
          ${unroll(columns, (j) => `let value${j} = v_pool[at + column${j}];`)}
          ${each((i) => `{ let w = subgroupBroadcast(w${i}, ${l}u); ${unroll(columns, (j) => `acc${i}_${j} += w * value${j};`, ' ')} }`)}
        }`,
        )}
      }
    }
  }
  ${each(
    (i, m) => `if (length${m} > 0u) {
    ${unroll(columns, (j) => `${j * lanes + lanes > HD ? `if (lane + ${j * lanes}u < ${HD}u) ` : ''}{ out[first${i} + column${j}] = acc${i}_${j} / sum${i}; }`)}
  }`,
  )}
}`,
    { subgroups: true },
  );
}
