/**
 * @file Causal self-attention over packed sequences, forward and backward, in the manner of FlashAttention: no matrix of
 * scores is stored; forward keeps the log-sum-exp of every query, backward recomputes scores from it.
 *
 * Queries, keys and values lie side by side, `qkv [N, (H + 2·Kv)·hd]`. Token n attends to keys in [starts[n], n] and to those of
 * a prefix it shares with other sequences, [prefixes[n].x, prefixes[n].y); key j is seen by queries in [j, ends[j]). Query head h reads key head ⌊h·Kv/H⌋. N is a multiple of 4 (kernels take it from the arrays' lengths).
 *
 * An invocation owns one query (or key) of one head, on a software device two. A team of neighbouring invocations owns
 * neighbouring tokens and walks through the other side together. A token outside an invocation's segment gets weight 0
 * instead of a branch.
 */
import type { GpuContext } from '../runtime/context.ts';
import type { DispatchList } from '../runtime/dispatch_list.ts';
import type { KernelSpec } from '../runtime/kernel.ts';
import type { Tensor } from '../runtime/tensor.ts';
import { elementwise, f32Literal, flatGrid, kernelSpec, unroll } from '../runtime/wgsl.ts';

export interface AttentionShape {
  numHeads: number;
  numKvHeads: number;
  headDim: number;
}

/** Invocations of a workgroup. */
const groupSize = 64;
/** Keys handled between two rescalings of the forward pass. */
const block = 4;
/** A score no softmax notices, and from which no infinity arises. */
const masked = '-1e30f';

/** How a kernel reads rows: vectors of four (or two), or scalars that the lanes of a subgroup load and hand round. */
interface Reading {
  /** WGSL element type of the arrays. */
  element: string;
  /** Elements of a head. */
  parts: number;
  /** Tokens that an invocation owns. */
  owned: number;
  /** Invocations of a team. */
  team: number;
  lanes: boolean;
  /** WGSL that gets a row everybody wants ready, and its element `d`. */
  shared: (name: string, array: string, first: string) => string;
  part: (name: string, d: number) => string;
  /** WGSL of the product of two elements, summed over them. */
  dot: (x: string, y: string) => string;
}

function readingOf(gpu: GpuContext, { headDim }: AttentionShape): Reading {
  if (gpu.capabilities.lanes) {
    const loads = Math.ceil(headDim / 4);
    return {
      element: 'f32',
      parts: headDim,
      owned: 2,
      team: 4,
      lanes: true,
      shared: (name, array, first) =>
        `${unroll(loads, (l) => `let ${name}_load${l} = ${array}[${first} + ${4 * l}u + lane];`)}
        ${unroll(headDim, (d) => `let ${name}${d} = subgroupBroadcast(${name}_load${d >> 2}, ${d & 3}u);`)}`,
      part: (name, d) => `${name}${d}`,
      dot: (x, y) => `${x} * ${y}`,
    };
  }
  const width = headDim % 4 === 0 ? 4 : 2;
  const parts = headDim / width;
  return {
    element: `vec${width}<f32>`,
    parts,
    owned: 1,
    team: gpu.capabilities.software ? 4 : 32,
    lanes: false,
    shared: (name, array, first) => unroll(parts, (d) => `let ${name}${d} = ${array}[${first} + ${d}u];`),
    part: (name, d) => `${name}${d}`,
    dot: (x, y) => `dot(${x}, ${y})`,
  };
}

/** Strides and offsets in elements, and the frame of a kernel. */
function frame(r: Reading, s: AttentionShape) {
  const owned = (line: (o: number) => string) => unroll(r.owned, line);
  return {
    owned,
    parts: (line: (d: number) => string) => unroll(r.parts, line),
    row: (s.numHeads + 2 * s.numKvHeads) * r.parts,
    outRow: s.numHeads * r.parts,
    keys: s.numHeads * r.parts,
    values: (s.numHeads + s.numKvHeads) * r.parts,
    share: s.numHeads / s.numKvHeads,
    scale: f32Literal(1 / Math.sqrt(s.headDim)),
    /**
     * WGSL that walks over the keys of a team, first those of shared prefixes, then its own: `body(inside)` sees `j`, and
     * `inside(o, offset)` tells whether query o attends to key j + offset.
     */
    walkKeys: (step: number, body: (inside: (o: number, offset: number) => string) => string) => `
  ${owned((o) => `let start${o} = starts[n${o}]; let prefix${o} = prefixes[n${o}];`)}
  var shared_first = last_token + 1u;
  var shared_end = 0u;
  for (var m = team_first; m <= team_last; m++) {
    let prefix = prefixes[m];
    if (prefix.x < prefix.y) { shared_first = min(shared_first, prefix.x); shared_end = max(shared_end, prefix.y); }
  }
  for (var part = 0u; part < 2u; part++) {
    let walk_first = select(starts[team_first], shared_first, part == 0u);
    let walk_end = select(team_last + 1u, shared_end, part == 0u);
    ${owned(
      (o) => `let from${o} = select(start${o}, prefix${o}.x, part == 0u);
    let end${o} = select(n${o} + 1u, prefix${o}.y, part == 0u);`,
    )}
    for (var j = walk_first; j < walk_end; j += ${step}u) {
      ${body((o, offset) => `j + ${offset}u >= from${o} && j + ${offset}u < end${o}`)}
    }
  }`,
    groups: (tokens: number) => Math.ceil(tokens / (groupSize * r.owned)),
    /** `main` with the owned tokens `n<o>` (clamped) and the team's first and last token. */
    kernel: (
      name: string,
      reads: Record<string, string>,
      writes: Record<string, string>,
      segments: string,
      body: string,
    ): KernelSpec =>
      kernelSpec(
        name,
        reads,
        writes,
        `
@compute @workgroup_size(${groupSize})
fn main(@builtin(global_invocation_id) id: vec3u) {
  let last_token = arrayLength(&${segments}) - 1u;
  let lane = id.x % ${r.team}u;
  let team_first = min((id.x - lane) * ${r.owned}u, last_token);
  let team_last = min(team_first + ${r.team * r.owned - 1}u, last_token);
  ${owned((o) => `let token${o} = (id.x - lane) * ${r.owned}u + ${r.team * o}u + lane; let n${o} = min(token${o}, last_token);`)}
  ${body}
}`,
        { subgroups: r.lanes },
      ),
  };
}

/** qkv → out [N, H·hd] and, where given, lse [N, H]: the natural log of the sum of exponentiated scores. */
export function recordAttention(
  gpu: GpuContext,
  list: DispatchList,
  s: AttentionShape,
  tensors: { qkv: Tensor; starts: Tensor; prefixes: Tensor; out: Tensor; lse: Tensor | null },
): void {
  const r = readingOf(gpu, s);
  const f = frame(r, s);
  const blocks = (line: (b: number) => string, separator?: string) => unroll(block, line, separator);
  const spec = f.kernel(
    'attention',
    { qkv: r.element, starts: 'u32', prefixes: 'vec2<u32>' },
    { result: r.element, ...(tensors.lse && { lse: 'f32' }) },
    'starts',
    `
  let keys = ${f.keys}u + (id.y / ${f.share}u) * ${r.parts}u;
  let values = ${f.values}u + (id.y / ${f.share}u) * ${r.parts}u;
  ${f.owned(
    (o) => `
  let query${o} = n${o} * ${f.row}u + id.y * ${r.parts}u;
  var top${o} = ${masked};
  var total${o} = 0.0;
  ${f.parts((d) => `let q${o}_${d} = qkv[query${o} + ${d}u] * ${f.scale}; var o${o}_${d} = ${r.element}();`)}`,
  )}
  ${f.walkKeys(
    block,
    (inside) => `
    ${blocks(
      (b) => `
    let j${b} = min(j + ${b}u, last_token) * ${f.row}u;
    ${f.owned((o) => `var s${o}_${b} = 0.0;`)}
    {
      ${r.shared('k', 'qkv', `j${b} + keys`)}
      ${f.parts((d) => f.owned((o) => `s${o}_${b} += ${r.dot(`q${o}_${d}`, r.part('k', d))};`))}
    }`,
    )}
    ${f.owned(
      (o) => `
    ${blocks((b) => `s${o}_${b} = select(${masked}, s${o}_${b}, ${inside(o, b)});`)}
    let next${o} = max(top${o}, max(max(s${o}_0, s${o}_1), max(s${o}_2, s${o}_3)));
    let fade${o} = exp(top${o} - next${o});
    top${o} = next${o};
    ${blocks((b) => `let p${o}_${b} = select(0.0, exp(s${o}_${b} - next${o}), ${inside(o, b)});`)}
    total${o} = total${o} * fade${o} + ${blocks((b) => `p${o}_${b}`, ' + ')};
    ${f.parts((d) => `o${o}_${d} *= fade${o};`)}`,
    )}
    ${blocks(
      (b) => `{
      ${r.shared('v', 'qkv', `j${b} + values`)}
      ${f.parts((d) => f.owned((o) => `o${o}_${d} += p${o}_${b} * ${r.part('v', d)};`))}
    }`,
    )}`,
  )}
  ${f.owned(
    (o) => `
  if (token${o} <= last_token) {
    let to = n${o} * ${f.outRow}u + id.y * ${r.parts}u;
    ${f.parts((d) => `result[to + ${d}u] = o${o}_${d} / total${o};`)}
    ${tensors.lse ? `lse[n${o} * ${s.numHeads}u + id.y] = top${o} + log(total${o});` : ''}
  }`,
  )}`,
  );
  const bound = [
    tensors.qkv,
    tensors.starts,
    tensors.prefixes,
    tensors.out,
    ...(tensors.lse ? [tensors.lse] : []),
  ];
  list.add(spec, bound, [f.groups(tensors.out.shape[0]!), s.numHeads]);
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
  /** [N, 2] u32 */
  prefixes: Tensor;
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
  const r = readingOf(gpu, s);
  const f = frame(r, s);
  const tokens = t.out.shape[0]!;
  const delta = elementwise(
    'attention_delta',
    'arrayLength(&delta)',
    { out: 'f32', d_out: 'f32' },
    { delta: 'f32' },
    `
  let first = i * ${s.headDim}u;
  var sum = 0.0;
  for (var d = 0u; d < ${s.headDim}u; d++) { sum += out[first + d] * d_out[first + d]; }
  delta[i] = sum;`,
  );
  list.add(delta, [t.out, t.dOut, t.delta], flatGrid(tokens * s.numHeads));
  const reads = { qkv: r.element, d_out: r.element, lse: 'f32', delta: 'f32' };
  const queries = f.kernel(
    'attention_backward_queries',
    { ...reads, starts: 'u32', prefixes: 'vec2<u32>' },
    { d_qkv: r.element },
    'starts',
    `
  let keys = ${f.keys}u + (id.y / ${f.share}u) * ${r.parts}u;
  let values = ${f.values}u + (id.y / ${f.share}u) * ${r.parts}u;
  ${f.owned(
    (o) => `
  let query${o} = n${o} * ${f.row}u + id.y * ${r.parts}u;
  let upstream${o} = n${o} * ${f.outRow}u + id.y * ${r.parts}u;
  let lse${o} = lse[n${o} * ${s.numHeads}u + id.y];
  let delta${o} = delta[n${o} * ${s.numHeads}u + id.y];
  ${f.parts(
    (d) => `let q${o}_${d} = qkv[query${o} + ${d}u] * ${f.scale};
  let u${o}_${d} = d_out[upstream${o} + ${d}u];
  var dq${o}_${d} = ${r.element}();`,
  )}`,
  )}
  ${f.walkKeys(
    1,
    (inside) => `
    ${r.shared('k', 'qkv', `j * ${f.row}u + keys`)}
    ${f.owned((o) => `var score${o} = 0.0; var dp${o} = 0.0;`)}
    ${f.parts((d) => f.owned((o) => `score${o} += ${r.dot(`q${o}_${d}`, r.part('k', d))};`))}
    {
      ${r.shared('v', 'qkv', `j * ${f.row}u + values`)}
      ${f.parts((d) => f.owned((o) => `dp${o} += ${r.dot(`u${o}_${d}`, r.part('v', d))};`))}
    }
    ${f.owned(
      (o) => `
    let ds${o} = select(0.0, exp(score${o} - lse${o}) * (dp${o} - delta${o}), ${inside(o, 0)});`,
    )}
    ${f.parts((d) => f.owned((o) => `dq${o}_${d} += ds${o} * ${r.part('k', d)};`))}`,
  )}
  ${f.owned(
    (o) => `
  if (token${o} <= last_token) { ${f.parts((d) => `d_qkv[query${o} + ${d}u] = dq${o}_${d} * ${f.scale};`)} }`,
  )}`,
  );
  list.add(
    queries,
    [t.qkv, t.dOut, t.lse, t.delta, t.starts, t.prefixes, t.dQkv],
    [f.groups(tokens), s.numHeads],
  );
  const keys = f.kernel(
    'attention_backward_keys',
    { ...reads, ends: 'u32' },
    { d_qkv: r.element },
    'ends',
    `
  ${f.owned(
    (o) => `
  let keys${o} = n${o} * ${f.row}u + ${f.keys}u + id.y * ${r.parts}u;
  let values${o} = n${o} * ${f.row}u + ${f.values}u + id.y * ${r.parts}u;
  let end${o} = ends[n${o}];
  ${f.parts(
    (d) => `let k${o}_${d} = qkv[keys${o} + ${d}u] * ${f.scale};
  let v${o}_${d} = qkv[values${o} + ${d}u];
  var dk${o}_${d} = ${r.element}();
  var dv${o}_${d} = ${r.element}();`,
  )}`,
  )}
  var stop = 0u;
  for (var m = team_first; m <= team_last; m++) { stop = max(stop, ends[m]); }
  for (var head = id.y * ${f.share}u; head < (id.y + 1u) * ${f.share}u; head++) {
    for (var j = team_first; j < stop; j++) {
      ${r.shared('q', 'qkv', `j * ${f.row}u + head * ${r.parts}u`)}
      ${r.shared('u', 'd_out', `j * ${f.outRow}u + head * ${r.parts}u`)}
      ${f.owned((o) => `var score${o} = 0.0; var dp${o} = 0.0;`)}
      ${f.parts((d) =>
        f.owned(
          (o) => `score${o} += ${r.dot(`k${o}_${d}`, r.part('q', d))};
      dp${o} += ${r.dot(`v${o}_${d}`, r.part('u', d))};`,
        ),
      )}
      let lse_j = lse[j * ${s.numHeads}u + head];
      let delta_j = delta[j * ${s.numHeads}u + head];
      ${f.owned(
        (o) => `
      let p${o} = select(0.0, exp(score${o} - lse_j), j >= n${o} && j < end${o});
      let ds${o} = select(0.0, p${o} * (dp${o} - delta_j), j >= n${o} && j < end${o});`,
      )}
      ${f.parts((d) =>
        f.owned(
          (o) => `dk${o}_${d} += ds${o} * ${r.part('q', d)}; dv${o}_${d} += p${o} * ${r.part('u', d)};`,
        ),
      )}
    }
  }
  ${f.owned(
    (o) => `
  if (token${o} <= last_token) {
    ${f.parts((d) => `d_qkv[keys${o} + ${d}u] = dk${o}_${d} * ${f.scale}; d_qkv[values${o} + ${d}u] = dv${o}_${d};`)}
  }`,
  )}`,
  );
  list.add(keys, [t.qkv, t.dOut, t.lse, t.delta, t.ends, t.dQkv], [f.groups(tokens), s.numKvHeads]);
}
