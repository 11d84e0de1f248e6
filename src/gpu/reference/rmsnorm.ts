/** @file RMS norm `y = x / √(mean(x²) + eps) · w` over rows of `width` numbers. */
import type { Layer, Matrix } from './matrix.ts';
import { zeros } from './matrix.ts';
import type { ReferenceModel } from './parameters.ts';
import { gradient, weight } from './parameters.ts';

/**
 * Normalise every run of `width` numbers of x: the whole row for a block's norms, one head for Qwen3's query and key norms.
 * `name` is the weight's name, [width].
 */
export function rmsNorm(model: ReferenceModel, name: string, x: Matrix, width = x.cols): Layer {
  const w = weight(model, name);
  const y = zeros(x.rows, x.cols);
  const scales: number[] = [];
  for (let at = 0; at < x.data.length; at += width) {
    let squares = 0;
    for (let i = 0; i < width; i++) squares += x.data[at + i]! ** 2;
    const scale = 1 / Math.sqrt(squares / width + model.config.rmsNormEps);
    for (let i = 0; i < width; i++) y.data[at + i] = x.data[at + i]! * scale * w[i]!;
    scales.push(scale);
  }

  return {
    y,
    backward(dy) {
      const dx = zeros(x.rows, x.cols);
      const dw = gradient(model, name);
      scales.forEach((scale, run) => {
        const at = run * width;
        let dot = 0;
        for (let i = 0; i < width; i++) dot += dy.data[at + i]! * w[i]! * x.data[at + i]!;
        for (let i = 0; i < width; i++) {
          const xi = x.data[at + i]!;
          dx.data[at + i] = scale * (dy.data[at + i]! * w[i]! - (xi * scale * scale * dot) / width);
          if (dw) dw[i]! += dy.data[at + i]! * xi * scale;
        }
      });
      return dx;
    },
  };
}
