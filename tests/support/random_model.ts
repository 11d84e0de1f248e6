/** @file A Llama of odd shapes with random weights: no width is a multiple of 64, heads are grouped, rope is scaled. */
import { randomModel as randomWeights } from '../../src/gpu/formats/random_model.ts';
import type { ModelSource } from '../../src/gpu/formats/model_source.ts';
import type { ModelConfig } from '../../src/gpu/model/config.ts';

export const oddConfig: ModelConfig = {
  family: 'llama',
  vocabSize: 157,
  hiddenSize: 36,
  intermediateSize: 58,
  numLayers: 2,
  numHeads: 6,
  numKvHeads: 2,
  headDim: 20,
  rmsNormEps: 1e-5,
  ropeTheta: 10000,
  ropeScaling: { factor: 8, lowFreqFactor: 1, highFreqFactor: 4, originalMaxPositionEmbeddings: 32 },
  maxPositionEmbeddings: 160,
  tieWordEmbeddings: false,
  attentionBias: false,
  qkNorm: false,
};

/** Random weights of a configuration, by default the odd one. */
export const randomModel = (config: ModelConfig = oddConfig, seed = 1, deviation?: number): ModelSource =>
  randomWeights(config, seed, deviation);
