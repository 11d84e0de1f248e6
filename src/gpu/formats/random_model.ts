/** @file A model of any configuration with random weights, made as it is read: for tests and benchmarks. */
import { hashString, Rng } from '../../core/random.ts';
import { InputError } from '../../core/errors.ts';
import type { ModelConfig } from '../model/config.ts';
import type { ModelSource } from './model_source.ts';
import { parameterShapes } from './open_model.ts';

/**
 * Matrices are uniform with standard deviation `deviation` (default 0.02, Hugging Face's initializer_range), norms are 1, biases
 * uniform too. The same configuration and seed give the same weights, in whatever pieces they are read.
 */
export function randomModel(config: ModelConfig, seed: number, deviation = 0.02): ModelSource {
  const shapes = parameterShapes(config);
  const shapeOf = (tensor: string): readonly number[] => {
    const shape = shapes.get(tensor);
    if (!shape) throw new InputError(`A random ${config.family} model has no tensor ${tensor}.`);
    return shape;
  };
  return {
    name: `random-${config.family}-${seed}`,
    config,
    has: (tensor) => shapes.has(tensor),
    shape: shapeOf,
    read: (tensor, start = 0, end) => {
      const shape = shapeOf(tensor);
      const width = shape[1] ?? 1;
      const values = new Float32Array(((end ?? shape[0]!) - start) * width);
      if (tensor.endsWith('norm.weight')) return Promise.resolve(values.fill(1));
      const rng = new Rng((seed ^ hashString(tensor)) >>> 0);
      rng.counter = start * width;
      const bound = deviation * Math.sqrt(3);
      for (let i = 0; i < values.length; i++) values[i] = (2 * rng.next() - 1) * bound;
      return Promise.resolve(values);
    },
  };
}
