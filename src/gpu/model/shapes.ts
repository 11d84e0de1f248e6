/**
 * @file Shapes of well-known models, from the config.json that each was published with (instruction-tuned versions), for
 * benchmarks with random weights and for saying what a model will need before it is fetched.
 */
import type { Llama3RopeScaling, ModelConfig } from './config.ts';

/** Llama 3's scaling of RoPE; the models differ in its factor. */
const llama3Rope = (factor: number): Llama3RopeScaling => ({
  factor,
  lowFreqFactor: 1,
  highFreqFactor: 4,
  originalMaxPositionEmbeddings: 8192,
});

type Widths = Pick<
  ModelConfig,
  'hiddenSize' | 'intermediateSize' | 'numLayers' | 'numHeads' | 'numKvHeads' | 'headDim'
>;

/** D, F, layers, H, Kv, head width. */
const widths = (
  hiddenSize: number,
  intermediateSize: number,
  numLayers: number,
  numHeads: number,
  numKvHeads: number,
  headDim: number,
): Widths => ({ hiddenSize, intermediateSize, numLayers, numHeads, numKvHeads, headDim });

const llama3 = (size: Widths, ropeFactor: number, tieWordEmbeddings: boolean): ModelConfig => ({
  ...size,
  family: 'llama',
  vocabSize: 128256,
  rmsNormEps: 1e-5,
  ropeTheta: 500000,
  ropeScaling: llama3Rope(ropeFactor),
  maxPositionEmbeddings: 131072,
  tieWordEmbeddings,
  attentionBias: false,
  qkNorm: false,
});

const qwen = (
  family: 'qwen2' | 'qwen3',
  size: Widths,
  tieWordEmbeddings: boolean,
  vocabSize = 151936,
): ModelConfig => ({
  ...size,
  family,
  vocabSize,
  rmsNormEps: 1e-6,
  ropeTheta: 1000000,
  ropeScaling: null,
  maxPositionEmbeddings: family === 'qwen2' ? 32768 : 40960,
  tieWordEmbeddings,
  attentionBias: family === 'qwen2',
  qkNorm: family === 'qwen3',
});

/** Configurations by the name people use. */
export const modelShapes: Readonly<Record<string, ModelConfig>> = {
  'llama-3.2-1b': llama3(widths(2048, 8192, 16, 32, 8, 64), 32, true),
  'llama-3.2-3b': llama3(widths(3072, 8192, 28, 24, 8, 128), 32, true),
  'llama-3.1-8b': llama3(widths(4096, 14336, 32, 32, 8, 128), 8, false),
  'qwen2.5-0.5b': qwen('qwen2', widths(896, 4864, 24, 14, 2, 64), true),
  'qwen2.5-1.5b': qwen('qwen2', widths(1536, 8960, 28, 12, 2, 128), true),
  'qwen2.5-7b': qwen('qwen2', widths(3584, 18944, 28, 28, 4, 128), false, 152064),
  'qwen3-0.6b': qwen('qwen3', widths(1024, 3072, 28, 16, 8, 128), true),
  'qwen3-1.7b': qwen('qwen3', widths(2048, 6144, 28, 16, 8, 128), true),
  'qwen3-4b': qwen('qwen3', widths(2560, 9728, 36, 32, 8, 128), true),
  'qwen3-8b': qwen('qwen3', widths(4096, 12288, 36, 32, 8, 128), false),
};
