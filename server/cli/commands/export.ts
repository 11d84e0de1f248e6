/** @file `tart export`: a run as a PEFT adapter, merged weights, TensorBoard events, or a CSV of its metrics. */
import { readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { InputError, UsageError } from '../../../src/core/errors.ts';
import type { RunEvent } from '../../../src/core/run_event.ts';
import { exportModel } from '../../../src/gpu/formats/export_model.ts';
import { openModel } from '../../../src/gpu/formats/open_model.ts';
import { readPeft } from '../../../src/gpu/formats/peft.ts';
import { readEvents } from '../../../src/pipeline/run/run_log.ts';
import { metricsCsv } from '../../../src/pipeline/run/metrics_csv.ts';
import { tensorboardFile, tensorboardFileName } from '../../../src/pipeline/run/tensorboard.ts';
import { folderFiles, folderSink } from '../../files.ts';
import { FolderStore } from '../../folder_store.ts';
import { adapterFolder, existingRun } from '../../paths.ts';
import { configFile } from '../../run.ts';
import type { CommandValues } from '../commands.ts';
import { openModelFiles, readFolder } from '../policy.ts';

export async function run(values: CommandValues<'export'>): Promise<void> {
  if (!values.to) throw new UsageError('--to is missing.', 'Give the folder to write.');
  const folder = existingRun(values.log_name, values.output_dir);
  const out = new FolderStore(values.to);
  const written = await writers[values.format]({ values, folder, to: values.to, out });
  process.stdout.write(
    values.json
      ? `${JSON.stringify({ to: values.to, files: written })}\n`
      : `${written.map((f) => join(values.to!, f)).join('\n')}\n`,
  );
}

interface ExportJob {
  values: CommandValues<'export'>;
  /** Folder of the run. */
  folder: string;
  to: string;
  out: FolderStore;
}

/** One writer a format; each returns the names of its files. */
const writers: Record<CommandValues<'export'>['format'], (job: ExportJob) => Promise<string[]>> = {
  peft: async ({ values, folder, out }) => {
    const files = await readFolder(adapterFolder('log_name', folder, values.output_dir));
    for (const [name, bytes] of files) await out.write(name, bytes);
    return [...files.keys()];
  },
  merged: async ({ values, folder, to }) => {
    const files = await openModelFiles(await baseModel(values, folder), values.output_dir);
    const model = await openModel(files);
    const adapter = await readPeft(
      folderFiles(adapterFolder('log_name', folder, values.output_dir)),
      model.config,
    );
    const dtype = ({ f32: 'F32', f16: 'F16', bf16: 'BF16' } as const)[values.dtype];
    return exportModel({ model, files, adapter, dtype }, folderSink(to));
  },
  tensorboard: async ({ folder, out }) => {
    const events = await eventsOf(folder);
    const name = tensorboardFileName((events[0]?.time ?? 0) / 1000);
    await out.write(name, tensorboardFile(events));
    return [name];
  },
  csv: async ({ folder, out }) => {
    const name = `${basename(folder)}.csv`;
    await out.write(name, metricsCsv(await eventsOf(folder)));
    return [name];
  },
};

async function eventsOf(folder: string): Promise<RunEvent[]> {
  const { events } = await readEvents(new FolderStore(folder));
  if (events.length === 0) throw new InputError(`${folder} has no events.`, 'Name a run that has begun.');
  return events;
}

/** The base model the run was made with, from its configuration; --model_name is the answer where it says nothing. */
async function baseModel(values: CommandValues<'export'>, folder: string): Promise<string> {
  const text = await readFile(join(folder, configFile), 'utf8').catch(() => '{}');
  const config = JSON.parse(text) as { model_name?: unknown };
  return typeof config.model_name === 'string' ? config.model_name : values.model_name;
}
