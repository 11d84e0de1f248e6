/** @file Linear layer `y = x·Wᵀ + b`, with LoRA `+ (alpha/r)·(mask∘x)·Aᵀ·Bᵀ` where the model has one on it. */
import type { Layer, Matrix } from './matrix.ts';
import { addOuterProducts, addProduct, addProductTransposed, row, zeros } from './matrix.ts';
import type { ReferenceModel } from './parameters.ts';
import { gradient, weight } from './parameters.ts';

/**
 * Factor on element i of the LoRA input of token t in a layer: 0 or 1/(1 − p) while training with dropout. Absent = 1.
 */
export type LoraInputMask = (layer: string, t: number, i: number) => number;

/** `name` is the layer's prefix, e.g. `model.layers.0.self_attn.q_proj`; x [T, in] → y [T, out]. */
export function linear(
  model: ReferenceModel,
  name: string,
  x: Matrix,
  out: number,
  mask?: LoraInputMask,
): Layer {
  const w = weight(model, `${name}.weight`);
  const bias = model.weights.get(`${name}.bias`);
  const y = zeros(x.rows, out);
  addProductTransposed(y, x, w);
  if (bias) for (let t = 0; t < y.rows; t++) for (let o = 0; o < out; o++) y.data[t * out + o]! += bias[o]!;
  const lora = loraBranch(model, name, x, y, mask);

  return {
    y,
    backward(dy) {
      const dx = zeros(x.rows, x.cols);
      addProduct(dx, dy, w);
      const dw = gradient(model, `${name}.weight`);
      if (dw) addOuterProducts(dw, dy, x);
      const db = bias && gradient(model, `${name}.bias`);
      if (db) for (let t = 0; t < dy.rows; t++) row(dy, t).forEach((d, o) => (db[o]! += d));
      lora?.(dy, dx);
      return dx;
    },
  };
}

/** Add the LoRA branch to y; hands back its backward pass, which adds to dx. */
function loraBranch(
  model: ReferenceModel,
  name: string,
  x: Matrix,
  y: Matrix,
  mask?: LoraInputMask,
): ((dy: Matrix, dx: Matrix) => void) | null {
  if (!model.lora || !model.weights.has(`${name}.lora_A`)) return null;
  const { r, alpha } = model.lora;
  const scale = alpha / r;
  const a = weight(model, `${name}.lora_A`);
  const b = weight(model, `${name}.lora_B`);
  const kept = (t: number, i: number): number => (mask ? mask(name, t, i) : 1);
  const input = zeros(x.rows, x.cols);
  for (let t = 0; t < x.rows; t++)
    for (let i = 0; i < x.cols; i++) input.data[t * x.cols + i] = x.data[t * x.cols + i]! * kept(t, i);
  const inner = zeros(x.rows, r);
  addProductTransposed(inner, input, a);
  addProductTransposed(y, inner, b, scale);

  return (dy, dx) => {
    const dInner = zeros(x.rows, r);
    addProduct(dInner, dy, b, scale);
    const db = gradient(model, `${name}.lora_B`);
    if (db) addOuterProducts(db, dy, inner, scale);
    const da = gradient(model, `${name}.lora_A`);
    if (da) addOuterProducts(da, dInner, input);
    const dInput = zeros(x.rows, x.cols);
    addProduct(dInput, dInner, a);
    for (let t = 0; t < x.rows; t++)
      for (let i = 0; i < x.cols; i++) dx.data[t * x.cols + i]! += dInput.data[t * x.cols + i]! * kept(t, i);
  };
}
