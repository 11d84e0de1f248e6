/**
 * @file What the attention kernels have in common: how they read rows, which tokens an invocation owns, and how a team of invocations
 * walks over the keys that any of its tokens attends to.
 */
import type { GpuContext } from '../runtime/context.ts';
import type { KernelSpec } from '../runtime/kernel.ts';
import { f32Literal, kernelSpec, unroll } from '../runtime/wgsl.ts';

export interface AttentionShape {
  numHeads: number;
  numKvHeads: number;
  headDim: number;
}

/** Invocations of a workgroup. */
const groupSize = 64;

/** How a kernel reads rows: vectors of four (or two), or scalars that the lanes of a subgroup load and hand round. */
export interface Reading {
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

export function readingOf(gpu: GpuContext, { headDim }: AttentionShape): Reading {
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
export function frame(r: Reading, s: AttentionShape) {
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
