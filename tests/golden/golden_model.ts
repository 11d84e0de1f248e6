/** @file One model folder of `shared/golden`: the model, its two adapters, golden tensors and golden JSON. */
import { existsSync, readdirSync } from 'node:fs';
import * as v from 'valibot';
import { folderFiles } from '../../server/files.ts';
import type { FileSource, ModelSource } from '../../src/gpu/formats/model_source.ts';
import { openModel } from '../../src/gpu/formats/open_model.ts';
import type { Adapter } from '../../src/gpu/formats/peft.ts';
import { readPeft } from '../../src/gpu/formats/peft.ts';
import { openSafetensors } from '../../src/gpu/formats/safetensors.ts';
import { readJson } from '../../src/gpu/formats/text_files.ts';
import { subFolder } from '../../src/gpu/formats/sub_folder.ts';

const ids = v.array(v.number());
const sft = v.object({
  loss: v.array(v.number()),
  grad_norm: v.array(v.number()),
  optimizer: v.object({
    lr: v.number(),
    betas: v.tuple([v.number(), v.number()]),
    eps: v.number(),
    weight_decay: v.number(),
    max_grad_norm: v.number(),
  }),
});
const grpo = v.object({
  loss: v.number(),
  pg: v.number(),
  kl_k3: v.number(),
  entropy: v.number(),
  clip_low: v.number(),
  clip_high: v.number(),
  norm: v.picklist(['token', 'seq', 'const']),
  hi: v.number(),
  beta: v.number(),
  e_low: v.number(),
  const_len: v.number(),
});

/** `golden.json`. */
export const goldenJsonSchema = v.object({
  chat: v.object({
    messages: v.array(v.object({ role: v.picklist(['system', 'user', 'assistant']), content: v.string() })),
    text: v.string(),
    ids,
  }),
  tokenize: v.array(v.object({ text: v.string(), ids, decoded: v.string() })),
  generate: v.object({ prompt: ids, greedy: ids, greedy_min24: ids, beam5: v.array(ids) }),
  'qv.sft': sft,
  'all.sft': sft,
  grpo: v.record(v.string(), grpo),
  full: v.object({ loss: v.number() }),
});
const generationConfigSchema = v.object({ eos_token_id: v.union([v.number(), ids]) });
export type GoldenJson = v.InferOutput<typeof goldenJsonSchema>;

/** A golden tensor. */
export interface GoldenTensor {
  shape: readonly number[];
  data: Float32Array;
}

export interface GoldenModel {
  files: FileSource;
  source: ModelSource;
  json: GoldenJson;
  adapters: { qv: Adapter; all: Adapter };
  tensors: Map<string, GoldenTensor>;
  /** `eos_token_id` of generation_config.json: where generation stopped. */
  stopTokens: number[];
}

/** The root that holds the golden folders: `GOLDEN_DIR`, else `../shared/golden` beside the repository. */
export const goldenRoot = (): string =>
  process.env.GOLDEN_DIR ?? new URL('../../../shared/golden', import.meta.url).pathname;

/** Paths of the model folders under a root; none where the root is absent. */
export function goldenFolders(root = goldenRoot()): string[] {
  if (!existsSync(root)) return [];
  return readdirSync(root)
    .sort()
    .map((name) => `${root}/${name}`)
    .filter((path) => existsSync(`${path}/golden.json`));
}

/** Read a folder. Throws what the readers throw. */
export async function readGoldenModel(files: FileSource): Promise<GoldenModel> {
  const source = await openModel(files);
  const file = await openSafetensors(files, 'golden.safetensors');
  const tensors = new Map<string, GoldenTensor>();
  for (const [name, { shape }] of file.tensors) tensors.set(name, { shape, data: await file.read(name) });
  const { eos_token_id: eos } = v.parse(
    generationConfigSchema,
    await readJson(files, 'generation_config.json'),
  );
  return {
    files,
    source,
    stopTokens: [eos].flat(),
    json: v.parse(goldenJsonSchema, await readJson(files, 'golden.json')),
    adapters: {
      qv: await readPeft(subFolder(files, 'adapter_qv'), source.config),
      all: await readPeft(subFolder(files, 'adapter_all'), source.config),
    },
    tensors,
  };
}

/** The same from a path on Node. */
export const openGoldenModel = (path: string): Promise<GoldenModel> => readGoldenModel(folderFiles(path));

/** A generated row as Hugging Face returns it, without the padding behind its stop token. */
export function untilStop(tokens: readonly number[], stopTokens: readonly number[]): number[] {
  const stop = tokens.findIndex((token) => stopTokens.includes(token));
  return tokens.slice(0, stop < 0 ? undefined : stop + 1);
}

/** Rows of a golden [B, …] tensor as number arrays. */
export function goldenRows(model: GoldenModel, name: string): number[][] {
  const tensor = model.tensors.get(name);
  if (!tensor) throw new RangeError(`${model.files.name}/golden.safetensors has no ${name}.`);
  const width = tensor.data.length / tensor.shape[0]!;
  return Array.from({ length: tensor.shape[0]! }, (_, b) =>
    Array.from(tensor.data.subarray(b * width, (b + 1) * width)),
  );
}
