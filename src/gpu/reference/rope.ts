/** @file Rotary positions (Su et al., 2021), with Llama 3's frequency scaling; halves are paired as Hugging Face does. */
import type { ModelConfig } from '../model/config.ts';
import type { Layer, Matrix } from './matrix.ts';
import { zeros } from './matrix.ts';

/** Angular frequency of each pair of a head, [headDim / 2]. */
export function ropeFrequencies(config: ModelConfig): number[] {
  const plain = Array.from(
    { length: config.headDim / 2 },
    (_, i) => config.ropeTheta ** ((-2 * i) / config.headDim),
  );
  const scaling = config.ropeScaling;
  if (!scaling) return plain;
  const { factor, lowFreqFactor, highFreqFactor, originalMaxPositionEmbeddings: context } = scaling;
  return plain.map((frequency) => {
    const wavelength = (2 * Math.PI) / frequency;
    if (wavelength < context / highFreqFactor) return frequency;
    if (wavelength > context / lowFreqFactor) return frequency / factor;
    const smooth = (context / wavelength - lowFreqFactor) / (highFreqFactor - lowFreqFactor);
    return ((1 - smooth) * frequency) / factor + smooth * frequency;
  });
}

/** Rotate every head of row t by position t. x [T, heads · headDim]. */
export function rope(config: ModelConfig, x: Matrix): Layer {
  const frequencies = ropeFrequencies(config);
  return { y: rotate(config, frequencies, x, 1), backward: (dy) => rotate(config, frequencies, dy, -1) };
}

/** A rotation's transpose is the rotation by the opposite angle. */
function rotate(
  { headDim }: ModelConfig,
  frequencies: readonly number[],
  x: Matrix,
  direction: 1 | -1,
): Matrix {
  const y = zeros(x.rows, x.cols);
  const half = headDim / 2;
  for (let t = 0; t < x.rows; t++)
    for (let head = 0; head < x.cols; head += headDim)
      for (let i = 0; i < half; i++) {
        const cos = Math.cos(t * frequencies[i]!);
        const sin = direction * Math.sin(t * frequencies[i]!);
        const at = t * x.cols + head + i;
        y.data[at] = x.data[at]! * cos - x.data[at + half]! * sin;
        y.data[at + half] = x.data[at + half]! * cos + x.data[at]! * sin;
      }
  return y;
}
