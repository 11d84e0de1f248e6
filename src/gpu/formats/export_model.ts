/**
 * @file Merged full weights: base + (alpha/r)·B·A, in f32, f16 or bf16, as a folder that transformers loads. Tensors
 * stream from the source to the sink in blocks of rows, shard by shard; no more than one block is in memory.
 */
import { InputError } from '../../core/errors.ts';
import { linearModules, linearName } from '../model/config.ts';
import type { FileSource, ModelSource } from './model_source.ts';
import { indexFile, parameterShapes, singleFile } from './open_model.ts';
import type { Adapter } from './peft.ts';
import { adapterKey } from './peft.ts';
import type { SafetensorsDType } from './safetensors.ts';
import { encodeTensor, safetensorsHeader } from './safetensors.ts';
import { readJson } from './text_files.ts';

/** Where exported files go. `write` makes one whole file out of its chunks; a failure must leave no torn file behind. */
export interface FileSink {
  write(file: string, chunks: AsyncIterable<Uint8Array>): Promise<void>;
}

export interface ExportOptions {
  /** The model whose weights are written. */
  model: ModelSource;
  /** Its folder: configuration and tokenizer are copied from here. */
  files: FileSource;
  /** Merged into the weights when given. */
  adapter?: Adapter;
  /** Default F32. */
  dtype?: 'F32' | 'F16' | 'BF16';
  /** Most bytes of tensors in one file; default 5 GB, as transformers does. */
  maxShardBytes?: number;
}

/** What a model folder has besides weights. */
export const companionFiles = [
  'generation_config.json',
  'tokenizer.json',
  'tokenizer_config.json',
  'special_tokens_map.json',
  'added_tokens.json',
  'vocab.json',
  'merges.txt',
  'chat_template.jinja',
];
/** Elements read, merged and written at a time. */
const blockElements = 4 * 2 ** 20;

/** Write a model folder to a sink; returns the names of its files. */
export async function exportModel(options: ExportOptions, sink: FileSink): Promise<string[]> {
  const { model, files, dtype = 'F32', maxShardBytes = 5e9 } = options;
  const shards = planShards(parameterShapes(model.config), dtype, maxShardBytes);
  const written: string[] = [];
  const put = async (file: string, chunks: AsyncIterable<Uint8Array>) => {
    await sink.write(file, chunks);
    written.push(file);
  };
  const weightMap: Record<string, string> = {};
  let totalSize = 0;
  for (const [i, shard] of shards.entries()) {
    const number = (n: number) => String(n).padStart(5, '0');
    const file =
      shards.length === 1 ? singleFile : `model-${number(i + 1)}-of-${number(shards.length)}.safetensors`;
    for (const { name, bytes } of shard) {
      weightMap[name] = file;
      totalSize += bytes;
    }
    await put(file, shardBytes(options, shard, dtype));
  }
  if (shards.length > 1) {
    const index = { metadata: { total_size: totalSize }, weight_map: weightMap };
    await put(indexFile, once(toJson(index)));
  }
  const config = (await readJson(files, 'config.json')) as Record<string, unknown>;
  const typeName = { F32: 'float32', F16: 'float16', BF16: 'bfloat16' }[dtype];
  // transformers 5 says `dtype`, earlier ones `torch_dtype`.
  await put(
    'config.json',
    once(toJson({ ...config, ['dtype' in config ? 'dtype' : 'torch_dtype']: typeName })),
  );
  const present = new Set(await files.list());
  for (const file of companionFiles) if (present.has(file)) await put(file, once(await files.read(file)));
  return written;
}

interface PlannedTensor {
  name: string;
  shape: readonly number[];
  dtype: SafetensorsDType;
  bytes: number;
}

/** Tensors in order, a new shard whenever the next tensor would not fit; a tensor is never split. */
function planShards(
  shapes: ReadonlyMap<string, readonly number[]>,
  dtype: SafetensorsDType,
  maxShardBytes: number,
): PlannedTensor[][] {
  const shards: PlannedTensor[][] = [[]];
  let filled = 0;
  for (const [name, shape] of shapes) {
    const bytes = shape.reduce((a, b) => a * b, 1) * (dtype === 'F32' ? 4 : 2);
    if (filled > 0 && filled + bytes > maxShardBytes) {
      shards.push([]);
      filled = 0;
    }
    shards.at(-1)!.push({ name, shape, dtype, bytes });
    filled += bytes;
  }
  return shards;
}

async function* shardBytes(
  { model, adapter }: ExportOptions,
  shard: readonly PlannedTensor[],
  dtype: 'F32' | 'F16' | 'BF16',
): AsyncGenerator<Uint8Array> {
  yield safetensorsHeader(shard);
  const deltas = adapter
    ? mergeTargets(adapter, model.config.numLayers)
    : new Map<string, [string, string]>();
  for (const { name, shape } of shard) {
    const rows = shape[0]!;
    const width = shape[1] ?? 1;
    const step = Math.max(1, Math.floor(blockElements / width));
    for (let start = 0; start < rows; start += step) {
      const end = Math.min(rows, start + step);
      let block = await model.read(name, start, end);
      const sides = deltas.get(name);
      if (adapter && sides) block = addDelta(block, adapter, sides, start, end, width);
      if (dtype === 'F16') refuseOverflow(block, name);
      yield encodeTensor({ data: block, dtype });
    }
  }
}

/** Weight name → keys of the adapter's A and B for it. */
function mergeTargets(adapter: Adapter, numLayers: number): Map<string, [a: string, b: string]> {
  const targets = new Map<string, [string, string]>();
  for (let layer = 0; layer < numLayers; layer++)
    for (const module of linearModules)
      if (adapter.config.targetModules.includes(module))
        targets.set(linearName(layer, module), [
          adapterKey(layer, module, 'A'),
          adapterKey(layer, module, 'B'),
        ]);
  return targets;
}

/** `W + (alpha/r)·B·A` for rows `[start, end)` of W `[out, in]`; sums in f64. */
function addDelta(
  block: Float32Array,
  adapter: Adapter,
  [aKey, bKey]: [string, string],
  start: number,
  end: number,
  width: number,
): Float32Array {
  const a = adapter.tensors.get(aKey);
  const b = adapter.tensors.get(bKey);
  if (!a || !b)
    throw new InputError(`The adapter has no ${a ? bKey : aKey}.`, 'Read it for this model with readPeft.');
  const { r, alpha } = adapter.config;
  const out = new Float32Array(block.length);
  const row = new Float64Array(width);
  for (let o = start; o < end; o++) {
    row.fill(0);
    for (let k = 0; k < r; k++) {
      const scaled = (alpha / r) * b.data[o * r + k]!;
      for (let i = 0; i < width; i++) row[i]! += scaled * a.data[k * width + i]!;
    }
    const at = (o - start) * width;
    for (let i = 0; i < width; i++) out[at + i] = block[at + i]! + row[i]!;
  }
  return out;
}

function refuseOverflow(block: Float32Array, name: string): void {
  for (const value of block)
    if (Math.abs(value) >= 65520)
      throw new InputError(
        `Tensor ${name} holds ${value}, beyond the range of f16.`,
        'Export it as bf16 or f32.',
      );
}

const toJson = (value: unknown): Uint8Array =>
  new TextEncoder().encode(JSON.stringify(value, null, 2) + '\n');

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}
