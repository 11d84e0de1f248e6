/**
 * @file The `tiled` matrix product for real GPUs: a workgroup of 16 × 16 invocations computes a square tile, staging
 * panels of both operands in workgroup memory; each invocation keeps a square register tile.
 */
import type { KernelSpec } from '../runtime/kernel.ts';
import type { Workgroups } from '../runtime/dispatch_list.ts';
import { f32Literal, kernelSpec, unroll } from '../runtime/wgsl.ts';
import type { MatmulPlan } from './matmul.ts';
import { elementType, loaders } from './matmul.ts';

/** Invocations along each side of a workgroup. */
const side = 16;
/** Elements of k staged at a time. */
const panel = 16;

/** The kernel of a plan and its grid. */
export function tiledMatmul(p: MatmulPlan): { spec: KernelSpec; workgroups: Workgroups } {
  // Large products: 128 × 128 a workgroup, 8 × 8 an invocation. Otherwise 64 × 64 and 4 × 4, to fill the GPU.
  const each = p.m * p.n >= 1 << 21 && p.m >= 128 && p.n >= 128 ? 8 : 4;
  const tile = side * each;
  const reads: Record<string, string> = {
    a: 'f32',
    b: elementType(p.bDtype, false),
    ...(p.bias && { bias: 'f32' }),
    ...(p.add && { residual: 'f32' }),
  };
  const alongK = (first: number, ld: number, row: string, k: string) => `${first}u + ${row} * ${ld}u + ${k}`;
  const acrossK = (first: number, ld: number, column: string, k: string) =>
    `${first}u + ${k} * ${ld}u + ${column}`;
  const atA = (p.kind === 'TN' ? acrossK : alongK)(p.aOffset, p.lda, 'row', 'k');
  const atB = (p.kind === 'NT' ? alongK : acrossK)(p.bOffset, p.ldb, 'column', 'k');
  // Neighbouring invocations read neighbouring elements, whichever way the operand lies.
  const split = (contiguousK: boolean, other: string) =>
    contiguousK
      ? `let ${other} = e / ${panel}u; let inner = e % ${panel}u;`
      : `let ${other} = e % ${tile}u; let inner = e / ${tile}u;`;
  const stage = (name: 'a' | 'b', contiguousK: boolean, limit: string, origin: string, index: string) => `
    for (var e = local; e < ${tile * panel}u; e += ${side * side}u) {
      ${split(contiguousK, 'across')}
      let ${name === 'a' ? 'row' : 'column'} = ${origin} + across;
      let k = k0 + inner;
      var value = 0.0;
      if (${name === 'a' ? 'row' : 'column'} < ${limit} && k < depth) { value = ${name}_at(${index}); }
      panel_${name}[inner * ${tile + 1}u + across] = value;
    }`;
  const value = (i: number, j: number) =>
    [
      p.alpha === 1 ? `sum${i}_${j}` : `${f32Literal(p.alpha)} * sum${i}_${j}`,
      p.bias && 'bias[column]',
      p.add && `residual[${p.cOffset}u + at]`,
      p.accumulate && `c[${p.cOffset}u + at]`,
    ]
      .filter(Boolean)
      .join(' + ');
  const spec = kernelSpec(
    `matmul_${p.kind}_tiled`,
    reads,
    { c: 'f32' },
    `
var<workgroup> panel_a: array<f32, ${panel * (tile + 1)}>;
var<workgroup> panel_b: array<f32, ${panel * (tile + 1)}>;
${loaders('a', 'f32', false)}
${loaders('b', p.bDtype, false)}
@compute @workgroup_size(${side}, ${side})
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(local_invocation_id) lane: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let rows = ${p.rows(1)};
  let depth = ${p.depth(1)};
  let row0 = group.y * ${tile}u;
  let column0 = group.x * ${tile}u;
  ${unroll(each, (i) => unroll(each, (j) => `var sum${i}_${j} = 0.0;`, ' '))}
  for (var k0 = 0u; k0 < depth; k0 += ${panel}u) {
    ${stage('a', p.kind !== 'TN', 'rows', 'row0', atA)}
    ${stage('b', p.kind === 'NT', `${p.n}u`, 'column0', atB)}
    workgroupBarrier();
    for (var inner = 0u; inner < ${panel}u; inner++) {
      ${unroll(each, (i) => `let x${i} = panel_a[inner * ${tile + 1}u + lane.y + ${side * i}u];`)}
      ${unroll(each, (j) => `let y${j} = panel_b[inner * ${tile + 1}u + lane.x + ${side * j}u];`)}
      ${unroll(each, (i) =>
        unroll(each, (j) => `sum${i}_${j} = ${p.fma(`x${i}`, `y${j}`, `sum${i}_${j}`)};`, ' '),
      )}
    }
    workgroupBarrier();
  }
  ${unroll(each, (i) =>
    unroll(
      each,
      (j) => `{
    let row = row0 + lane.y + ${side * i}u;
    let column = column0 + lane.x + ${side * j}u;
    let at = row * ${p.ldc}u + column;
    if (row < rows && column < ${p.n}u) { c[${p.cOffset}u + at] = ${value(i, j)}; }
  }`,
    ),
  )}
}`,
  );
  return { spec, workgroups: [Math.ceil(p.n / tile), Math.ceil(p.m / tile)] };
}
