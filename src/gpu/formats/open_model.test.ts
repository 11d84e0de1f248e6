import { expect, test } from 'vitest';
import { InputError } from '../../core/errors.ts';
import type { ModelConfig } from '../model/config.ts';
import { configToJson, parseConfig } from './config.ts';
import type { FileSink } from './export_model.ts';
import { exportModel } from './export_model.ts';
import { mapFiles } from './memory_files.ts';
import { openModel, parameterShapes } from './open_model.ts';
import type { Adapter } from './peft.ts';
import { adapterShapes } from './peft.ts';
import { writeSafetensors } from './safetensors.ts';

const text = (value: unknown) => new TextEncoder().encode(JSON.stringify(value));
const sizes = {
  vocab_size: 37,
  hidden_size: 12,
  intermediate_size: 20,
  num_hidden_layers: 2,
  num_attention_heads: 2,
  num_key_value_heads: 1,
};
const llama = parseConfig({ model_type: 'llama', ...sizes });

/** A model folder in memory, its weights numbered so that a mix-up shows. */
function folder(config: ModelConfig, edit: (files: Map<string, Uint8Array>) => void = () => undefined) {
  let next = 0;
  const tensors = [...parameterShapes(config)].map(([name, shape]) => ({
    name,
    shape,
    data: Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => (next++ % 1021) / 1024),
  }));
  const files = new Map([
    ['config.json', text(configToJson(config))],
    ['model.safetensors', writeSafetensors(tensors)],
    ['tokenizer.json', text({})],
    ['README.md', text('not copied')],
  ]);
  edit(files);
  return mapFiles('m', files);
}

function mapSink(): { sink: FileSink; files: Map<string, Uint8Array> } {
  const files = new Map<string, Uint8Array>();
  const write: FileSink['write'] = async (file, chunks) => {
    const parts: Uint8Array[] = [];
    for await (const chunk of chunks) parts.push(chunk.slice());
    files.set(file, new Uint8Array(await new Blob(parts as BlobPart[]).arrayBuffer()));
  };
  return { sink: { write }, files };
}

test.each(['llama', 'qwen2', 'qwen3'])(
  'the tensors of %s are found, and a tied head is the embedding',
  async (family) => {
    const config = parseConfig({
      model_type: family,
      ...sizes,
      head_dim: 8,
      tie_word_embeddings: family !== 'llama',
    });
    const model = await openModel(folder(config));
    expect(model.config).toEqual(config);
    expect(model.has('lm_head.weight')).toBe(family === 'llama');
    expect(model.has('model.layers.1.self_attn.q_proj.bias')).toBe(family === 'qwen2');
    expect(model.has('model.layers.1.self_attn.k_norm.weight')).toBe(family === 'qwen3');
    expect(model.shape('model.layers.0.self_attn.o_proj.weight')).toEqual([12, 16]);
    const rows = await model.read('model.embed_tokens.weight', 2, 4);
    expect([...rows]).toEqual(Array.from({ length: 24 }, (_, i) => (24 + i) / 1024));
    if (family !== 'llama') expect(() => model.shape('lm_head.weight')).toThrow('tied');
  },
);

test('shards and 16-bit floats read the same as one file', async () => {
  const source = folder(llama);
  const whole = await openModel(source);
  const { sink, files } = mapSink();
  const written = await exportModel(
    { model: whole, files: source, dtype: 'BF16', maxShardBytes: 1500 },
    sink,
  );
  expect(written).toContain('model.safetensors.index.json');
  expect(written.filter((f) => /model-\d{5}-of-\d{5}/.test(f)).length).toBeGreaterThan(3);
  expect(written).toContain('tokenizer.json');
  expect(written).not.toContain('README.md');
  const sharded = await openModel(mapFiles('s', files));
  for (const name of parameterShapes(llama).keys()) {
    const [a, b] = [await whole.read(name), await sharded.read(name)];
    for (let i = 0; i < a.length; i++)
      expect(Math.abs(a[i]! - b[i]!)).toBeLessThanOrEqual(Math.abs(a[i]!) / 256);
  }
  files.delete(written.find((f) => f.startsWith('model-00002'))!);
  await expect(openModel(mapFiles('s', files))).rejects.toThrow(/s lacks the shard model-00002-of-/);
});

test('an adapter is merged as W + (alpha/r)·B·A', async () => {
  const lora = { r: 3, alpha: 5, dropout: 0, targetModules: ['v_proj', 'down_proj'] as const };
  const adapter: Adapter = { config: lora, tensors: new Map() };
  let seed = 1;
  for (const [key, shape] of adapterShapes(llama, lora))
    adapter.tensors.set(key, {
      shape,
      data: Float32Array.from({ length: shape[0] * shape[1] }, () => Math.sin(seed++)),
    });
  const source = folder(llama);
  const base = await openModel(source);
  const { sink, files } = mapSink();
  await exportModel({ model: base, files: source, adapter }, sink);
  const merged = await openModel(mapFiles('merged', files));
  for (const name of parameterShapes(llama).keys()) {
    const [before, after] = [await base.read(name), await merged.read(name)];
    const a = adapter.tensors.get(name.replace(/weight$/, 'lora_A'))?.data;
    const b = adapter.tensors.get(name.replace(/weight$/, 'lora_B'))?.data;
    const width = base.shape(name)[1] ?? 1;
    for (let i = 0; i < before.length; i++) {
      const [row, column] = [Math.floor(i / width), i % width];
      let delta = 0;
      if (a && b) for (let k = 0; k < 3; k++) delta += (5 / 3) * b[row * 3 + k]! * a[k * width + column]!;
      expect(after[i]).toBeCloseTo(before[i]! + delta, 5);
    }
  }
});

test('values beyond f16 are refused by tensor when f16 is asked for', async () => {
  const source = folder(llama);
  const base = await openModel(source);
  const loud = {
    ...base,
    read: async (name: string, s?: number, e?: number) => (await base.read(name, s, e)).map((x) => x + 7e4),
  };
  await expect(exportModel({ model: loud, files: source, dtype: 'F16' }, mapSink().sink)).rejects.toThrow(
    /model\.embed_tokens\.weight holds 7.*bf16/,
  );
});

test.each<[string, (files: Map<string, Uint8Array>) => void, RegExp]>([
  ['no weights', (f) => f.delete('model.safetensors'), /m has neither model\.safetensors nor/],
  [
    'a pickle',
    (f) => f.delete('model.safetensors') && f.set('pytorch_model.bin', text('')),
    /convert it with save_pretrained/,
  ],
  ['no config', (f) => f.delete('config.json'), /m has no file config\.json/],
  ['broken config', (f) => f.set('config.json', new Uint8Array([123])), /m\/config\.json is not valid JSON/],
  [
    'a config of another width',
    (f) => f.set('config.json', text(configToJson({ ...llama, intermediateSize: 21 }))),
    /gate_proj\.weight has shape \[20, 12\], config\.json says \[21, 12\]/,
  ],
  [
    'a config with more layers',
    (f) => f.set('config.json', text(configToJson({ ...llama, numLayers: 3 }))),
    /no tensor model\.layers\.2\.input_layernorm\.weight/,
  ],
  [
    'an index that names nothing',
    (f) => f.set('model.safetensors.index.json', text({ weight_map: {} })),
    /names no shard for tensor model\.embed_tokens\.weight/,
  ],
  [
    'integer weights',
    (f) =>
      f.set(
        'model.safetensors',
        writeSafetensors(
          [...parameterShapes(llama)].map(([name, shape]) => ({
            name,
            shape,
            data: new Int32Array(shape.reduce((a, b) => a * b, 1)),
          })),
        ),
      ),
    /stored as I32/,
  ],
])('%s is refused by name', async (_, edit, message) => {
  const attempt = openModel(folder(llama, edit));
  await expect(attempt).rejects.toBeInstanceOf(InputError);
  await expect(attempt).rejects.toThrow(message);
});
