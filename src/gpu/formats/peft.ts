/**
 * @file PEFT LoRA folders (`adapter_config.json`, `adapter_model.safetensors`), read and written. What is written loads
 * in Hugging Face PEFT unchanged; what is read is honoured or refused by the name of its field: a setting that
 * would change the numbers is never ignored.
 */
import { InputError } from '../../core/errors.ts';
import type { PolicyFiles } from '../../core/policy.ts';
import type { LinearModule, LoraConfig, ModelConfig } from '../model/config.ts';
import { linearModules, linearName, linearShape } from '../model/config.ts';
import { mapFiles } from './memory_files.ts';
import type { FileSource } from './model_source.ts';
import { parsePeftConfig } from './peft_config.ts';
import { openSafetensors, writeSafetensors } from './safetensors.ts';
import { readJson } from './text_files.ts';

export const adapterConfigFile = 'adapter_config.json';
export const adapterWeightsFile = 'adapter_model.safetensors';

/** A matrix of an adapter. `lora_A` is [r, in], `lora_B` [out, r]. */
export interface AdapterTensor {
  shape: readonly [number, number];
  data: Float32Array;
}

/** A LoRA in memory. Keys are `model.layers.N.self_attn.q_proj.lora_A` and so on. */
export interface Adapter {
  config: LoraConfig;
  tensors: Map<string, AdapterTensor>;
}

/** Key of an adapter's matrix in `Adapter.tensors`. */
export const adapterKey = (layer: number, module: LinearModule, side: 'A' | 'B'): string =>
  linearName(layer, module).replace(/weight$/, `lora_${side}`);

/** Key and shape of every matrix of a LoRA on a model, in canonical order. */
export function adapterShapes(model: ModelConfig, lora: LoraConfig): Map<string, [number, number]> {
  const shapes = new Map<string, [number, number]>();
  for (let layer = 0; layer < model.numLayers; layer++)
    for (const module of linearModules) {
      if (!lora.targetModules.includes(module)) continue;
      const [out, width] = linearShape(model, module);
      shapes.set(adapterKey(layer, module, 'A'), [lora.r, width]);
      shapes.set(adapterKey(layer, module, 'B'), [out, lora.r]);
    }
  return shapes;
}

/**
 * Read a PEFT folder for a model. Throws `InputError` naming the field that cannot be honoured, or the tensor that is
 * missing, unknown or of another shape.
 */
export async function readPeft(files: FileSource, model: ModelConfig): Promise<Adapter> {
  const present = await files.list();
  if (!present.includes(adapterWeightsFile) && present.includes('adapter_model.bin'))
    throw new InputError(
      `${files.name} holds its weights as adapter_model.bin, a Python pickle, which is not read here.`,
      'Load it in PEFT and call save_pretrained(…, safe_serialization=True).',
    );
  const where = `${files.name}/${adapterConfigFile}`;
  const config = parsePeftConfig(await readJson(files, adapterConfigFile), model.numLayers, where);
  const file = await openSafetensors(files, adapterWeightsFile);
  // PEFT's own names, without its wrapper's prefix and, in older files, without the adapter's name.
  const stored = new Map<string, string>();
  for (const name of file.tensors.keys())
    stored.set(
      name.replace(/^base_model\.model\./, '').replace(/\.(lora_[AB])(\.\w+)?\.weight$/, '.$1'),
      name,
    );

  const tensors = new Map<string, AdapterTensor>();
  for (const [key, shape] of adapterShapes(model, config)) {
    const name = stored.get(key);
    if (!name)
      throw new InputError(
        `${files.name}/${adapterWeightsFile} has no tensor base_model.model.${key}.weight.`,
        `${adapterConfigFile} and the weights disagree, or the adapter is for another model.`,
      );
    const found = file.entry(name).shape;
    if (found.join() !== shape.join())
      throw new InputError(
        `${files.name}/${adapterWeightsFile}: tensor ${name} has shape [${found.join(', ')}], not [${shape.join(', ')}].`,
        'The adapter was made for another base model: load that one.',
      );
    tensors.set(key, { shape, data: await file.read(name) });
    stored.delete(key);
  }
  const [unknown] = stored.values();
  if (unknown)
    throw new InputError(
      `${files.name}/${adapterWeightsFile}: tensor ${unknown} belongs to no LoRA matrix that ${adapterConfigFile} names.`,
      'Only LoRA matrices on the seven linear layers of this base model are supported.',
    );
  return { config, tensors };
}

/** The same from files in memory. */
export const readPeftFiles = (files: PolicyFiles, model: ModelConfig, name = 'adapter'): Promise<Adapter> =>
  readPeft(mapFiles(name, files), model);

/**
 * A PEFT folder in f32. The configuration has the keys that PEFT 0.11 knows, which later releases read as well
 * (earlier ones refuse keys they do not know). `baseModel` is what PEFT's `AutoPeftModel` loads underneath.
 */
export function writePeft(adapter: Adapter, baseModel: string): PolicyFiles {
  const { r, alpha, dropout, targetModules } = adapter.config;
  const config = {
    alpha_pattern: {},
    auto_mapping: null,
    base_model_name_or_path: baseModel,
    bias: 'none',
    fan_in_fan_out: false,
    inference_mode: true,
    init_lora_weights: true,
    layer_replication: null,
    layers_pattern: null,
    layers_to_transform: null,
    loftq_config: {},
    lora_alpha: alpha,
    lora_dropout: dropout,
    megatron_config: null,
    megatron_core: 'megatron.core',
    modules_to_save: null,
    peft_type: 'LORA',
    r,
    rank_pattern: {},
    revision: null,
    target_modules: linearModules.filter((module) => targetModules.includes(module)),
    task_type: 'CAUSAL_LM',
    use_dora: false,
    use_rslora: false,
  };
  const tensors = [...adapter.tensors].map(([key, { shape, data }]) => ({
    name: `base_model.model.${key}.weight`,
    shape,
    data,
  }));
  return new Map([
    [adapterConfigFile, new TextEncoder().encode(JSON.stringify(config, null, 2) + '\n')],
    [adapterWeightsFile, writeSafetensors(tensors)],
  ]);
}
