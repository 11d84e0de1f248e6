/**
 * @file config.json → `ModelConfig`. Reads what transformers 5 writes (`rope_parameters`) and what models on the hub
 * still carry (`rope_theta` and `rope_scaling`, its kind under `rope_type` or `type`). What the engine does not
 * implement is refused by the name of the field, never ignored. Absent fields take the default of the family's
 * configuration class in transformers.
 */
import * as v from 'valibot';
import { InputError } from '../../core/errors.ts';
import type { Llama3RopeScaling, ModelConfig } from '../model/config.ts';
import type { FileSource } from './model_source.ts';
import { checkShape, readJson } from './text_files.ts';

const count = v.pipe(v.number(), v.integer(), v.minValue(1));
const positive = v.pipe(v.number(), v.finite(), v.gtValue(0));
const ropeSchema = v.looseObject({
  rope_type: v.nullish(v.string()),
  type: v.nullish(v.string()),
  rope_theta: v.nullish(positive),
  factor: v.nullish(positive),
  low_freq_factor: v.nullish(positive),
  high_freq_factor: v.nullish(positive),
  original_max_position_embeddings: v.nullish(count),
  partial_rotary_factor: v.nullish(positive),
});
const schema = v.looseObject({
  model_type: v.string(),
  vocab_size: count,
  hidden_size: count,
  intermediate_size: count,
  num_hidden_layers: count,
  num_attention_heads: count,
  num_key_value_heads: v.nullish(count),
  head_dim: v.nullish(count),
  hidden_act: v.nullish(v.string()),
  rms_norm_eps: v.nullish(positive),
  max_position_embeddings: v.nullish(count),
  tie_word_embeddings: v.nullish(v.boolean()),
  rope_theta: v.nullish(positive),
  rope_scaling: v.nullish(ropeSchema),
  rope_parameters: v.nullish(ropeSchema),
  attention_bias: v.nullish(v.boolean()),
  mlp_bias: v.nullish(v.boolean()),
  partial_rotary_factor: v.nullish(positive),
  use_sliding_window: v.nullish(v.boolean()),
  sliding_window: v.nullish(v.number()),
  max_window_layers: v.nullish(v.number()),
  layer_types: v.nullish(v.array(v.string())),
  quantization_config: v.nullish(v.unknown()),
});
type RawConfig = v.InferOutput<typeof schema>;

const families = ['llama', 'qwen2', 'qwen3'] as const;

/** Read config.json of a model folder. */
export async function readConfig(files: FileSource): Promise<ModelConfig> {
  return parseConfig(await readJson(files, 'config.json'), `${files.name}/config.json`);
}

/** Check a parsed config.json. `where` names the file in errors. */
export function parseConfig(value: unknown, where = 'config.json'): ModelConfig {
  const refuse = (what: string, remedy: string) => new InputError(`${where}: ${what}.`, remedy);
  const modelType = (value as { model_type?: unknown } | null)?.model_type;
  const family = families.find((name) => name === modelType);
  if (!family)
    throw refuse(
      `model_type ${JSON.stringify(modelType ?? null)} is not supported`,
      `Use a dense model of one of these families: ${families.join(', ')}.`,
    );
  const raw = checkShape(where, schema, value);
  refuseUnsupported(raw, refuse);

  const numHeads = raw.num_attention_heads;
  // Qwen's configuration classes default to 32 key/value heads, Llama's to as many as there are query heads.
  const numKvHeads =
    raw.num_key_value_heads ?? (family === 'llama' || raw.num_key_value_heads === null ? numHeads : 32);
  const headDim = raw.head_dim ?? (family === 'qwen3' ? 128 : raw.hidden_size / numHeads);
  if (!Number.isInteger(headDim) || headDim % 2 !== 0)
    throw refuse(
      `a head is ${headDim} wide; it must be an even integer`,
      'Check hidden_size, num_attention_heads.',
    );
  if (numHeads % numKvHeads !== 0)
    throw refuse(
      `num_attention_heads ${numHeads} is not a multiple of num_key_value_heads ${numKvHeads}`,
      'Check both fields against the original model.',
    );
  const rope = raw.rope_parameters ?? raw.rope_scaling ?? null;
  return {
    family,
    vocabSize: raw.vocab_size,
    hiddenSize: raw.hidden_size,
    intermediateSize: raw.intermediate_size,
    numLayers: raw.num_hidden_layers,
    numHeads,
    numKvHeads,
    headDim,
    rmsNormEps: raw.rms_norm_eps ?? 1e-6,
    ropeTheta: raw.rope_parameters?.rope_theta ?? raw.rope_theta ?? 10000,
    ropeScaling: rope ? parseRope(rope, refuse) : null,
    maxPositionEmbeddings: raw.max_position_embeddings ?? (family === 'llama' ? 2048 : 32768),
    tieWordEmbeddings: raw.tie_word_embeddings ?? false,
    attentionBias: family === 'qwen2',
    qkNorm: family === 'qwen3',
  };
}

type Refuse = (what: string, remedy: string) => InputError;

function refuseUnsupported(raw: RawConfig, refuse: Refuse): void {
  const other = 'Use a checkpoint without it.';
  if (raw.hidden_act && raw.hidden_act !== 'silu')
    throw refuse(`hidden_act "${raw.hidden_act}" is not supported (only silu)`, other);
  if (raw.quantization_config)
    throw refuse(
      'quantization_config is set; quantised checkpoints are not supported',
      'Use the F32, F16 or BF16 original.',
    );
  if (raw.attention_bias && raw.model_type !== 'qwen2')
    throw refuse(`attention_bias is not supported for ${raw.model_type}`, other);
  if (raw.mlp_bias) throw refuse('mlp_bias is not supported', other);
  const partial = raw.rope_parameters?.partial_rotary_factor ?? raw.partial_rotary_factor ?? 1;
  if (partial !== 1) throw refuse(`partial_rotary_factor ${partial} is not supported`, other);
  const foreign = raw.layer_types?.find((kind) => kind !== 'full_attention');
  if (foreign) throw refuse(`layer_types has ${foreign}; only full_attention is supported`, other);
  // Without layer_types, transformers slides the layers from max_window_layers (default 28) on.
  const slides =
    raw.use_sliding_window && raw.sliding_window && (raw.max_window_layers ?? 28) < raw.num_hidden_layers;
  if (slides && !raw.layer_types)
    throw refuse('use_sliding_window is set; sliding window attention is not supported', other);
}

function parseRope(rope: v.InferOutput<typeof ropeSchema>, refuse: Refuse): Llama3RopeScaling | null {
  const kind = rope.rope_type ?? rope.type ?? 'default';
  if (kind === 'default') return null;
  if (kind !== 'llama3')
    throw refuse(
      `rope type "${kind}" is not supported (only default and llama3)`,
      'Remove the scaling to use the model at its original context length.',
    );
  const need = (
    key: 'factor' | 'low_freq_factor' | 'high_freq_factor' | 'original_max_position_embeddings',
  ) => {
    const value = rope[key];
    if (value === null || value === undefined)
      throw refuse(`rope type llama3 needs "${key}"`, 'Copy it from the original model.');
    return value;
  };
  const scaling = {
    factor: need('factor'),
    lowFreqFactor: need('low_freq_factor'),
    highFreqFactor: need('high_freq_factor'),
    originalMaxPositionEmbeddings: need('original_max_position_embeddings'),
  };
  if (scaling.highFreqFactor <= scaling.lowFreqFactor)
    throw refuse('rope high_freq_factor must exceed low_freq_factor', 'Copy both from the original model.');
  return scaling;
}

/**
 * A config.json for a `ModelConfig`, in the older form that every transformers release reads. `extra` adds fields such
 * as `bos_token_id` and `eos_token_id`.
 */
export function configToJson(c: ModelConfig, extra: Record<string, unknown> = {}): Record<string, unknown> {
  const architecture = { llama: 'LlamaForCausalLM', qwen2: 'Qwen2ForCausalLM', qwen3: 'Qwen3ForCausalLM' }[
    c.family
  ];
  return {
    architectures: [architecture],
    model_type: c.family,
    vocab_size: c.vocabSize,
    hidden_size: c.hiddenSize,
    intermediate_size: c.intermediateSize,
    num_hidden_layers: c.numLayers,
    num_attention_heads: c.numHeads,
    num_key_value_heads: c.numKvHeads,
    head_dim: c.headDim,
    hidden_act: 'silu',
    rms_norm_eps: c.rmsNormEps,
    max_position_embeddings: c.maxPositionEmbeddings,
    tie_word_embeddings: c.tieWordEmbeddings,
    rope_theta: c.ropeTheta,
    rope_scaling: c.ropeScaling && {
      rope_type: 'llama3',
      factor: c.ropeScaling.factor,
      low_freq_factor: c.ropeScaling.lowFreqFactor,
      high_freq_factor: c.ropeScaling.highFreqFactor,
      original_max_position_embeddings: c.ropeScaling.originalMaxPositionEmbeddings,
    },
    torch_dtype: 'float32',
    ...extra,
  };
}
