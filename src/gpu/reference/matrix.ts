/** @file Dense row-major float64 matrices, and the three products that a linear layer needs. */

/** `[rows, cols]`, row after row. */
export interface Matrix {
  rows: number;
  cols: number;
  data: Float64Array;
}

/**
 * What a layer's forward pass hands back: its output, and the backward pass that goes with it. `backward` takes ∂loss/∂y,
 * adds to the gradients of the layer's weights, and returns ∂loss/∂x.
 */
export interface Layer {
  y: Matrix;
  backward: (dy: Matrix) => Matrix;
}

export const zeros = (rows: number, cols: number): Matrix => ({
  rows,
  cols,
  data: new Float64Array(rows * cols),
});

/** A row of a matrix as a view. */
export const row = (m: Matrix, r: number): Float64Array => m.data.subarray(r * m.cols, (r + 1) * m.cols);

/** Elementwise sum. */
export function add(a: Matrix, b: Matrix): Matrix {
  return { ...a, data: a.data.map((x, i) => x + b.data[i]!) };
}

/** `y += scale · x·Wᵀ`. x [T, in], W [out, in], y [T, out]. */
export function addProductTransposed(y: Matrix, x: Matrix, w: Float64Array, scale = 1): void {
  for (let t = 0; t < x.rows; t++) {
    const xt = row(x, t);
    for (let o = 0; o < y.cols; o++) {
      let sum = 0;
      const at = o * x.cols;
      for (let i = 0; i < x.cols; i++) sum += xt[i]! * w[at + i]!;
      y.data[t * y.cols + o]! += scale * sum;
    }
  }
}

/** `dx += scale · dy·W`. dy [T, out], W [out, in], dx [T, in]. */
export function addProduct(dx: Matrix, dy: Matrix, w: Float64Array, scale = 1): void {
  for (let t = 0; t < dy.rows; t++) {
    const out = row(dx, t);
    for (let o = 0; o < dy.cols; o++) {
      const d = scale * dy.data[t * dy.cols + o]!;
      if (d === 0) continue;
      const at = o * dx.cols;
      for (let i = 0; i < dx.cols; i++) out[i]! += d * w[at + i]!;
    }
  }
}

/** `dW += scale · dyᵀ·x`. dy [T, out], x [T, in], dW [out, in]. */
export function addOuterProducts(dw: Float64Array, dy: Matrix, x: Matrix, scale = 1): void {
  for (let t = 0; t < dy.rows; t++) {
    const xt = row(x, t);
    for (let o = 0; o < dy.cols; o++) {
      const d = scale * dy.data[t * dy.cols + o]!;
      if (d === 0) continue;
      const at = o * x.cols;
      for (let i = 0; i < x.cols; i++) dw[at + i]! += d * xt[i]!;
    }
  }
}
