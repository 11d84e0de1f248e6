/** @file The feed-forward half of a block: SwiGLU, `down(silu(gate(x)) ∘ up(x))`. */
import { linear } from './linear.ts';
import type { LoraInputMask } from './linear.ts';
import type { Layer, Matrix } from './matrix.ts';
import { add, zeros } from './matrix.ts';
import type { ReferenceModel } from './parameters.ts';

/** x [T, D] → [T, D]. `name` is `model.layers.N.mlp`. */
export function mlp(model: ReferenceModel, name: string, x: Matrix, mask?: LoraInputMask): Layer {
  const { intermediateSize, hiddenSize } = model.config;
  const gate = linear(model, `${name}.gate_proj`, x, intermediateSize, mask);
  const up = linear(model, `${name}.up_proj`, x, intermediateSize, mask);
  const inner = zeros(x.rows, intermediateSize);
  const sigmoid = (g: number): number => 1 / (1 + Math.exp(-g));
  for (let i = 0; i < inner.data.length; i++) {
    const g = gate.y.data[i]!;
    inner.data[i] = g * sigmoid(g) * up.y.data[i]!;
  }
  const down = linear(model, `${name}.down_proj`, inner, hiddenSize, mask);

  return {
    y: down.y,
    backward(dy) {
      const dInner = down.backward(dy);
      const dGate = zeros(x.rows, intermediateSize);
      const dUp = zeros(x.rows, intermediateSize);
      for (let i = 0; i < dInner.data.length; i++) {
        const g = gate.y.data[i]!;
        const s = sigmoid(g);
        dUp.data[i] = dInner.data[i]! * g * s;
        dGate.data[i] = dInner.data[i]! * up.y.data[i]! * s * (1 + g * (1 - s));
      }
      return add(gate.backward(dGate), up.backward(dUp));
    },
  };
}
