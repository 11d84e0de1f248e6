/**
 * @file Causal self-attention over packed sequences, forward and backward, in the manner of FlashAttention: no matrix of
 * scores is stored; forward keeps the log-sum-exp of every query, backward recomputes scores from it.
 *
 * Queries, keys and values lie side by side, `qkv [N, (H + 2·Kv)·hd]`. Token n attends to keys in [starts[n], n]; key j is seen
 * by queries in [j, ends[j]). Query head h reads key head ⌊h·Kv/H⌋. One invocation owns one query (or one key) of one head;
 * neighbouring invocations own neighbouring tokens and walk through the other side together, so that each of their
 * loads is one load for all. A token outside an invocation's segment gets weight 0 instead of a branch.
 */
import type { GpuContext } from '../runtime/context.ts';
import type { DispatchList } from '../runtime/dispatch_list.ts';
import type { Tensor } from '../runtime/tensor.ts';
import { elementwise, f32Literal, flatGrid, kernelSpec, unroll } from '../runtime/wgsl.ts';

export interface AttentionShape {
  numHeads: number;
  numKvHeads: number;
  headDim: number;
}

/** Invocations of a workgroup. */
const groupSize = 64;
/** Keys (or queries) handled between two rescalings. */
const block = 4;
/** A score no softmax notices, and from which no infinity arises. */
const masked = '-1e30f';

/** Numbers and names shared by the three kernels. */
function common(gpu: GpuContext, s: AttentionShape) {
  const lanes = s.headDim % 4 === 0 ? 4 : 2;
  const width = s.numHeads + 2 * s.numKvHeads;
  const parts = s.headDim / lanes;
  return {
    vector: `vec${lanes}<f32>`,
    /** Vectors of a head. */
    parts,
    /** Vectors of a row of qkv, and of a row of queries or outputs. */
    row: width * parts,
    outRow: s.numHeads * parts,
    keys: s.numHeads * parts,
    values: (s.numHeads + s.numKvHeads) * parts,
    share: s.numHeads / s.numKvHeads,
    scale: f32Literal(1 / Math.sqrt(s.headDim)),
    /** Neighbours that walk together. */
    team: gpu.capabilities.software ? 4 : 32,
  };
}

const main = (segments: string, body: string) => `
@compute @workgroup_size(${groupSize})
fn main(@builtin(global_invocation_id) id: vec3u) {
  let last_token = arrayLength(&${segments}) - 1u;${body}
}`;

/** Maximum of the scores s0 … s3. */
const blockMax = unroll(block, (b) => `s${b}`, ', ').replace(
  /^(\w+), (\w+), (\w+), (\w+)$/,
  'max(max($1, $2), max($3, $4))',
);

/** qkv → out [N, H·hd] and, where given, lse [N, H]: the natural log of the sum of exponentiated scores. */
export function recordAttention(
  gpu: GpuContext,
  list: DispatchList,
  s: AttentionShape,
  tensors: { qkv: Tensor; starts: Tensor; out: Tensor; lse: Tensor | null },
): void {
  const tokens = tensors.out.shape[0]!;
  const c = common(gpu, s);
  const spec = kernelSpec(
    'attention',
    { qkv: c.vector, starts: 'u32' },
    { result: c.vector, ...(tensors.lse && { lse: 'f32' }) },
    main(
      'starts',
      `
  let n = min(id.x, last_token);
  let head = id.y;
  let query = n * ${c.row}u + head * ${c.parts}u;
  let keys = ${c.keys}u + (head / ${c.share}u) * ${c.parts}u;
  let values = ${c.values}u + (head / ${c.share}u) * ${c.parts}u;
  ${unroll(c.parts, (d) => `let q${d} = qkv[query + ${d}u] * ${c.scale}; var o${d} = ${c.vector}();`)}
  let start = starts[n];
  let team = n - n % ${c.team}u;
  let last = min(team + ${c.team - 1}u, last_token);
  var top = ${masked};
  var total = 0.0;
  for (var j = starts[team]; j <= last; j += ${block}u) {
    ${unroll(
      block,
      (b) => `
    let j${b} = min(j + ${b}u, last) * ${c.row}u;
    var s${b} = 0.0;
    ${unroll(c.parts, (d) => `s${b} += dot(q${d}, qkv[j${b} + keys + ${d}u]);`)}
    s${b} = select(${masked}, s${b}, j + ${b}u >= start && j + ${b}u <= n);`,
    )}
    let next = max(top, ${blockMax});
    let fade = exp(top - next);
    top = next;
    ${unroll(block, (b) => `let p${b} = select(0.0, exp(s${b} - top), j + ${b}u >= start && j + ${b}u <= n);`)}
    total = total * fade + ${unroll(block, (b) => `p${b}`, ' + ')};
    ${unroll(
      c.parts,
      (d) => `o${d} = o${d} * fade + ${unroll(block, (b) => `p${b} * qkv[j${b} + values + ${d}u]`, ' + ')};`,
    )}
  }
  if (id.x > last_token) { return; }
  let to = n * ${c.outRow}u + head * ${c.parts}u;
  ${unroll(c.parts, (d) => `result[to + ${d}u] = o${d} / total;`)}
  ${tensors.lse ? `lse[n * ${s.numHeads}u + head] = top + log(total);` : ''}`,
    ),
  );
  list.add(
    spec,
    [tensors.qkv, tensors.starts, tensors.out, ...(tensors.lse ? [tensors.lse] : [])],
    [Math.ceil(tokens / groupSize), s.numHeads],
  );
}

/** What backward reads and writes. `dOut`, `out` [N, H·hd]; `lse`, `delta` [N, H]; `dQkv` like `qkv`, overwritten. */
export interface AttentionBackward {
  qkv: Tensor;
  out: Tensor;
  dOut: Tensor;
  lse: Tensor;
  /** Scratch: `Σ_d dOut·out` of every query. */
  delta: Tensor;
  starts: Tensor;
  ends: Tensor;
  dQkv: Tensor;
}

/**
 * With p = exp(s − lse) and ds = p·(dp − delta), dp = dOut·v: `dq = scale·Σ_j ds·k`, `dk = scale·Σ_i ds·q`, `dv = Σ_i p·dOut`
 * (Dao et al., 2022). One pass over queries, one over keys; nothing is added atomically.
 */
export function recordAttentionBackward(
  gpu: GpuContext,
  list: DispatchList,
  s: AttentionShape,
  t: AttentionBackward,
): void {
  const tokens = t.out.shape[0]!;
  const c = common(gpu, s);
  list.add(
    elementwise(
      'attention_delta',
      'arrayLength(&delta)',
      { out: c.vector, d_out: c.vector },
      { delta: 'f32' },
      `
  let first = i * ${c.parts}u;
  var sum = 0.0;
  for (var d = 0u; d < ${c.parts}u; d++) { sum += dot(out[first + d], d_out[first + d]); }
  delta[i] = sum;`,
    ),
    [t.out, t.dOut, t.delta],
    flatGrid(tokens * s.numHeads),
  );
  const queries = kernelSpec(
    'attention_backward_queries',
    { qkv: c.vector, d_out: c.vector, lse: 'f32', delta: 'f32', starts: 'u32' },
    { d_qkv: c.vector },
    main(
      'starts',
      `
  let n = min(id.x, last_token);
  let head = id.y;
  let query = n * ${c.row}u + head * ${c.parts}u;
  let upstream = n * ${c.outRow}u + head * ${c.parts}u;
  let keys = ${c.keys}u + (head / ${c.share}u) * ${c.parts}u;
  let values = ${c.values}u + (head / ${c.share}u) * ${c.parts}u;
  ${unroll(
    c.parts,
    (d) => `let q${d} = qkv[query + ${d}u] * ${c.scale};
  let u${d} = d_out[upstream + ${d}u];
  var dq${d} = ${c.vector}();`,
  )}
  let start = starts[n];
  let lse_n = lse[n * ${s.numHeads}u + head];
  let delta_n = delta[n * ${s.numHeads}u + head];
  let team = n - n % ${c.team}u;
  let last = min(team + ${c.team - 1}u, last_token);
  for (var j = starts[team]; j <= last; j++) {
    let row = j * ${c.row}u;
    var score = 0.0;
    var dp = 0.0;
    ${unroll(
      c.parts,
      (d) => `let k${d} = qkv[row + keys + ${d}u];
    score += dot(q${d}, k${d});
    dp += dot(u${d}, qkv[row + values + ${d}u]);`,
    )}
    let inside = j >= start && j <= n;
    let ds = select(0.0, exp(min(score - lse_n, 0.0)) * (dp - delta_n), inside);
    ${unroll(c.parts, (d) => `dq${d} += ds * k${d};`)}
  }
  if (id.x > last_token) { return; }
  ${unroll(c.parts, (d) => `d_qkv[query + ${d}u] = dq${d} * ${c.scale};`)}`,
    ),
  );
  list.add(
    queries,
    [t.qkv, t.dOut, t.lse, t.delta, t.starts, t.dQkv],
    [Math.ceil(tokens / groupSize), s.numHeads],
  );
  const keys = kernelSpec(
    'attention_backward_keys',
    { qkv: c.vector, d_out: c.vector, lse: 'f32', delta: 'f32', ends: 'u32' },
    { d_qkv: c.vector },
    main(
      'ends',
      `
  let n = min(id.x, last_token);
  let keys = n * ${c.row}u + ${c.keys}u + id.y * ${c.parts}u;
  let values = n * ${c.row}u + ${c.values}u + id.y * ${c.parts}u;
  ${unroll(
    c.parts,
    (d) => `let k${d} = qkv[keys + ${d}u] * ${c.scale};
  let v${d} = qkv[values + ${d}u];
  var dk${d} = ${c.vector}();
  var dv${d} = ${c.vector}();`,
  )}
  let end = ends[n];
  let team = n - n % ${c.team}u;
  let stop = ends[min(team + ${c.team - 1}u, last_token)];
  for (var head = id.y * ${c.share}u; head < (id.y + 1u) * ${c.share}u; head++) {
    for (var j = team; j < stop; j++) {
      let query = j * ${c.row}u + head * ${c.parts}u;
      let upstream = j * ${c.outRow}u + head * ${c.parts}u;
      var score = 0.0;
      var dp = 0.0;
      ${unroll(
        c.parts,
        (d) => `let q${d} = qkv[query + ${d}u];
      let u${d} = d_out[upstream + ${d}u];
      score += dot(q${d}, k${d});
      dp += dot(u${d}, v${d});`,
      )}
      let inside = j >= n && j < end;
      let at = j * ${s.numHeads}u + head;
      let p = select(0.0, exp(min(score - lse[at], 0.0)), inside);
      let ds = p * (dp - delta[at]);
      ${unroll(c.parts, (d) => `dk${d} += ds * q${d}; dv${d} += p * u${d};`)}
    }
  }
  if (id.x > last_token) { return; }
  ${unroll(c.parts, (d) => `d_qkv[keys + ${d}u] = dk${d} * ${c.scale}; d_qkv[values + ${d}u] = dv${d};`)}`,
    ),
  );
  list.add(
    keys,
    [t.qkv, t.dOut, t.lse, t.delta, t.ends, t.dQkv],
    [Math.ceil(tokens / groupSize), s.numKvHeads],
  );
}
