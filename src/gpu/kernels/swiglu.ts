/**
 * @file SwiGLU, `h = silu(gate)·up` with `silu(z) = z·σ(z)`, forward and backward. Gate and up lie side by side in one
 * matrix `[N, 2F]`, as one product writes them.
 */
import type { DispatchList } from '../runtime/dispatch_list.ts';
import type { Tensor } from '../runtime/tensor.ts';
import { elementwise, flatGrid } from '../runtime/wgsl.ts';

const activation = (width: number) => `
  let at = (i / ${width}u) * ${2 * width}u + i % ${width}u;
  let gate = gate_up[at];
  let up = gate_up[at + ${width}u];
  let sigmoid = 1.0 / (1.0 + exp(-gate));`;

/** gateUp [N, 2F] → h [N, F]. */
export function recordSwiGlu(list: DispatchList, gateUp: Tensor, h: Tensor): void {
  const [rows, width] = h.shape as [number, number];
  const spec = elementwise(
    'swiglu',
    'arrayLength(&h)',
    { gate_up: 'f32' },
    { h: 'f32' },
    `${activation(width)}
  h[i] = gate * sigmoid * up;`,
  );
  list.add(spec, [gateUp, h], flatGrid(rows * width));
}

/** dh [N, F] → dGateUp [N, 2F]. */
export function recordSwiGluBackward(list: DispatchList, gateUp: Tensor, dh: Tensor, dGateUp: Tensor): void {
  const [rows, width] = dh.shape as [number, number];
  const spec = elementwise(
    'swiglu_backward',
    'arrayLength(&dh)',
    { gate_up: 'f32', dh: 'f32' },
    { d_gate_up: 'f32' },
    `${activation(width)}
  d_gate_up[at] = dh[i] * up * sigmoid * (1.0 + gate * (1.0 - sigmoid));
  d_gate_up[at + ${width}u] = dh[i] * gate * sigmoid;`,
  );
  list.add(spec, [gateUp, dh, dGateUp], flatGrid(rows * width));
}
