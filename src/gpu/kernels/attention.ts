/**
 * @file Causal self-attention over packed sequences, forward and backward, in the manner of FlashAttention: no matrix of
 * scores is stored; forward keeps the log-sum-exp of every query, backward recomputes scores from it.
 *
 * Queries, keys and values lie side by side, `qkv [N, (H + 2·Kv)·hd]`. Token n attends to keys in [starts[n], n] and to those of
 * a prefix it shares with other sequences, [prefixes[n].x, prefixes[n].y); key j is seen by queries in [j, ends[j]). Query head
 * h reads key head ⌊h·Kv/H⌋. N is a multiple of 4 (kernels take it from the arrays' lengths).
 *
 * An invocation owns one query (or key) of one head, on a software device two. A team of neighbouring invocations owns
 * neighbouring tokens and walks through the other side together. A token outside an invocation's segment gets weight 0
 * instead of a branch.
 */
import type { GpuContext } from '../runtime/context.ts';
import type { DispatchList } from '../runtime/dispatch_list.ts';
import type { Tensor } from '../runtime/tensor.ts';
import { elementwise, flatGrid, unroll } from '../runtime/wgsl.ts';
import type { AttentionShape } from './attention_frame.ts';
import { frame, readingOf } from './attention_frame.ts';

export type { AttentionShape };

/** Keys handled between two rescalings of the forward pass. */
const block = 4;
/** A score no softmax notices, and from which no infinity arises. */
const masked = '-1e30f';

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
