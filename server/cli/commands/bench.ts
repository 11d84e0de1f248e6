/** @file `tart bench`: speed and memory of the engine with random weights, one JSON line a measurement. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { DeviceError, UsageError } from '../../../src/core/errors.ts';
import { readConfig } from '../../../src/gpu/formats/config.ts';
import type { LoraConfig, ModelConfig } from '../../../src/gpu/model/config.ts';
import { modelShapes } from '../../../src/gpu/model/shapes.ts';
import { GpuContext } from '../../../src/gpu/runtime/context.ts';
import { benchDispatch } from '../../bench/dispatch.ts';
import { benchEngine } from '../../bench/engine.ts';
import { benchMatmul } from '../../bench/matmul.ts';
import { Report } from '../../bench/report.ts';
import { tfjsObstacle } from '../../bench/tfjs.ts';
import type { TimingOptions } from '../../bench/timing.ts';
import { benchTrainingRatio } from '../../bench/training_ratio.ts';
import { hasGpu, requestDawnDevice } from '../../dawn.ts';
import { folderFiles } from '../../files.ts';
import { demoFolder } from '../../paths.ts';
import type { CommandValues } from '../commands.ts';
import { newLora } from '../policy.ts';

/** What can be measured, in order. */
const sections = ['dispatch', 'matmul', 'train_step', 'sft', 'rollout'] as const;
type Section = (typeof sections)[number];

const demoModel = join(demoFolder, 'model');

export async function run(values: CommandValues<'bench'>): Promise<void> {
  const config = await shapeOf(values.model);
  const wanted = wantedSections(values.only);
  const room = config.maxPositionEmbeddings;
  const promptLen = values.prompt_len ?? values.seq_len;
  const tooLong = (what: string, tokens: number) =>
    new UsageError(`${what}: ${tokens} tokens; ${values.model} has ${room} positions.`, 'Ask for fewer.');
  if (wanted.has('sft') && values.seq_len > room) throw tooLong('--seq_len', values.seq_len);
  if (wanted.has('rollout') && promptLen + values.new_tokens > room)
    throw tooLong('--prompt_len and --new_tokens', promptLen + values.new_tokens);
  const device = await requestDawnDevice({ software: values.software_gpu });
  try {
    const gpu = new GpuContext(device);
    const report = new Report(deviceFacts(gpu, values), (line) => process.stdout.write(`${line}\n`));
    try {
      await measure(gpu, config, wanted, values, report);
    } finally {
      gpu.destroy();
    }
  } finally {
    device.destroy();
  }
}

async function measure(
  gpu: GpuContext,
  config: ModelConfig,
  wanted: ReadonlySet<Section>,
  values: CommandValues<'bench'>,
  report: Report,
): Promise<void> {
  const { software } = gpu.capabilities;
  const { precision, seed } = values;
  const lora: LoraConfig = newLora(values);
  const timing: TimingOptions = {
    repeats: values.repeats,
    warmUpMs: software ? 0 : 300,
    sampleMs: software ? 0 : 30,
  };
  const size = { batchSize: values.batch_size, seqLen: values.seq_len };
  const obstacle = values.compare_tfjs ? await tfjsObstacle(gpu.device) : 'not asked for (--compare_tfjs)';
  if (values.compare_tfjs && obstacle) report.notMeasured('tfjs', obstacle);
  if (wanted.has('dispatch')) await benchDispatch(gpu, timing, report);
  if (wanted.has('matmul'))
    await benchMatmul(gpu, config, size.batchSize * size.seqLen, precision, timing, report, !obstacle);
  if (wanted.has('train_step') && !obstacle) {
    const demo = await demoConfig();
    // What the demo trains on at a time; a software device, where TensorFlow.js takes seconds for it, gets less.
    const batch = software ? { batchSize: 2, seqLen: 32 } : { batchSize: 8, seqLen: 128 };
    if (demo) await benchTrainingRatio(gpu.device, { config: demo, lora, seed, ...batch }, timing, report);
    else report.notMeasured('train_step', `The demo model is not there (${demoModel}/config.json).`);
  }
  if (wanted.has('sft') || wanted.has('rollout'))
    await benchEngine(
      gpu.device,
      {
        config,
        precision,
        lora,
        seed,
        checkpointing: values.gradient_checkpointing,
        rollouts: values.rollouts,
        newTokens: values.new_tokens,
        promptLen: values.prompt_len ?? values.seq_len,
        ...size,
      },
      timing,
      report,
      { sft: wanted.has('sft'), rollout: wanted.has('rollout') },
    );
}

const demoConfig = async (): Promise<ModelConfig | null> =>
  existsSync(join(demoModel, 'config.json')) ? readConfig(folderFiles(demoModel)) : null;

/** The configuration behind `--model`: the demo's, a name of the table, or a folder's config.json. */
async function shapeOf(name: string): Promise<ModelConfig> {
  const known = Object.hasOwn(modelShapes, name.toLowerCase()) ? modelShapes[name.toLowerCase()] : undefined;
  if (known) return known;
  const folder = name === 'demo' ? demoModel : name;
  if (existsSync(join(folder, 'config.json'))) return readConfig(folderFiles(folder));
  throw new UsageError(
    `--model ${name}: neither a known shape nor a folder with config.json.`,
    `Known: demo, ${Object.keys(modelShapes).join(', ')}.`,
  );
}

function wantedSections(only: readonly string[] | undefined): Set<Section> {
  if (!only) return new Set(sections);
  return new Set(
    only.map((name) => {
      const found = sections.find((s) => s === name);
      if (!found)
        throw new UsageError(`--only: there is no measurement ${name}.`, `Known: ${sections.join(', ')}.`);
      return found;
    }),
  );
}

/** What every line says of the device. A CPU where a GPU was expected is an error, not a slow success. */
function deviceFacts(gpu: GpuContext, values: CommandValues<'bench'>) {
  const { vendor, architecture, device, description } = gpu.device.adapterInfo;
  const { software } = gpu.capabilities;
  const wantsSoftware = values.software_gpu || process.env.TART_SOFTWARE_GPU === '1';
  if (software && !wantsSoftware && hasGpu())
    throw new DeviceError(
      `This machine has a GPU, but WebGPU fell back to software (${vendor} ${architecture}).`,
      'Install its Vulkan driver, or measure the software device with --software_gpu.',
    );
  return {
    model: values.model,
    precision: values.precision,
    vendor,
    architecture,
    device,
    description,
    software,
  };
}
