/**
 * @file A model's weights on the GPU. Matrices that read the same input are fused, rows under rows (q, k, v; gate, up), so
 * that one product serves them. Frozen weights have a buffer each, in f32 or f16; trainable ones are views of one
 * flat f32 buffer.
 */
import { InputError } from '../../core/errors.ts';
import { f32ToF16 } from '../formats/half.ts';
import type { ModelSource } from '../formats/model_source.ts';
import { createRopeTable } from '../kernels/rope.ts';
import type { GpuContext } from '../runtime/context.ts';
import type { DType, Tensor } from '../runtime/tensor.ts';
import { bytesPerElement, createTensor, sizeOf, writeTensor } from '../runtime/tensor.ts';
import type { LinearModule, ModelConfig } from './config.ts';
import { linearName, linearShape } from './config.ts';
import type { FlatTensors } from './parameters.ts';
import { ParameterLayout } from './parameters.ts';

/** A block's four products: the fused ones and the two that stand alone. */
export type FusedLinear = 'qkv' | 'o' | 'gate_up' | 'down';

/** One linear module as a range of rows (output features) of a fused matrix. */
export interface LinearSlice {
  module: LinearModule;
  /** First output feature in the fused result. */
  start: number;
  /** Output features. */
  width: number;
}

/** Modules of each fused matrix, in the order of their rows. */
export const fusedModules: Record<FusedLinear, readonly LinearModule[]> = {
  qkv: ['q_proj', 'k_proj', 'v_proj'],
  o: ['o_proj'],
  gate_up: ['gate_proj', 'up_proj'],
  down: ['down_proj'],
};

/** The rows of a fused matrix that belong to each module. */
export function linearSlices(config: ModelConfig, fused: FusedLinear): LinearSlice[] {
  let start = 0;
  return fusedModules[fused].map((module) => {
    const [width] = linearShape(config, module);
    const slice = { module, start, width };
    start += width;
    return slice;
  });
}

/** A (fused) linear layer. */
export interface LinearWeights {
  /** [out, in], f32 or f16 */
  weight: Tensor;
  /** [out] */
  bias: Tensor | null;
  /** Hugging Face name of the first part; the flat buffer's gradient view begins there. */
  name: string;
  biasName: string | null;
}

/** A vector of a norm, with its name. */
export interface NormWeights {
  weight: Tensor;
  name: string;
}

export interface LayerWeights {
  inputNorm: NormWeights;
  qkv: LinearWeights;
  qNorm: NormWeights | null;
  kNorm: NormWeights | null;
  o: LinearWeights;
  postNorm: NormWeights;
  gate_up: LinearWeights;
  down: LinearWeights;
}

/** Everything a forward pass reads, except an adapter. */
export interface ModelWeights {
  config: ModelConfig;
  /** [V, D] */
  embed: LinearWeights;
  layers: LayerWeights[];
  norm: NormWeights;
  /** [V, D]; the embedding itself when tied. */
  head: LinearWeights;
  /** [positions, hd], see `createRopeTable`. */
  rope: Tensor;
  /** Fused tensors with their parts, in order: what loading fills. */
  groups: WeightGroup[];
}

/** Tensors of the checkpoint that lie one after another in one GPU tensor. */
export interface WeightGroup {
  tensor: Tensor;
  parts: { name: string; shape: readonly number[] }[];
}

type Part = WeightGroup['parts'][number];

/** Fused parts of a model, in the order in which they are laid out and loaded. */
function modelParts(c: ModelConfig): Part[][] {
  const groups: Part[][] = [[{ name: 'model.embed_tokens.weight', shape: [c.vocabSize, c.hiddenSize] }]];
  const vector = (name: string, size: number): Part[] => [{ name, shape: [size] }];
  for (let l = 0; l < c.numLayers; l++) {
    const prefix = `model.layers.${l}`;
    const fused = (key: FusedLinear): Part[] =>
      fusedModules[key].map((module) => ({ name: linearName(l, module), shape: linearShape(c, module) }));
    groups.push(vector(`${prefix}.input_layernorm.weight`, c.hiddenSize), fused('qkv'));
    if (c.attentionBias)
      groups.push(
        fusedModules.qkv.map((m) => ({
          name: linearName(l, m).replace(/weight$/, 'bias'),
          shape: [linearShape(c, m)[0]],
        })),
      );
    if (c.qkNorm)
      for (const head of ['q_norm', 'k_norm'])
        groups.push(vector(`${prefix}.self_attn.${head}.weight`, c.headDim));
    groups.push(fused('o'), vector(`${prefix}.post_attention_layernorm.weight`, c.hiddenSize));
    groups.push(fused('gate_up'), fused('down'));
  }
  groups.push(vector('model.norm.weight', c.hiddenSize));
  if (!c.tieWordEmbeddings) groups.push([{ name: 'lm_head.weight', shape: [c.vocabSize, c.hiddenSize] }]);
  return groups;
}

/** Layout of all base weights in one flat buffer, for full fine-tuning. */
export function fullLayout(config: ModelConfig): ParameterLayout {
  const layout = new ParameterLayout();
  for (const parts of modelParts(config)) layout.add(...parts);
  return layout;
}

/** How to allocate weights. */
export interface WeightStorage {
  /** Type of frozen matrices; vectors are always f32. */
  precision?: 'f32' | 'f16';
  /** Put everything into this flat buffer (of `fullLayout`) instead: full fine-tuning. */
  flat?: FlatTensors;
  /** Rows of the RoPE table, default the model's `maxPositionEmbeddings`; or the table of other weights. */
  rope?: number | Tensor;
}

/** Allocate a model's weights; `loadWeights` fills them. */
export function createWeights(
  gpu: GpuContext,
  config: ModelConfig,
  storage: WeightStorage = {},
): ModelWeights {
  const byName = new Map<string, Tensor>();
  const groups = modelParts(config).map((parts): WeightGroup => {
    const { name, shape } = parts[0]!;
    const rows = parts.reduce((sum, p) => sum + p.shape[0]!, 0);
    const fusedShape = [rows, ...shape.slice(1)];
    const dtype: DType = shape.length === 2 && storage.precision === 'f16' ? 'f16' : 'f32';
    const tensor = storage.flat?.view(name, fusedShape) ?? createTensor(gpu, name, fusedShape, dtype);
    byName.set(name, tensor);
    return { tensor, parts };
  });
  const linear = (name: string, biased = false): LinearWeights => {
    const biasName = biased ? name.replace(/weight$/, 'bias') : null;
    return { weight: byName.get(name)!, name, bias: biasName ? byName.get(biasName)! : null, biasName };
  };
  const norm = (name: string): NormWeights => ({ weight: byName.get(name)!, name });
  const layers = Array.from({ length: config.numLayers }, (_, l): LayerWeights => {
    const prefix = `model.layers.${l}`;
    const fused = (key: FusedLinear) =>
      linear(linearName(l, fusedModules[key][0]!), key === 'qkv' && config.attentionBias);
    return {
      inputNorm: norm(`${prefix}.input_layernorm.weight`),
      qkv: fused('qkv'),
      qNorm: config.qkNorm ? norm(`${prefix}.self_attn.q_norm.weight`) : null,
      kNorm: config.qkNorm ? norm(`${prefix}.self_attn.k_norm.weight`) : null,
      o: fused('o'),
      postNorm: norm(`${prefix}.post_attention_layernorm.weight`),
      gate_up: fused('gate_up'),
      down: fused('down'),
    };
  });
  const embed = linear('model.embed_tokens.weight');
  const rope = storage.rope ?? config.maxPositionEmbeddings;
  return {
    config,
    embed,
    layers,
    norm: norm('model.norm.weight'),
    head: config.tieWordEmbeddings ? embed : linear('lm_head.weight'),
    rope: typeof rope === 'number' ? createRopeTable(gpu, config, rope) : rope,
    groups,
  };
}

/** Bytes of f32 that loading holds on the host at a time. */
const chunkBytes = 32 << 20;

/**
 * Stream a checkpoint into allocated weights, a few rows at a time: the host never holds the model. Throws `InputError`
 * naming the tensor that holds a NaN or an infinity.
 */
export async function loadWeights(
  gpu: GpuContext,
  weights: ModelWeights,
  source: ModelSource,
): Promise<void> {
  for (const { tensor, parts } of weights.groups) {
    const width = bytesPerElement(tensor.dtype);
    // Uploads are in units of four bytes: f16 parts of odd size must travel together.
    const whole = tensor.dtype === 'f16' && parts.some((p) => sizeOf(p.shape) % 2 === 1);
    const gathered = whole ? new Float32Array(sizeOf(tensor.shape)) : null;
    let first = 0;
    for (const { name, shape } of parts) {
      const rowSize = sizeOf(shape) / shape[0]!;
      const rows = Math.max(2, 2 * Math.floor(chunkBytes / (rowSize * 8)));
      for (let row = 0; row < shape[0]!; row += rows) {
        const values = await source.read(name, row, Math.min(shape[0]!, row + rows));
        assertFinite(source, name, values);
        const at = first + row * rowSize;
        if (gathered) gathered.set(values, at);
        else upload(gpu, { ...tensor, offset: tensor.offset + at * width }, values);
        // Let the queue take the chunk before the next one is read, or staging memory would hold the whole model.
        if (values.byteLength >= chunkBytes / 2) await gpu.device.queue.onSubmittedWorkDone();
      }
      first += sizeOf(shape);
    }
    if (gathered) upload(gpu, tensor, gathered);
  }
  gpu.assertAlive();
}

const upload = (gpu: GpuContext, tensor: Tensor, values: Float32Array) =>
  writeTensor(gpu, tensor, tensor.dtype === 'f16' ? f32ToF16(values) : values);

function assertFinite(source: ModelSource, name: string, values: Float32Array): void {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i]! * 0;
  if (sum !== 0)
    throw new InputError(
      `${source.name}: tensor ${name} holds a NaN or an infinity.`,
      'The checkpoint is damaged or its training diverged: fetch it again or take an earlier one.',
    );
}
