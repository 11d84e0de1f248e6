/** @file Token embedding: gather rows forward; backward, each token's rows summed in a fixed order (no atomics). */
import type { DispatchList } from '../runtime/dispatch_list.ts';
import type { Tensor } from '../runtime/tensor.ts';
import { elementwise, flatGrid, grid, kernelSpec } from '../runtime/wgsl.ts';
import { elementType, loaders } from './matmul.ts';

/** `out[n] = table[rows[n]]`. table [V, D] f32 or f16, rows [N] u32 (clamped to the table), out [N, D]. */
export function recordGather(list: DispatchList, table: Tensor, rows: Tensor, out: Tensor): void {
  const [count, width] = out.shape as [number, number];
  const per = table.dtype === 'f16' ? 2 : 1;
  const last = `arrayLength(&table) * ${per}u / ${width}u - 1u`;
  const spec = elementwise(
    'gather_rows',
    'arrayLength(&out)',
    { table: elementType(table.dtype, false), rows: 'u32' },
    { out: 'f32' },
    `
  let row = min(rows[i / ${width}u], ${last});
  out[i] = table_at(row * ${width}u + i % ${width}u);`,
    loaders('table', table.dtype, false),
  );
  list.add(spec, [table, rows, out], flatGrid(count * width));
}

/** `out[rows[n]] = x[n]`. x [R, D], rows [R] u32 without repeats (those outside `out` are skipped), out [N, D]. */
export function recordScatter(list: DispatchList, x: Tensor, rows: Tensor, out: Tensor): void {
  const [count, width] = x.shape as [number, number];
  const spec = elementwise(
    'scatter_rows',
    'arrayLength(&x)',
    { x: 'f32', rows: 'u32' },
    { out: 'f32' },
    `
  let row = rows[i / ${width}u];
  if (row < arrayLength(&out) / ${width}u) { out[row * ${width}u + i % ${width}u] = x[i]; }`,
  );
  list.add(spec, [x, rows, out], flatGrid(count * width));
}

/**
 * `grad[v] += Σ_{n: tokens[n] = v} dx[n]`, summed over n in ascending order. `order` [N] lists positions by token,
 * `starts` [N + 1] where each distinct token's positions begin, `ids` [N] the distinct tokens; unused entries of `ids`
 * are 0xffffffff. dx [N, D], grad [V, D].
 */
export function recordEmbeddingBackward(
  list: DispatchList,
  tensors: { dx: Tensor; order: Tensor; starts: Tensor; ids: Tensor; grad: Tensor },
): void {
  const [count, width] = tensors.dx.shape as [number, number];
  const spec = kernelSpec(
    'embedding_backward',
    { dx: 'f32', order: 'u32', starts: 'u32', ids: 'u32' },
    { grad: 'f32' },
    `
@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let slot = group.y * groups.x + group.x;
  if (slot >= arrayLength(&ids)) { return; }
  let token = ids[slot];
  if (token == 0xffffffffu) { return; }
  for (var column = lane; column < ${width}u; column += 64u) {
    var sum = 0.0;
    for (var at = starts[slot]; at < starts[slot + 1u]; at++) { sum += dx[order[at] * ${width}u + column]; }
    grad[token * ${width}u + column] += sum;
  }
}`,
  );
  const { dx, order, starts, ids, grad } = tensors;
  list.add(spec, [dx, order, starts, ids, grad], grid(count));
}
