/**
 * @file Matrix products, the one place that chooses how they are computed.
 *
 *     NT  c[m,n] = Σ_k a[m,k]·b[n,k]     x·Wᵀ  (forward)
 *     NN  c[m,n] = Σ_k a[m,k]·b[k,n]     dY·W  (gradient of the input)
 *     TN  c[m,n] = Σ_k a[k,m]·b[k,n]     dYᵀ·X (gradient of the weight)
 *
 * Every variant adds up k in ascending order in one f32 accumulator per element, so that a row's result does not depend
 * on how many rows share the product: what is sampled for a request does not depend on its batch.
 */
import type { GpuContext } from '../runtime/context.ts';
import type { DispatchList } from '../runtime/dispatch_list.ts';
import type { DType, Tensor } from '../runtime/tensor.ts';
import { directMatmul } from './matmul_direct.ts';
import { lanesFit, lanesMatmul } from './matmul_lanes.ts';
import { tiledMatmul } from './matmul_tiled.ts';

export type MatmulKind = 'NT' | 'NN' | 'TN';

/** The operands as views: row strides and first elements, counted in elements. */
export interface MatmulShape {
  kind: MatmulKind;
  m: number;
  n: number;
  k: number;
  /** Elements from row to row; default: rows lie one after another. */
  lda?: number;
  ldb?: number;
  ldc?: number;
  /** First element of the view in the bound tensor, default 0. */
  aOffset?: number;
  bOffset?: number;
  cOffset?: number;
  /** Factor of the product, default 1. */
  alpha?: number;
  /** Add the product to what `c` holds, instead of overwriting it. */
  accumulate?: boolean;
  /**
   * Rows are tokens: take their number (m; k for TN) from the length of the bound arrays instead of baking it in, so that one
   * kernel serves every number of tokens. Needs `c` (`b` for TN) bound with exactly that many rows, in multiples of 4.
   */
  tokenRows?: boolean;
}

export interface MatmulTensors {
  /** f32 */
  a: Tensor;
  /** f32, or f16 (weights) */
  b: Tensor;
  /** f32 */
  c: Tensor;
  /** `[n]`, added to every row. */
  bias?: Tensor | null;
  /** Laid out like `c`, added to the product (a residual stream, a weight). */
  add?: Tensor | null;
}

/** A shape with every default filled in, and what the kernel text depends on. */
export interface MatmulPlan extends Required<MatmulShape> {
  bDtype: DType;
  bias: boolean;
  add: boolean;
  /** WGSL of the number of rows m, given how many elements an entry of `c` holds. */
  rows: (lanes: number) => string;
  /** The same of the inner dimension k, for `b`. */
  depth: (lanes: number) => string;
  /** WGSL of `acc + x·y`. */
  fma: (x: string, y: string, acc: string) => string;
}

/** Which kernel a product takes. */
export type MatmulVariant = 'direct' | 'tiled' | 'lanes';

/**
 * The choice. `tiled` shares operands through workgroup memory, for real GPUs and products large enough to fill tiles.
 * `direct` keeps a register tile per invocation and reads storage: for few rows. `lanes` does so on a software device, where
 * barriers and loads are dear, and shares loads between the four lanes of a subgroup.
 */
export function chooseMatmul(gpu: GpuContext, shape: Pick<MatmulShape, 'm' | 'n' | 'k'>): MatmulVariant {
  if (gpu.capabilities.lanes) return 'lanes';
  if (gpu.capabilities.software) return 'direct';
  return shape.m >= 32 && shape.n >= 32 && shape.k >= 16 ? 'tiled' : 'direct';
}

const kernels = { direct: directMatmul, tiled: tiledMatmul, lanes: lanesMatmul };

/** Append `c = alpha·a×b (+ bias) (+ add) (+ c)` to a list. */
export function recordMatmul(
  gpu: GpuContext,
  list: DispatchList,
  shape: MatmulShape,
  tensors: MatmulTensors,
  variant: MatmulVariant = chooseMatmul(gpu, shape),
): void {
  const { m, n, k, kind } = shape;
  if (m === 0 || n === 0) return;
  const software = gpu.capabilities.software;
  const tokenRows = shape.tokenRows ?? false;
  const ldb = shape.ldb ?? (kind === 'NT' ? k : n);
  const ldc = shape.ldc ?? n;
  const plan: MatmulPlan = {
    kind,
    m,
    n,
    k,
    lda: shape.lda ?? (kind === 'TN' ? m : k),
    ldb,
    ldc,
    aOffset: shape.aOffset ?? 0,
    bOffset: shape.bOffset ?? 0,
    cOffset: shape.cOffset ?? 0,
    alpha: shape.alpha ?? 1,
    accumulate: shape.accumulate ?? false,
    tokenRows,
    rows: (lanes) => (tokenRows && kind !== 'TN' ? `(arrayLength(&c) * ${lanes}u / ${ldc}u)` : `${m}u`),
    depth: (lanes) => (tokenRows && kind === 'TN' ? `(arrayLength(&b) * ${lanes}u / ${ldb}u)` : `${k}u`),
    bDtype: tensors.b.dtype,
    bias: Boolean(tensors.bias),
    add: Boolean(tensors.add),
    // A software device never contracts a·b + c; a real one may or may not, so say which.
    fma: software ? (x, y, acc) => `${acc} + ${x} * ${y}` : (x, y, acc) => `fma(${x}, ${y}, ${acc})`,
  };
  const fitting = variant === 'lanes' && !lanesFit(plan) ? 'direct' : variant;
  const { spec, workgroups } = kernels[fitting](plan);
  const bound = [tensors.a, tensors.b];
  if (tensors.bias) bound.push(tensors.bias);
  if (tensors.add) bound.push(tensors.add);
  list.add(spec, [...bound, tensors.c], workgroups);
}

/** WGSL element type of an array of `dtype`, read as scalars or four at a time. f16 travels as packed pairs. */
export const elementType = (dtype: DType, vector: boolean): string =>
  dtype === 'f16' ? (vector ? 'vec2<u32>' : 'u32') : vector ? 'vec4<f32>' : 'f32';

/** WGSL functions `<name>_at(i)` (one element) and, where `vector`, `<name>_four(i)` (elements 4i … 4i+3), as f32. */
export function loaders(name: string, dtype: DType, vector: boolean): string {
  const packed = dtype === 'f16';
  if (!vector)
    return packed
      ? `fn ${name}_at(i: u32) -> f32 { return unpack2x16float(${name}[i >> 1u])[i & 1u]; }`
      : `fn ${name}_at(i: u32) -> f32 { return ${name}[i]; }`;
  return packed
    ? `
fn ${name}_four(i: u32) -> vec4f { let p = ${name}[i]; return vec4f(unpack2x16float(p.x), unpack2x16float(p.y)); }
fn ${name}_at(i: u32) -> f32 { return unpack2x16float(${name}[i >> 2u][(i >> 1u) & 1u])[i & 1u]; }`
    : `
fn ${name}_four(i: u32) -> vec4f { return ${name}[i]; }
fn ${name}_at(i: u32) -> f32 { return ${name}[i >> 2u][i & 3u]; }`;
}
