/**
 * @file The `lanes` matrix product for software devices (SwiftShader): four invocations, which are one subgroup, compute a tile
 * of rows × columns. There, a load costs as much as five multiplications, and as much when all lanes want the same number
 * as when each wants its own. So the lanes load four different elements of `a` and hand them round, and each owns other
 * columns of `b`.
 *
 * Operands must lie at multiples of four elements (`lanesFit`); everything else takes the `direct` kernel.
 */
import type { KernelSpec } from '../runtime/kernel.ts';
import type { Workgroups } from '../runtime/dispatch_list.ts';
import { f32Literal, kernelSpec, unroll } from '../runtime/wgsl.ts';
import type { MatmulPlan } from './matmul.ts';
import { elementType, loaders } from './matmul.ts';

/** Invocations of a subgroup, and elements of a vector. */
const four = 4;
/** Elements of a matrix that is worth a large tile. */
const largeMatrix = 16384;
/** Row tiles of a workgroup. */
const stack = 4;

const aligned = (...values: number[]) => values.every((v) => v % four === 0);

/** Whether a plan's operands can be read as vectors of four. */
export function lanesFit(p: MatmulPlan): boolean {
  const across = p.kind === 'NT' ? [] : [p.n];
  return aligned(p.lda, p.ldb, p.aOffset, p.bOffset, ...across);
}

/** Rows and vectors of columns of an invocation's tile. */
interface Tile {
  rows: number;
  vectors: number;
  /** WGSL for every row and vector of columns. */
  each: (line: (i: number, j: number) => string) => string;
}

/** The kernel of a plan and its grid. */
export function lanesMatmul(p: MatmulPlan): { spec: KernelSpec; workgroups: Workgroups } {
  // A large tile is twice as fast and takes four times as long to compile: not worth it for small matrices.
  const large = (p.kind === 'TN' ? p.m : p.k) * p.n >= largeMatrix;
  const rows = large && p.m > 8 ? 16 : p.m > 4 || p.kind === 'TN' ? 8 : p.m;
  const vectors = large ? 2 : 1;
  const tile: Tile = {
    rows,
    vectors,
    each: (line) => unroll(rows, (i) => unroll(vectors, (j) => line(i, j), ' ')),
  };
  const stacked = Math.min(stack, Math.ceil(p.m / rows));
  const across = p.kind === 'TN';
  const vectorC = aligned(p.n, p.ldc, p.cOffset);
  const reads: Record<string, string> = {
    a: elementType('f32', across),
    b: elementType(p.bDtype, true),
    ...(p.bias && { bias: elementType('f32', vectorC) }),
    ...(p.add && { residual: elementType('f32', vectorC) }),
  };
  const spec = kernelSpec(
    `matmul_${p.kind}_lanes`,
    reads,
    { c: elementType('f32', vectorC) },
    `
${loaders('a', 'f32', across)}
${loaders('b', p.bDtype, true)}
@compute @workgroup_size(${four}, ${stacked})
fn main(
  @builtin(workgroup_id) group: vec3u, @builtin(local_invocation_id) local: vec3u,
  @builtin(subgroup_invocation_id) lane: u32,
) {
  let row_count = ${p.rows(vectorC ? four : 1)};
  let row_base = (group.y * ${stacked}u + local.y) * ${rows}u;
  if (row_base >= row_count) { return; }
  // Four columns a vector, four vectors (one a lane) side by side.
  ${unroll(vectors, (j) => `let column${j} = (group.x * ${vectors * four}u + ${j * four}u + lane) * ${four}u;`)}
  // Out-of-range rows and columns repeat the last ones and are not stored.
  ${unroll(rows, (i) => `let row${i} = min(row_base + ${i}u, row_count - 1u);`)}
  ${tile.each((i, j) => `var sum${i}_${j} = vec4f();`)}
  ${p.kind === 'TN' ? acrossRows(p, tile) : alongRows(p, tile)}
  ${tile.each((i, j) => store(p, i, j, vectorC))}
}`,
    { subgroups: true },
  );
  const width = vectors * four * four;
  return { spec, workgroups: [Math.ceil(p.n / width), Math.ceil(p.m / (rows * stacked))] };
}

/** NT and NN: four k at a time, one a lane of `a`. */
function alongRows(p: MatmulPlan, { rows, vectors, each }: Tile): string {
  const nt = p.kind === 'NT';
  const whole = Math.floor(p.k / four) * four;
  const columns = nt
    ? unroll(vectors, (j) =>
        unroll(
          four,
          (e) => `let b${j}_${e} = ${p.bOffset}u + min(column${j} + ${e}u, ${p.n - 1}u) * ${p.ldb}u;`,
        ),
      )
    : unroll(vectors, (j) => `let b${j} = ${p.bOffset}u + min(column${j}, ${p.n - four}u);`);
  // The columns' elements at k + c, y<j>; under NT they are read along k, so all four c at once.
  const ahead = nt
    ? unroll(vectors, (j) => unroll(four, (e) => `let w${j}_${e} = b_four((b${j}_${e} + k) / 4u);`))
    : '';
  const element = (j: number, c: number) =>
    nt
      ? `vec4f(${unroll(four, (e) => `w${j}_${e}[${c}]`, ', ')})`
      : `b_four((b${j} + (k + ${c}u) * ${p.ldb}u) / 4u)`;
  const single = (j: number) =>
    nt
      ? `vec4f(${unroll(four, (e) => `b_at(b${j}_${e} + k)`, ', ')})`
      : `b_four((b${j} + k * ${p.ldb}u) / 4u)`;
  return `
  ${unroll(rows, (i) => `let a${i} = ${p.aOffset}u + row${i} * ${p.lda}u;`)}
  ${columns}
  for (var k = 0u; k < ${whole}u; k += ${four}u) {
    ${unroll(rows, (i) => `let x${i} = a_at(a${i} + k + lane);`)}
    ${ahead}
    ${unroll(
      four,
      (c) => `{
      ${unroll(vectors, (j) => `let y${j} = ${element(j, c)};`)}
      ${unroll(
        rows,
        (i) => `{
        let z = subgroupBroadcast(x${i}, ${c}u);
        ${unroll(vectors, (j) => `sum${i}_${j} += z * y${j};`)}
      }`,
      )}
    }`,
    )}
  }
  for (var k = ${whole}u; k < ${p.k}u; k++) {
    ${unroll(vectors, (j) => `let y${j} = ${single(j)};`)}
    ${each((i, j) => `sum${i}_${j} += a_at(a${i} + k) * y${j};`)}
  }`;
}

/** TN: for every k, sixteen rows of the result (columns of `a`), four a lane. */
function acrossRows(p: MatmulPlan, { rows, vectors, each }: Tile): string {
  const last = Math.floor((p.lda - 1) / four) * four;
  return `
  let depth = ${p.depth(four)};
  let own = ${p.aOffset}u + min(row_base + lane * ${four}u, ${last - (p.aOffset % p.lda)}u);
  ${unroll(vectors, (j) => `let b${j} = ${p.bOffset}u + min(column${j}, ${p.n - four}u);`)}
  for (var k = 0u; k < depth; k++) {
    let x = a_four((own + k * ${p.lda}u) / 4u);
    ${unroll(vectors, (j) => `let y${j} = b_four((b${j} + k * ${p.ldb}u) / 4u);`)}
    ${unroll(rows / four, (g) => `let z${g} = subgroupBroadcast(x, ${g}u);`)}
    ${each((i, j) => `sum${i}_${j} += z${Math.floor(i / four)}[${i % four}] * y${j};`)}
  }`;
}

/** Store one vector of the tile. */
function store(p: MatmulPlan, i: number, j: number, vectorC: boolean): string {
  const total = p.alpha === 1 ? `sum${i}_${j}` : `sum${i}_${j} * ${f32Literal(p.alpha)}`;
  const sum = (...terms: (string | false)[]) => terms.filter(Boolean).join(' + ');
  const at = `row${i} * ${p.ldc}u + column${j}`;
  const inside = `row_base + ${i}u < row_count && column${j} < ${p.n}u`;
  if (vectorC) {
    const to = `c[(${p.cOffset}u + ${at}) / 4u]`;
    const value = sum(
      total,
      p.bias && `bias[column${j} / 4u]`,
      p.add && `residual[(${p.cOffset}u + ${at}) / 4u]`,
      p.accumulate && to,
    );
    return `if (${inside}) { ${to} = ${value}; }`;
  }
  return `if (${inside}) {
    let total = ${total};
    let at = ${at};
    ${unroll(four, (e) => {
      const to = `c[${p.cOffset}u + at + ${e}u]`;
      const bias = p.bias && `bias[column${j} + ${e}u]`;
      const value = sum(
        `total[${e}]`,
        bias,
        p.add && `residual[${p.cOffset}u + at + ${e}u]`,
        p.accumulate && to,
      );
      return `if (column${j} + ${e}u < ${p.n}u) { ${to} = ${value}; }`;
    })}
  }`;
}
