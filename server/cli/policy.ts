/** @file The model behind `--model_name` and `--model_path`, on the device, as the stages see it. */
import { readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { UsageError } from '../../src/core/errors.ts';
import type { Policy, PolicyFiles } from '../../src/core/policy.ts';
import { loadTokenizer } from '../../src/gpu/formats/tokenizer.ts';
import { openModel } from '../../src/gpu/formats/open_model.ts';
import type { FileSource } from '../../src/gpu/formats/model_source.ts';
import { readPeft, type Adapter } from '../../src/gpu/formats/peft.ts';
import { createEngine, type Engine } from '../../src/gpu/index.ts';
import { linearModules, type LinearModule, type LoraConfig } from '../../src/gpu/model/config.ts';
import { ChatTokens } from '../../src/pipeline/policy/chat_tokens.ts';
import { requestDawnDevice } from '../dawn.ts';
import { folderFiles } from '../files.ts';
import { resolveModel } from '../models.ts';
import { adapterFolder, modelFolder } from '../paths.ts';
import type { LogPlace } from './inputs.ts';

/** The flags that choose a model. */
export interface PolicyValues {
  model_name: string;
  model_path?: string | undefined;
  output_dir: string;
  precision: 'f32' | 'f16';
  load_in_4bit: boolean;
  micro_batch_tokens?: number | undefined;
  gradient_checkpointing: boolean;
  software_gpu: boolean;
  seed: number;
  /** What is trained: nothing (the default), a LoRA adapter, or all weights. */
  adapter?: 'lora' | 'full';
  lora_r?: number | undefined;
  lora_alpha?: number | undefined;
  lora_dropout?: number;
  lora_target_modules?: string[] | undefined;
}

/** A model that stages can use. */
export interface OpenPolicy {
  policy: Policy;
  engine: Engine;
  chat: ChatTokens;
  /** Files of the base model. */
  files: FileSource;
  /** Most tokens of a sequence. */
  maxContext: number;
}

/** Shape of a new adapter where no flag says otherwise: the recipe's own. */
export const recipeLora: LoraConfig = {
  r: 64,
  alpha: 16,
  dropout: 0.05,
  targetModules: ['q_proj', 'v_proj'],
};

/** Open the model, do the work, free the GPU. */
export async function withPolicy(
  values: PolicyValues,
  { sink, stage }: LogPlace,
  work: (open: OpenPolicy) => Promise<void>,
): Promise<void> {
  if (values.load_in_4bit)
    throw new UsageError('--load_in_4bit: this version has no 4-bit kernels.', 'Use --precision f16.');
  const files = await openModelFiles(values.model_name, values.output_dir);
  const model = await openModel(files);
  const tokenizer = await loadTokenizer(files);
  const folder = values.model_path ? adapterFolder('model_path', values.model_path, values.output_dir) : null;
  if (folder && values.adapter === 'full')
    throw new UsageError(
      '--full_finetune with --model_path: an adapter is not a place to start full fine-tuning from.',
      'Merge it first: tart export --format merged, then give the folder as --model_name.',
    );
  const given = folder ? await readPeft(folderFiles(folder), model.config) : undefined;
  const dropout = values.lora_dropout ?? 0;
  const adapter = given && { ...given, config: { ...given.config, dropout } };
  if (adapter) assertSameShape(values, adapter);
  const device = await requestDawnDevice({ software: values.software_gpu });
  try {
    if (values.precision === 'f16' && !device.features.has('shader-f16'))
      throw new UsageError('--precision f16: this GPU has no shader-f16.', 'Use --precision f32.');
    const engine = await createEngine({
      device,
      model,
      precision: values.precision,
      seed: values.seed,
      tokensPerMicroBatch: values.micro_batch_tokens,
      checkpointing: values.gradient_checkpointing,
      frozen: values.adapter === undefined,
      ...(adapter ? { adapter } : values.adapter === 'lora' ? { lora: newLora(values) } : {}),
    });
    try {
      const { vendor, architecture, device: card, description } = device.adapterInfo;
      sink.emit({
        type: 'metrics',
        stage,
        name: 'device',
        metrics: {
          vendor,
          architecture,
          device: card,
          description,
          model: values.model_name,
          bytes: engine.peakBytes,
        },
      });
      await work({
        policy: engine,
        engine,
        chat: new ChatTokens(tokenizer),
        files,
        maxContext: engine.maxPositions,
      });
    } finally {
      engine.destroy();
    }
  } finally {
    device.destroy();
  }
}

/** Files of a model: the demo's, a folder's, or a hub repository's. */
export const openModelFiles = (name: string, outputDir: string): Promise<FileSource> =>
  resolveModel(modelFolder(name, outputDir) ?? name);

/** Every file of a folder (not of its subfolders), by name. */
export async function readFolder(folder: string): Promise<PolicyFiles> {
  const files: PolicyFiles = new Map();
  for (const entry of await readdir(folder, { withFileTypes: true }))
    if (entry.isFile()) files.set(entry.name, new Uint8Array(await readFile(join(folder, entry.name))));
  return files;
}

/** The adapter that the flags describe. */
export function newLora(
  values: Pick<PolicyValues, 'lora_r' | 'lora_alpha' | 'lora_dropout' | 'lora_target_modules'>,
): LoraConfig {
  return {
    r: values.lora_r ?? recipeLora.r,
    alpha: values.lora_alpha ?? recipeLora.alpha,
    dropout: values.lora_dropout ?? recipeLora.dropout,
    targetModules: values.lora_target_modules
      ? moduleList(values.lora_target_modules)
      : recipeLora.targetModules,
  };
}

/** Names of linear layers, checked; `all` stands for every one. */
function moduleList(names: readonly string[]): LinearModule[] {
  if (names.includes('all')) return [...linearModules];
  return names.map((name) => {
    const found = linearModules.find((m) => m === name);
    if (!found)
      throw new UsageError(
        `--lora_target_modules: there is no linear layer ${name}.`,
        `Known: ${linearModules.join(', ')}, or all.`,
      );
    return found;
  });
}

/** Flags must not contradict the adapter that --model_path brings. */
function assertSameShape(values: PolicyValues, { config }: Adapter): void {
  const wanted: [string, unknown, unknown][] = [
    ['lora_r', values.lora_r, config.r],
    ['lora_alpha', values.lora_alpha, config.alpha],
    [
      'lora_target_modules',
      values.lora_target_modules && moduleList(values.lora_target_modules).sort().join(),
      [...config.targetModules].sort().join(),
    ],
  ];
  for (const [flag, given, has] of wanted)
    if (given !== undefined && given !== has)
      throw new UsageError(
        `--${flag} ${String(given)}: the adapter of --model_path has ${String(has)}.`,
        'Leave the flag out, or start a new adapter without --model_path.',
      );
}
