/** @file `ModelConfig`: the one description of a decoder-only transformer (Llama 3.x, Qwen2/2.5, Qwen3). */

/** Llama 3's frequency scaling of RoPE. */
export interface Llama3RopeScaling {
  factor: number;
  lowFreqFactor: number;
  highFreqFactor: number;
  originalMaxPositionEmbeddings: number;
}

export interface ModelConfig {
  family: 'llama' | 'qwen2' | 'qwen3';
  vocabSize: number;
  /** D */
  hiddenSize: number;
  /** F */
  intermediateSize: number;
  numLayers: number;
  /** Query heads H. */
  numHeads: number;
  /** Key/value heads. */
  numKvHeads: number;
  headDim: number;
  rmsNormEps: number;
  ropeTheta: number;
  ropeScaling: Llama3RopeScaling | null;
  maxPositionEmbeddings: number;
  tieWordEmbeddings: boolean;
  /** Biases on q, k, v (Qwen2). */
  attentionBias: boolean;
  /** RMS norm on each query and key head (Qwen3). */
  qkNorm: boolean;
}

/** The seven linear layers of a block that LoRA can adapt, in canonical order. */
export const linearModules = [
  'q_proj',
  'k_proj',
  'v_proj',
  'o_proj',
  'gate_proj',
  'up_proj',
  'down_proj',
] as const;
export type LinearModule = (typeof linearModules)[number];

/** `[out, in]` of a linear layer of a block. */
export function linearShape(c: ModelConfig, module: LinearModule): [number, number] {
  const q = c.numHeads * c.headDim;
  const kv = c.numKvHeads * c.headDim;
  switch (module) {
    case 'q_proj':
      return [q, c.hiddenSize];
    case 'k_proj':
    case 'v_proj':
      return [kv, c.hiddenSize];
    case 'o_proj':
      return [c.hiddenSize, q];
    case 'gate_proj':
    case 'up_proj':
      return [c.intermediateSize, c.hiddenSize];
    case 'down_proj':
      return [c.hiddenSize, c.intermediateSize];
  }
}

/** Hugging Face name of a block's linear weight, e.g. `model.layers.0.self_attn.q_proj.weight`. */
export function linearName(layer: number, module: LinearModule): string {
  const parent =
    module === 'gate_proj' || module === 'up_proj' || module === 'down_proj' ? 'mlp' : 'self_attn';
  return `model.layers.${layer}.${parent}.${module}.weight`;
}

/** Which layers a LoRA adapts: `W' = W + (alpha/r)·B·A`, A `[r, in]`, B `[out, r]`. */
export interface LoraConfig {
  r: number;
  alpha: number;
  /** Dropout on the LoRA input, training only. */
  dropout: number;
  targetModules: readonly LinearModule[];
}
