/** @file Small helpers to write kernels: declare bindings by name, spread flat work over a grid, repeat a line. */
import type { KernelSpec } from './kernel.ts';
import type { Workgroups } from './dispatch_list.ts';

/** Most workgroups in one dimension (WebGPU's guaranteed limit). */
const maxGroups = 65535;

/**
 * A kernel spec from named bindings. `reads` and `writes` give WGSL element types (`f32`, `vec4<f32>`, `u32`, …); they are
 * bound as storage arrays in that order, reads first. The whole WGSL text is the key. `subgroups` lets the kernel call subgroup
 * operations wherever its author knows that a subgroup stays together.
 */
export function kernelSpec(
  name: string,
  reads: Record<string, string>,
  writes: Record<string, string>,
  body: string,
  options: { subgroups?: boolean } = {},
): KernelSpec {
  const declared = [
    ...Object.entries(reads).map(([v, type]) => ['read', v, type] as const),
    ...Object.entries(writes).map(([v, type]) => ['read_write', v, type] as const),
  ];
  const declarations = declared.map(
    ([access, v, type], i) => `@group(0) @binding(${i}) var<storage, ${access}> ${v}: array<${type}>;`,
  );
  const head = options.subgroups ? 'enable subgroups;\ndiagnostic(off, subgroup_uniformity);\n' : '';
  const wgsl = `${head}${declarations.join('\n')}\n${body}`;
  return { key: `${name}\n${wgsl}`, name, wgsl, bindings: declared.map(([access]) => access) };
}

/** Invocations in a workgroup of an elementwise kernel. */
const flatSize = 64;

/**
 * A kernel that runs `body` once for every `i` in [0, count), dispatched over `flatGrid`. `count` is a number, or WGSL that
 * tells it at run time (`arrayLength(&out)`), so that one kernel serves every number of tokens. `functions` is WGSL
 * that stands before `main`.
 */
export function elementwise(
  name: string,
  count: number | string,
  reads: Record<string, string>,
  writes: Record<string, string>,
  body: string,
  functions = '',
): KernelSpec {
  return kernelSpec(
    name,
    reads,
    writes,
    `${functions}
@compute @workgroup_size(${flatSize})
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = id.y * groups.x * ${flatSize}u + id.x;
  if (i >= ${typeof count === 'number' ? `${count}u` : count}) { return; }
  ${body}
}`,
  );
}

/** Workgroups that cover `count` invocations of an elementwise kernel. */
export const flatGrid = (count: number): Workgroups => grid(Math.ceil(count / flatSize));

/** Spread `groups` workgroups over x and y (both under WebGPU's limit); the kernel folds them back. */
export function grid(groups: number): Workgroups {
  const y = Math.ceil(groups / maxGroups);
  return [Math.ceil(groups / y), y];
}

/** `line(0) … line(n − 1)`, joined: unrolled WGSL. */
export const unroll = (n: number, line: (i: number) => string, separator = '\n'): string =>
  Array.from({ length: n }, (_, i) => line(i)).join(separator);

/** A number as an f32 literal. */
export function f32Literal(value: number): string {
  if (!Number.isFinite(value)) throw new RangeError(`${value} is no f32 literal.`);
  const text = String(Math.fround(value));
  return /[.e]/.test(text) ? `${text}f` : `${text}.0f`;
}
