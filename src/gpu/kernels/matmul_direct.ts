/**
 * @file The `direct` matrix product: each invocation keeps a register tile of rows × columns and reads its operands from
 * storage, four elements at a time where the layout allows. No workgroup memory, no barrier.
 */
import type { KernelSpec } from '../runtime/kernel.ts';
import type { Workgroups } from '../runtime/dispatch_list.ts';
import { f32Literal, kernelSpec, unroll } from '../runtime/wgsl.ts';
import type { MatmulPlan } from './matmul.ts';
import { elementType, loaders } from './matmul.ts';

/** Invocations of a workgroup. */
const groupSize = 64;
/** Columns of an invocation. */
const columns = 4;

const aligned = (...values: number[]) => values.every((v) => v % 4 === 0);

/** The kernel of a plan and its grid. */
export function directMatmul(p: MatmulPlan): { spec: KernelSpec; workgroups: Workgroups } {
  const rows = p.m >= 8 ? 8 : p.m > 2 ? 4 : p.m;
  // Lanes run along the columns; a narrow product stacks several row tiles in one workgroup instead.
  let lanes = 4;
  while (lanes < groupSize && lanes * columns < p.n) lanes *= 2;
  const stack = groupSize / lanes;
  const vectorA = p.kind === 'TN' ? aligned(p.lda, p.aOffset, p.m) : aligned(p.lda, p.aOffset);
  const vectorB = p.kind === 'NT' ? aligned(p.ldb, p.bOffset) : aligned(p.ldb, p.bOffset, p.n);
  const vectorC = aligned(p.n, p.ldc, p.cOffset);
  const body = p.kind === 'NT' ? dotRows : outerProducts;
  const reads: Record<string, string> = {
    a: elementType('f32', vectorA),
    b: elementType(p.bDtype, vectorB),
    ...(p.bias && { bias: elementType('f32', vectorC) }),
    ...(p.add && { residual: elementType('f32', vectorC) }),
  };
  const spec = kernelSpec(
    `matmul_${p.kind}_direct`,
    reads,
    { c: elementType('f32', vectorC) },
    `
${loaders('a', 'f32', vectorA)}
${loaders('b', p.bDtype, vectorB)}
@compute @workgroup_size(${lanes}, ${stack})
fn main(@builtin(global_invocation_id) id: vec3u) {
  let rows = ${p.rows(vectorC ? 4 : 1)};
  let rowBase = id.y * ${rows}u;
  let columnBase = id.x * ${columns}u;
  if (rowBase >= rows || columnBase >= ${p.n}u) { return; }
  // Out-of-range rows and columns repeat the last one and are not stored.
  ${unroll(columns, (j) => `let column${j} = min(columnBase + ${j}u, ${p.n - 1}u);`)}
  ${unroll(rows, (i) => `let row${i} = min(rowBase + ${i}u, rows - 1u);`)}
  ${unroll(rows, (i) => `var sum${i} = vec4f();`)}
  ${body(p, rows, vectorA, vectorB)}
  ${unroll(rows, (i) => `if (rowBase + ${i}u < rows) { ${store(p, i, vectorC)} }`)}
}`,
  );
  return { spec, workgroups: [Math.ceil(p.n / (lanes * columns)), Math.ceil(p.m / (rows * stack))] };
}

/** NT: dot products of a row of a and a row of b; both are read along k. */
function dotRows(p: MatmulPlan, rows: number, vectorA: boolean, vectorB: boolean): string {
  const four = (name: 'a' | 'b', vector: boolean, first: string) =>
    vector
      ? `${name}_four((${first} + k) / 4u)`
      : `vec4f(${unroll(4, (q) => `${name}_at(${first} + k + ${q}u)`, ', ')})`;
  const whole = Math.floor(p.k / 4) * 4;
  return `
  ${unroll(rows, (i) => `let a${i} = ${p.aOffset}u + row${i} * ${p.lda}u;`)}
  ${unroll(columns, (j) => `let b${j} = ${p.bOffset}u + column${j} * ${p.ldb}u;`)}
  for (var k = 0u; k < ${whole}u; k += 4u) {
    ${unroll(columns, (j) => `let y${j} = ${four('b', vectorB, `b${j}`)};`)}
    ${unroll(4, (q) => `let z${q} = vec4f(${unroll(columns, (j) => `y${j}[${q}]`, ', ')});`)}
    ${unroll(
      rows,
      (i) => `let x${i} = ${four('a', vectorA, `a${i}`)};
      ${unroll(4, (q) => `sum${i} = ${p.fma(`vec4f(x${i}[${q}])`, `z${q}`, `sum${i}`)};`)}`,
    )}
  }
  for (var k = ${whole}u; k < ${p.k}u; k++) {
    let z = vec4f(${unroll(columns, (j) => `b_at(b${j} + k)`, ', ')});
    ${unroll(rows, (i) => `sum${i} = ${p.fma(`vec4f(a_at(a${i} + k))`, 'z', `sum${i}`)};`)}
  }`;
}

/** NN and TN: for every k, a column of a times a row of b; b is read along n. */
function outerProducts(p: MatmulPlan, rows: number, vectorA: boolean, vectorB: boolean): string {
  const step = (k: string) =>
    vectorB
      ? `b_four((${p.bOffset}u + ${k} * ${p.ldb}u + columnB) / 4u)`
      : `vec4f(${unroll(columns, (j) => `b_at(${p.bOffset}u + ${k} * ${p.ldb}u + column${j})`, ', ')})`;
  const head = vectorB ? `let columnB = min(columnBase, ${p.n - 4}u);` : '';
  if (p.kind === 'TN') {
    const groups = vectorA && rows % 4 === 0;
    const readA = groups
      ? unroll(
          rows / 4,
          (g) =>
            `let x${g} = a_four((${p.aOffset}u + k * ${p.lda}u + min(rowBase + ${4 * g}u, ${p.m - 4}u)) / 4u);`,
        )
      : unroll(rows, (i) => `let x${i} = a_at(${p.aOffset}u + k * ${p.lda}u + row${i});`);
    const x = (i: number) => (groups ? `x${Math.floor(i / 4)}[${i % 4}]` : `x${i}`);
    return `
  ${head}
  let depth = ${p.depth(vectorB ? 4 : 1)};
  for (var k = 0u; k < depth; k++) {
    let y = ${step('k')};
    ${readA}
    ${unroll(rows, (i) => `sum${i} = ${p.fma(`vec4f(${x(i)})`, 'y', `sum${i}`)};`)}
  }`;
  }
  const whole = vectorA ? Math.floor(p.k / 4) * 4 : 0;
  return `
  ${head}
  ${unroll(rows, (i) => `let a${i} = ${p.aOffset}u + row${i} * ${p.lda}u;`)}
  for (var k = 0u; k < ${whole}u; k += 4u) {
    ${vectorA ? unroll(rows, (i) => `let x${i} = a_four((a${i} + k) / 4u);`) : ''}
    ${unroll(
      4,
      (q) => `{
      let y = ${step(`(k + ${q}u)`)};
      ${vectorA ? unroll(rows, (i) => `sum${i} = ${p.fma(`vec4f(x${i}[${q}])`, 'y', `sum${i}`)};`) : ''}
    }`,
    )}
  }
  for (var k = ${whole}u; k < ${p.k}u; k++) {
    let y = ${step('k')};
    ${unroll(rows, (i) => `sum${i} = ${p.fma(`vec4f(a_at(a${i} + k))`, 'y', `sum${i}`)};`)}
  }`;
}

/** Store row i of the register tile. */
function store(p: MatmulPlan, i: number, vectorC: boolean): string {
  const total = p.alpha === 1 ? `sum${i}` : `sum${i} * ${f32Literal(p.alpha)}`;
  const sum = (...terms: (string | false)[]) => terms.filter(Boolean).join(' + ');
  const at = `row${i} * ${p.ldc}u + columnBase`;
  if (vectorC)
    return `
    let at = ${at};
    let to = (${p.cOffset}u + at) / 4u;
    c[to] = ${sum(total, p.bias && 'bias[columnBase / 4u]', p.add && 'residual[to]', p.accumulate && 'c[to]')};`;
  return `
    let total = ${total};
    let at = ${at};
    ${unroll(columns, (j) => {
      const to = `c[${p.cOffset}u + at + ${j}u]`;
      const value = sum(
        `total[${j}]`,
        p.bias && `bias[column${j}]`,
        p.add && `residual[${p.cOffset}u + at + ${j}u]`,
        p.accumulate && to,
      );
      return `if (columnBase + ${j}u < ${p.n}u) { ${to} = ${value}; }`;
    })}`;
}
