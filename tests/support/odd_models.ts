/** @file Small random models of odd shapes in all three families, as the engine and the float64 reference both read them. */
import { Rng } from '../../src/core/random.ts';
import type { TrainSequence } from '../../src/core/policy.ts';
import type { ModelSource } from '../../src/gpu/formats/model_source.ts';
import { parameterShapes } from '../../src/gpu/formats/open_model.ts';
import type { Adapter } from '../../src/gpu/formats/peft.ts';
import { adapterShapes } from '../../src/gpu/formats/peft.ts';
import type { LinearModule, ModelConfig } from '../../src/gpu/model/config.ts';

export const families = ['llama', 'qwen2', 'qwen3'] as const;
export type Family = (typeof families)[number];

/** A standard normal number. */
const normal = (rng: Rng): number =>
  Math.sqrt(-2 * Math.log(rng.next())) * Math.cos(2 * Math.PI * rng.next());

/** An odd configuration: widths that no power of two divides, grouped heads, tied or not, rope scaled or not. */
export function randomConfig(family: Family, seed: number): ModelConfig {
  const rng = new Rng(seed).fork(family);
  const numKvHeads = rng.pick([1, 2, 3]);
  const numHeads = numKvHeads * rng.pick([1, 2, 3]);
  const headDim = rng.pick([4, 6, 10, 12]);
  return {
    family,
    vocabSize: rng.pick([29, 37, 53, 101]),
    hiddenSize: family === 'qwen3' ? rng.pick([14, 20, 27]) : numHeads * headDim,
    intermediateSize: rng.pick([18, 22, 37, 51]),
    numLayers: rng.pick([1, 2, 3]),
    numHeads,
    numKvHeads,
    headDim,
    rmsNormEps: rng.pick([1e-5, 1e-6]),
    ropeTheta: rng.pick([100, 10000]),
    ropeScaling:
      family === 'llama' && rng.chance(0.6)
        ? { factor: 8, lowFreqFactor: 1, highFreqFactor: 4, originalMaxPositionEmbeddings: 32 }
        : null,
    maxPositionEmbeddings: 96,
    tieWordEmbeddings: rng.chance(0.5),
    attentionBias: family === 'qwen2',
    qkNorm: family === 'qwen3',
  };
}

/** Random f32 weights of a configuration; norm weights lie around 1. */
export function randomSource(config: ModelConfig, seed: number): ModelSource {
  const shapes = parameterShapes(config);
  const weights = new Map<string, Float32Array>();
  for (const [name, shape] of shapes) {
    const rng = new Rng(seed).fork(name);
    const size = shape.reduce((a, b) => a * b, 1);
    const isNorm = name.endsWith('norm.weight');
    const spread = isNorm ? 0.2 : shape.length === 1 ? 0.3 : 1 / Math.sqrt(shape[1]!);
    weights.set(
      name,
      Float32Array.from({ length: size }, () => (isNorm ? 1 : 0) + spread * normal(rng)),
    );
  }
  const find = (name: string): Float32Array => {
    const found = weights.get(name);
    if (!found) throw new RangeError(`No tensor ${name}.`);
    return found;
  };
  return {
    name: `random-${config.family}-${seed}`,
    config,
    has: (name) => weights.has(name),
    shape: (name) => shapes.get(name)!,
    read: async (name, start = 0, end) => {
      const shape = shapes.get(name)!;
      const width = shape.slice(1).reduce((a, b) => a * b, 1);
      return find(name).slice(start * width, (end ?? shape[0]!) * width);
    },
  };
}

/** A random f32 LoRA whose B is not 0, so that every matrix has a gradient. */
export function randomAdapter(
  config: ModelConfig,
  seed: number,
  targetModules: readonly LinearModule[],
  r = 3,
): Adapter {
  const lora = { r, alpha: 7, dropout: 0, targetModules };
  const tensors: Adapter['tensors'] = new Map();
  for (const [key, shape] of adapterShapes(config, lora)) {
    const rng = new Rng(seed).fork(key);
    const data = Float32Array.from(
      { length: shape[0] * shape[1] },
      () => (0.6 * normal(rng)) / Math.sqrt(shape[1]),
    );
    tensors.set(key, { shape, data });
  }
  return { config: lora, tensors };
}

/**
 * A ragged batch with everything any objective may ask for. Log-probs at rollout time and of the reference scatter around
 * `current` (the policy's own, [T] a sequence), so that some ratios leave the clip range; places outside the mask hold
 * ±1e4. One sequence has no loss token, one has exactly one.
 */
export function randomBatch(
  config: ModelConfig,
  seed: number,
  lengths: readonly number[],
  current?: readonly ArrayLike<number>[],
): TrainSequence[] {
  const rng = new Rng(seed).fork('batch');
  return lengths.map((T, b): TrainSequence => {
    const tokens = Array.from({ length: T }, () => rng.int(config.vocabSize));
    const draw = Array.from({ length: T }, () => rng.chance(0.6));
    const lossMask = draw.map((on, t) =>
      t > 0 && b !== 1 && (b === 2 ? t === T - 1 : on || t === T - 1) ? 1 : 0,
    );
    const near = (spread: number): number[] =>
      tokens.map((_, t) => {
        const noise = spread * normal(rng);
        return lossMask[t] === 1 ? Math.fround((current?.[b]?.[t] ?? -3) + noise) : t % 2 === 0 ? 1e4 : -1e4;
      });
    return {
      tokens,
      lossMask,
      advantage: normal(rng),
      oldLogprobs: near(0.25),
      refLogprobs: near(0.4),
      samplerLogprobs: near(0.3),
      segmentIds: tokens.map((_, t) => Math.floor(t / 3)),
    };
  });
}
