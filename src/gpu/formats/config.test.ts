import { expect, test } from 'vitest';
import { InputError } from '../../core/errors.ts';
import { configToJson, parseConfig } from './config.ts';

const llama = {
  model_type: 'llama',
  vocab_size: 700,
  hidden_size: 60,
  intermediate_size: 90,
  num_hidden_layers: 3,
  num_attention_heads: 6,
  num_key_value_heads: 2,
  rms_norm_eps: 1e-5,
};
const scaling = {
  factor: 8,
  low_freq_factor: 1,
  high_freq_factor: 4,
  original_max_position_embeddings: 8192,
};

test('the old and the new form of rope settings mean the same', () => {
  const expected = {
    ropeTheta: 500000,
    ropeScaling: { factor: 8, lowFreqFactor: 1, highFreqFactor: 4, originalMaxPositionEmbeddings: 8192 },
  };
  const forms = [
    { rope_parameters: { rope_type: 'llama3', rope_theta: 500000, ...scaling } },
    { rope_theta: 500000, rope_scaling: { rope_type: 'llama3', ...scaling } },
    { rope_theta: 500000, rope_scaling: { type: 'llama3', ...scaling } },
  ];
  for (const form of forms) expect(parseConfig({ ...llama, ...form })).toMatchObject(expected);
  expect(parseConfig({ ...llama, rope_theta: 1e6, rope_scaling: null })).toMatchObject({
    ropeTheta: 1e6,
    ropeScaling: null,
  });
  expect(parseConfig({ ...llama, rope_parameters: { rope_type: 'default', rope_theta: 7 } })).toMatchObject({
    ropeTheta: 7,
    ropeScaling: null,
  });
});

test('absent fields take the family’s defaults', () => {
  expect(parseConfig(llama)).toMatchObject({
    headDim: 10,
    ropeTheta: 10000,
    tieWordEmbeddings: false,
    attentionBias: false,
    qkNorm: false,
  });
  expect(parseConfig({ ...llama, num_key_value_heads: undefined }).numKvHeads).toBe(6);
  expect(parseConfig({ ...llama, model_type: 'qwen2' })).toMatchObject({
    attentionBias: true,
    qkNorm: false,
  });
  expect(parseConfig({ ...llama, model_type: 'qwen3' })).toMatchObject({ headDim: 128, qkNorm: true });
});

test.each([
  [{ model_type: 'mistral' }, 'model_type "mistral"'],
  [{ model_type: 'qwen3_moe' }, 'model_type "qwen3_moe"'],
  [{ hidden_act: 'gelu' }, 'hidden_act "gelu"'],
  [{ attention_bias: true }, 'attention_bias'],
  [{ mlp_bias: true }, 'mlp_bias'],
  [{ quantization_config: { quant_method: 'gptq' } }, 'quantization_config'],
  [{ rope_scaling: { type: 'linear', factor: 2 } }, 'rope type "linear"'],
  [{ rope_scaling: { rope_type: 'yarn', factor: 2 } }, 'rope type "yarn"'],
  [{ rope_scaling: { rope_type: 'llama3', factor: 2 } }, 'needs "low_freq_factor"'],
  [{ layer_types: ['full_attention', 'sliding_attention'] }, 'sliding_attention'],
  [{ use_sliding_window: true, sliding_window: 32, max_window_layers: 1 }, 'use_sliding_window'],
  [{ partial_rotary_factor: 0.5 }, 'partial_rotary_factor 0.5'],
  [{ num_key_value_heads: 4 }, 'num_key_value_heads 4'],
  [{ hidden_size: 61 }, 'a head is'],
  [{ hidden_size: '64' }, 'field "hidden_size"'],
  [{ vocab_size: undefined }, 'field "vocab_size"'],
])('%o is refused by name', (change, message) => {
  const parse = () => parseConfig({ ...llama, ...change }, 'm/config.json');
  expect(parse).toThrow(InputError);
  expect(parse).toThrow(message);
  expect(parse).toThrow('m/config.json');
});

test('a window that no layer uses is allowed', () => {
  const window = { model_type: 'qwen2', sliding_window: 32, max_window_layers: 28 };
  expect(parseConfig({ ...llama, ...window, use_sliding_window: false }).family).toBe('qwen2');
  expect(parseConfig({ ...llama, ...window, use_sliding_window: true }).family).toBe('qwen2');
});

test('a configuration survives being written and read', () => {
  for (const change of [
    {},
    { model_type: 'qwen2' },
    { model_type: 'qwen3', rope_theta: 3 },
    { rope_scaling: { type: 'llama3', ...scaling } },
  ]) {
    const config = parseConfig({ ...llama, ...change });
    expect(parseConfig(JSON.parse(JSON.stringify(configToJson(config))))).toEqual(config);
  }
});
