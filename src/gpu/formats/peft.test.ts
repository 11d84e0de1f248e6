import fc from 'fast-check';
import { expect, test } from 'vitest';
import { InputError } from '../../core/errors.ts';
import type { LinearModule } from '../model/config.ts';
import { linearModules } from '../model/config.ts';
import { parseConfig } from './config.ts';
import type { Adapter } from './peft.ts';
import { adapterShapes, readPeftFiles, writePeft } from './peft.ts';
import { parsePeftConfig } from './peft_config.ts';
import { openSafetensors, writeSafetensors } from './safetensors.ts';
import { mapFiles } from './memory_files.ts';

const model = parseConfig({
  model_type: 'llama',
  vocab_size: 20,
  hidden_size: 12,
  intermediate_size: 20,
  num_hidden_layers: 2,
  num_attention_heads: 2,
  num_key_value_heads: 1,
});

function makeAdapter(targetModules: readonly LinearModule[], r = 3): Adapter {
  const config = { r, alpha: 16, dropout: 0.05, targetModules };
  let seed = 0;
  const tensors: Adapter['tensors'] = new Map();
  for (const [key, shape] of adapterShapes(model, config))
    tensors.set(key, {
      shape,
      data: Float32Array.from({ length: shape[0] * shape[1] }, () => Math.cos(seed++)),
    });
  return { config, tensors };
}

const json = (value: unknown) => new TextEncoder().encode(JSON.stringify(value));
const raw = {
  peft_type: 'LORA',
  r: 4,
  lora_alpha: 16,
  lora_dropout: 0.1,
  target_modules: ['q_proj', 'v_proj'],
};

test('any choice of modules and rank survives being written and read', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.subarray([...linearModules], { minLength: 1 }),
      fc.integer({ min: 1, max: 5 }),
      async (modules, r) => {
        const adapter = makeAdapter(modules, r);
        expect(await readPeftFiles(writePeft(adapter, 'base'), model)).toEqual(adapter);
      },
    ),
    { numRuns: 30 },
  );
});

test('files carry the names and settings that PEFT loads', async () => {
  const files = writePeft(makeAdapter(['v_proj', 'q_proj']), 'org/base');
  const config = JSON.parse(new TextDecoder().decode(files.get('adapter_config.json')));
  expect(config).toMatchObject({
    peft_type: 'LORA',
    task_type: 'CAUSAL_LM',
    base_model_name_or_path: 'org/base',
    r: 3,
    lora_alpha: 16,
    lora_dropout: 0.05,
    target_modules: ['q_proj', 'v_proj'],
    bias: 'none',
  });
  const weights = await openSafetensors(mapFiles('a', files), 'adapter_model.safetensors');
  expect([...weights.tensors.keys()].slice(0, 2)).toEqual([
    'base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight',
    'base_model.model.model.layers.0.self_attn.q_proj.lora_B.weight',
  ]);
  expect(weights.metadata.format).toBe('pt');
});

test('target_modules as a list of full names, a pattern, or all-linear', () => {
  const parse = (target_modules: unknown) =>
    parsePeftConfig({ ...raw, target_modules }, 2, 'c').targetModules;
  expect(parse(['v_proj', 'q_proj'])).toEqual(['q_proj', 'v_proj']);
  expect(parse(['self_attn.q_proj', 'mlp.down_proj'])).toEqual(['q_proj', 'down_proj']);
  expect(parse('.*\\.(gate|up)_proj')).toEqual(['gate_proj', 'up_proj']);
  expect(parse('all-linear')).toEqual([...linearModules]);
  expect(() => parse(['q_proj', 'lm_head'])).toThrow('target_modules names "lm_head"');
  expect(() => parse('.*layers\\.1\\..*q_proj')).toThrow('adapts q_proj in layers 1 only');
  expect(() => parse('q_proj')).toThrow('matches no linear layer');
  expect(() => parse('(')).toThrow('not a regular expression');
});

test('rsLoRA keeps its scale alpha/√r', () => {
  const { alpha, r } = parsePeftConfig({ ...raw, use_rslora: true }, 2, 'c');
  expect(alpha / r).toBeCloseTo(16 / Math.sqrt(4), 12);
});

test.each([
  ['peft_type', 'IA3'],
  ['use_dora', true],
  ['bias', 'lora_only'],
  ['modules_to_save', ['lm_head']],
  ['rank_pattern', { q_proj: 2 }],
  ['alpha_pattern', { q_proj: 2 }],
  ['layers_to_transform', [0]],
  ['layer_replication', [[0, 1]]],
  ['fan_in_fan_out', true],
  ['lora_bias', true],
  ['init_lora_weights', 'pissa_niter_4'],
  ['trainable_token_indices', [1]],
  ['some_future_setting', 3],
  ['r', 0],
  ['lora_alpha', 'much'],
])('%s = %o is refused by name', (field, value) => {
  const parse = () => parsePeftConfig({ ...raw, [field]: value }, 2, 'a/adapter_config.json');
  expect(parse).toThrow(InputError);
  expect(parse).toThrow(field);
  expect(parse).toThrow('a/adapter_config.json');
});

test('settings without effect, and those at rest, are accepted', () => {
  const settings = {
    use_dora: false,
    modules_to_save: null,
    rank_pattern: {},
    loftq_config: {},
    qalora_group_size: 16,
    peft_version: '0.21.0',
    megatron_core: 'megatron.core',
    eva_config: null,
    init_lora_weights: 'gaussian',
  };
  expect(parsePeftConfig({ ...raw, ...settings }, 2, 'c')).toEqual({
    r: 4,
    alpha: 16,
    dropout: 0.1,
    targetModules: ['q_proj', 'v_proj'],
  });
});

test('weights that do not fit are refused by tensor', async () => {
  const good = makeAdapter(['q_proj']);
  const config = { ...raw, r: 3, target_modules: ['q_proj'] };
  const withTensors = (
    edit: (t: { name: string; shape: readonly number[]; data: Float32Array }[]) => void,
    file = 'adapter_model.safetensors',
  ) => {
    const tensors = [...good.tensors].map(([key, t]) => ({ name: `base_model.model.${key}.weight`, ...t }));
    edit(tensors);
    return readPeftFiles(
      new Map([
        ['adapter_config.json', json(config)],
        [file, writeSafetensors(tensors)],
      ]),
      model,
    );
  };
  // The form that older releases wrote, with the adapter's name inside.
  const renamed = await withTensors((t) =>
    t.forEach((x) => (x.name = x.name.replace('.weight', '.default.weight'))),
  );
  expect(renamed.tensors).toEqual(good.tensors);
  await expect(withTensors((t) => t.pop())).rejects.toThrow(
    'has no tensor base_model.model.model.layers.1.self_attn.q_proj.lora_B.weight',
  );
  await expect(
    withTensors((t) =>
      t.push({ name: 'base_model.model.lm_head.weight', shape: [1], data: new Float32Array(1) }),
    ),
  ).rejects.toThrow('base_model.model.lm_head.weight belongs to no LoRA matrix');
  await expect(withTensors((t) => (t[0]!.shape = [12, 3]))).rejects.toThrow('has shape [12, 3], not [3, 12]');
  await expect(withTensors(() => undefined, 'adapter_model.bin')).rejects.toThrow('safe_serialization=True');
});
