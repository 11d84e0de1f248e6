/**
 * @file The key/value cache: where an entry lies, and the kernel that puts new entries there.
 *
 * A layer's cache is two flat pools of entries, K and V `[entries, Kv·hd]`. A token of a forward step has a *place* of four u32:
 * `[prefixStart, prefixLength, ownStart, position]`. Position t of its sequence lies at entry `prefixStart + t` while
 * t < prefixLength (a prompt, shared by every row that has it) and after that at `ownStart + (t − prefixLength)`; with *indirect*
 * places, at `ownEntries[ownStart + (t − prefixLength)]` (beams, whose history jumps between rows). Position `idle` marks a token
 * that takes no part in a step: a padded one, or one of a row that is done.
 */
import type { GpuContext } from '../runtime/context.ts';
import type { DispatchList } from '../runtime/dispatch_list.ts';
import type { Tensor } from '../runtime/tensor.ts';
import { elementwise, f32Literal, flatGrid } from '../runtime/wgsl.ts';
import type { HeadNorms, RopeShape } from './rope.ts';

/** The position of a token that takes no part in a step. */
export const idle = 0xffffffff;

/** u32 fields of a place. */
export const placeWords = 4;

/** WGSL: constants for the fields of a place, and `entry_of(place, t)`, over bindings `places` and `own_entries`. */
export function placeWgsl(indirect: boolean): string {
  const own = 'place.z + (t - place.y)';
  return `
const IDLE = ${idle}u;
fn entry_of(place: vec4u, t: u32) -> u32 {
  if (t < place.y) { return place.x + t; }
  return ${indirect ? `own_entries[${own}]` : own};
}`;
}

export interface RotateAndStoreTensors {
  /** Queries, keys and values as one product writes them, `[N, (H + 2·Kv)·hd]`. */
  raw: Tensor;
  /** From `createRopeTable`: cosines then sines, `[positions, hd]`. */
  table: Tensor;
  /** Qwen3's head norms. */
  norms: HeadNorms | null;
  /** `[N, 4]` u32 */
  places: Tensor;
  /** Entry numbers of own entries, when places are indirect. */
  ownEntries?: Tensor | null;
  /** Rotated queries out, `[N, H·hd]`. */
  q: Tensor;
  /** `[entries, Kv·hd]`, as is `vPool`. */
  kPool: Tensor;
  vPool: Tensor;
}

/**
 * Everything between the projection and attention: head norm (Qwen3) and RoPE on queries, the same on keys into the K pool, values into
 * the V pool. Idle tokens store nothing.
 */
export function recordRotateAndStore(
  gpu: GpuContext,
  list: DispatchList,
  shape: RopeShape,
  { raw, table, norms, places, ownEntries, q, kPool, vPool }: RotateAndStoreTensors,
): void {
  const { numHeads: H, numKvHeads: KV, headDim: HD } = shape;
  const half = HD / 2;
  const heads = H + KV;
  const width = (H + 2 * KV) * HD;
  // A software device does a whole head in one invocation; a real one spreads it out.
  const parts = gpu.capabilities.software ? 1 : half;
  const count = raw.shape[0]! * heads * parts;
  const scaled = (offset: string, element: string): string =>
    norms ? `raw[first + ${element}] * rstd * weight_of(head, ${offset})` : `raw[first + ${element}]`;
  const spec = elementwise(
    'rotate_and_store',
    count,
    {
      raw: 'f32',
      table: 'f32',
      places: 'vec4u',
      ...(norms && { q_norm: 'f32', k_norm: 'f32' }),
      ...(ownEntries && { own_entries: 'u32' }),
    },
    { q: 'f32', k_pool: 'f32', v_pool: 'f32' },
    `
  let n = i / ${heads * parts}u;
  let head = i / ${parts}u % ${heads}u;
  let place = places[n];
  if (place.w == IDLE) { return; }
  let first = n * ${width}u + head * ${HD}u;
  let turn = min(place.w, ${table.shape[0]! - 1}u) * ${HD}u;
  ${
    norms
      ? `var squares = 0.0;
  for (var j = 0u; j < ${HD}u; j++) { squares += raw[first + j] * raw[first + j]; }
  let rstd = inverseSqrt(squares / ${f32Literal(HD)} + ${f32Literal(shape.rmsNormEps)});`
      : ''
  }
  let store = (entry_of(place, place.w) * ${KV}u + head - ${H}u) * ${HD}u;
  for (var j = i % ${parts}u; j < ${half}u; j += ${parts}u) {
    let a = ${scaled('j', 'j')};
    let b = ${scaled(`j + ${half}u`, `j + ${half}u`)};
    let c = table[turn + j];
    let s = table[turn + j + ${half}u];
    if (head < ${H}u) {
      let out = (n * ${H}u + head) * ${HD}u + j;
      q[out] = a * c - b * s;
      q[out + ${half}u] = b * c + a * s;
    } else {
      let value = first + ${KV * HD}u + j;
      k_pool[store + j] = a * c - b * s;
      k_pool[store + j + ${half}u] = b * c + a * s;
      v_pool[store + j] = raw[value];
      v_pool[store + j + ${half}u] = raw[value + ${half}u];
    }
  }`,
    `${placeWgsl(Boolean(ownEntries))}
${
  norms
    ? `fn weight_of(head: u32, j: u32) -> f32 {
  if (head < ${H}u) { return q_norm[j]; }
  return k_norm[j];
}`
    : ''
}`,
  );
  const read = [
    raw,
    table,
    places,
    ...(norms ? [norms.q, norms.k] : []),
    ...(ownEntries ? [ownEntries] : []),
  ];
  list.add(spec, [...read, q, kPool, vPool], flatGrid(count));
}
