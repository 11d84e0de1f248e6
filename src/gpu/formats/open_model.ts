/**
 * @file A folder in Hugging Face format → `ModelSource`: one safetensors file or shards with an index. Headers are read
 * and every tensor's presence, type and shape is checked before the first weight is; weights then stream, so that
 * a model larger than the host's memory loads.
 */
import * as v from 'valibot';
import { InputError } from '../../core/errors.ts';
import type { ModelConfig } from '../model/config.ts';
import { linearModules, linearName, linearShape } from '../model/config.ts';
import { readConfig } from './config.ts';
import type { FileSource, ModelSource } from './model_source.ts';
import type { SafetensorsFile } from './safetensors.ts';
import { openSafetensors } from './safetensors.ts';
import { checkShape, readJson } from './text_files.ts';

export const singleFile = 'model.safetensors';
export const indexFile = 'model.safetensors.index.json';

const indexSchema = v.looseObject({ weight_map: v.record(v.string(), v.string()) });
const floatTypes = ['F32', 'F16', 'BF16', 'F64'];

/** Every tensor of a model with its shape, in Hugging Face names and canonical order. A tied head is not listed. */
export function parameterShapes(c: ModelConfig): Map<string, readonly number[]> {
  const shapes = new Map<string, readonly number[]>([
    ['model.embed_tokens.weight', [c.vocabSize, c.hiddenSize]],
  ]);
  for (let layer = 0; layer < c.numLayers; layer++) {
    const prefix = `model.layers.${layer}`;
    shapes.set(`${prefix}.input_layernorm.weight`, [c.hiddenSize]);
    shapes.set(`${prefix}.post_attention_layernorm.weight`, [c.hiddenSize]);
    for (const module of linearModules) {
      shapes.set(linearName(layer, module), linearShape(c, module));
      const biased = module === 'q_proj' || module === 'k_proj' || module === 'v_proj';
      if (c.attentionBias && biased)
        shapes.set(`${prefix}.self_attn.${module}.bias`, [linearShape(c, module)[0]]);
    }
    if (c.qkNorm) {
      shapes.set(`${prefix}.self_attn.q_norm.weight`, [c.headDim]);
      shapes.set(`${prefix}.self_attn.k_norm.weight`, [c.headDim]);
    }
  }
  shapes.set('model.norm.weight', [c.hiddenSize]);
  if (!c.tieWordEmbeddings) shapes.set('lm_head.weight', [c.vocabSize, c.hiddenSize]);
  return shapes;
}

/**
 * Open a model folder. Only headers are read now; `read` fetches one tensor, or rows of one, at a time.
 * Throws `InputError` naming the missing shard or tensor, or the tensor with a wrong shape or type.
 */
export async function openModel(files: FileSource): Promise<ModelSource> {
  const config = await readConfig(files);
  const shapes = parameterShapes(config);
  const places = await locate(files, shapes.keys());
  for (const [name, shape] of shapes) {
    const entry = places.get(name)!.entry(name);
    const where = `${files.name}/${places.get(name)!.file}: tensor ${name}`;
    if (entry.shape.join() !== shape.join())
      throw new InputError(
        `${where} has shape [${entry.shape.join(', ')}], config.json says [${shape.join(', ')}].`,
        'config.json and the weights belong to different models: fetch both again.',
      );
    if (!floatTypes.includes(entry.dtype))
      throw new InputError(
        `${where} is stored as ${entry.dtype}.`,
        'Quantised checkpoints are not supported: use the F32, F16 or BF16 original.',
      );
  }
  const known = (tensor: string): readonly number[] => {
    const shape = shapes.get(tensor);
    if (!shape)
      throw new InputError(
        `${files.name} has no tensor ${tensor}.`,
        tensor === 'lm_head.weight' ? 'Its head is tied: read model.embed_tokens.weight.' : undefined,
      );
    return shape;
  };
  return {
    name: files.name,
    config,
    has: (tensor) => shapes.has(tensor),
    shape: known,
    read: async (tensor, start, end) => {
      known(tensor);
      return places.get(tensor)!.read(tensor, start, end);
    },
  };
}

/** The file that holds each wanted tensor. */
async function locate(files: FileSource, wanted: Iterable<string>): Promise<Map<string, SafetensorsFile>> {
  const present = new Set(await files.list());
  const places = new Map<string, SafetensorsFile>();
  if (!present.has(indexFile)) {
    if (!present.has(singleFile)) throw noWeights(files.name, [...present]);
    const file = await openSafetensors(files, singleFile);
    for (const tensor of wanted) {
      file.entry(tensor);
      places.set(tensor, file);
    }
    return places;
  }
  const where = `${files.name}/${indexFile}`;
  const { weight_map: map } = checkShape(where, indexSchema, await readJson(files, indexFile));
  const open = new Map<string, SafetensorsFile>();
  for (const tensor of wanted) {
    if (!Object.hasOwn(map, tensor))
      throw new InputError(`${where} names no shard for tensor ${tensor}.`, 'Fetch the index again.');
    const shard = map[tensor]!;
    if (!present.has(shard))
      throw new InputError(
        `${files.name} lacks the shard ${shard} that ${indexFile} names.`,
        'Fetch it too.',
      );
    if (!open.has(shard)) open.set(shard, await openSafetensors(files, shard));
    const file = open.get(shard)!;
    file.entry(tensor);
    places.set(tensor, file);
  }
  return places;
}

function noWeights(name: string, present: readonly string[]): InputError {
  const pickled = present.find((file) => /\.(bin|pth|pt|ckpt|gguf)$/.test(file));
  return new InputError(
    `${name} has neither ${singleFile} nor ${indexFile}.`,
    pickled
      ? `It has ${pickled}: convert it with save_pretrained(…, safe_serialization=True).`
      : 'Point to the folder of a Hugging Face checkpoint in safetensors format.',
  );
}
