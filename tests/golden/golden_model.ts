/** @file One golden model folder: its files, checked when they are read, and the batches made from them. */
import * as v from 'valibot';
import { InputError } from '../../src/core/errors.ts';
import type { FileSource } from '../../src/gpu/formats/model_source.ts';
import type { SafetensorsFile } from '../../src/gpu/formats/safetensors.ts';
import { openSafetensors } from '../../src/gpu/formats/safetensors.ts';
import { checkShape, readJson } from '../../src/gpu/formats/text_files.ts';

const ids = v.array(v.number());
const optimizer = v.object({
  lr: v.number(),
  betas: v.tuple([v.number(), v.number()]),
  eps: v.number(),
  weight_decay: v.number(),
  max_grad_norm: v.number(),
});
const sft = v.object({ loss: v.array(v.number()), grad_norm: v.array(v.number()), optimizer });
const variant = v.object({
  loss: v.number(),
  pg: v.number(),
  kl_k3: v.number(),
  entropy: v.number(),
  clip_low: v.number(),
  clip_high: v.number(),
  norm: v.picklist(['token', 'seq', 'const']),
  hi: v.number(),
  e_low: v.number(),
  beta: v.number(),
  const_len: v.number(),
});
const schema = v.looseObject({
  chat: v.object({
    messages: v.array(v.object({ role: v.picklist(['system', 'user', 'assistant']), content: v.string() })),
    text: v.string(),
    ids,
  }),
  tokenize: v.array(v.object({ text: v.string(), ids, decoded: v.string() })),
  generate: v.objectWithRest({ prompt: ids }, v.union([ids, v.array(ids)])),
  grpo: v.record(v.string(), variant),
  full: v.object({ loss: v.number() }),
});

export type GoldenJson = v.InferOutput<typeof schema>;
export type GoldenSft = v.InferOutput<typeof sft>;
export type GoldenVariant = v.InferOutput<typeof variant>;

/** A model folder with its golden values. */
export interface GoldenModel {
  name: string;
  files: FileSource;
  json: GoldenJson;
  /** Sections `<adapter>.sft`, by adapter name (`qv` lies in the folder `adapter_qv`). */
  sft: Map<string, GoldenSft>;
  tensors: SafetensorsFile;
}

/** Files without which a folder is not a golden model. */
export const goldenFiles = ['golden.json', 'golden.safetensors'] as const;

/** Open a model folder's golden files. Throws `InputError` naming what is missing or broken. */
export async function openGolden(files: FileSource, name: string): Promise<GoldenModel> {
  const raw = await readJson(files, 'golden.json');
  const where = `${files.name}/golden.json`;
  const json = checkShape(where, schema, raw);
  const sections = new Map<string, GoldenSft>();
  for (const [key, section] of Object.entries(json))
    if (key.endsWith('.sft')) sections.set(key.slice(0, -4), checkShape(`${where}: ${key}`, sft, section));
  if (sections.size === 0)
    throw new InputError(`${where} has no section <adapter>.sft.`, 'Make the file again.');
  return { name, files, json, sft: sections, tensors: await openSafetensors(files, 'golden.safetensors') };
}

/** Rows of the golden batch without their padding. */
export interface GoldenBatch {
  /** Length of the padded rows. */
  T: number;
  /** [B][length] */
  tokens: number[][];
}

/** `input_ids` cut by `attention_mask`. Only padding on the right is known here. */
export async function readBatch({ tensors }: GoldenModel): Promise<GoldenBatch> {
  const [B, T] = tensors.entry('input_ids').shape as [number, number];
  const inputs = await tensors.read('input_ids');
  const mask = await tensors.read('attention_mask');
  const tokens = Array.from({ length: B }, (_, b) => {
    const row = Array.from(mask.subarray(b * T, (b + 1) * T));
    const length = row.reduce((a, m) => a + m, 0);
    if (row.some((m, t) => m !== (t < length ? 1 : 0)))
      throw new InputError(`golden.safetensors: row ${b} of attention_mask is not padded on the right only.`);
    return Array.from(inputs.subarray(b * T, b * T + length));
  });
  return { T, tokens };
}

/**
 * Per-token values of the golden batch as [length] arrays a row. `shift` 1: the stored array is [B, T − 1] and position t
 * speaks of token t + 1.
 */
export async function readRows(
  { tensors }: GoldenModel,
  name: string,
  batch: GoldenBatch,
  shift: 0 | 1,
): Promise<Float64Array[]> {
  const data = await tensors.read(name);
  const width = batch.T - shift;
  if (data.length !== batch.tokens.length * width)
    throw new InputError(
      `golden.safetensors: tensor ${name} has ${data.length} entries, not ${batch.tokens.length} × ${width}.`,
    );
  return batch.tokens.map((row, b) =>
    Float64Array.from(row, (_, t) => (t < shift ? 0 : data[b * width + t - shift]!)),
  );
}

/** Golden tensors whose name starts with `prefix`, by the rest of the name. */
export async function readGroup(
  { tensors }: GoldenModel,
  prefix: string,
): Promise<Map<string, Float32Array>> {
  const group = new Map<string, Float32Array>();
  for (const name of tensors.tensors.keys())
    if (name.startsWith(prefix)) group.set(name.slice(prefix.length), await tensors.read(name));
  return group;
}
