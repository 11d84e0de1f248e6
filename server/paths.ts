/** @file What a name on the command line stands for: a data file, a catalogue folder, a run, an adapter, a model. */
import { existsSync, statSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { InputError, UsageError } from '../src/core/errors.ts';

/** The embedded demo: catalogue, dialogues and model. */
export const demoFolder = fileURLToPath(new URL('../public/demo', import.meta.url));

const isFile = (path: string): boolean => existsSync(path) && statSync(path).isFile();
const isFolder = (path: string): boolean => existsSync(path) && statSync(path).isDirectory();

/** The flags that say where data lives. */
export interface DataPlace {
  kg_dataset: string;
  data_dir: string;
  output_dir: string;
}

const datasetFolder = (place: DataPlace): string =>
  place.kg_dataset === 'demo' ? demoFolder : join(place.data_dir, place.kg_dataset);

function firstOf(flag: string, name: string, candidates: string[], what: string): string {
  const found = candidates.find(isFile);
  if (found) return resolve(found);
  throw new InputError(
    `--${flag} ${name}: no such ${what}. Looked for ${candidates.join(', ')}.`,
    'Give a path, a file name inside --data_dir, or the name of a run.',
  );
}

/** A processed set: a path, or a file name inside the dataset's folder. */
export function dataFile(flag: string, name: string, place: DataPlace): string {
  return firstOf(flag, name, [name, join(datasetFolder(place), name)], 'file');
}

/** SFT data: a path, or the name of a `prepare` run (its sft.json). */
export function sftDataFile(flag: string, name: string, place: DataPlace): string {
  const candidates = [name, join(place.output_dir, name, 'sft.json'), join(datasetFolder(place), name)];
  return firstOf(flag, name, candidates, 'file or run');
}

/** Rows (JSONL): a path, or the name of an explore or inference run (its rows.jsonl). */
export function rowsFile(flag: string, name: string, outputDir: string): string {
  const candidates = [name, join(name, 'rows.jsonl'), join(outputDir, name, 'rows.jsonl')];
  return firstOf(flag, name, candidates, 'file or run');
}

/** Folder that holds entity2id.json and id2info.json: the dataset's, else the one the data file lies in. */
export function catalogueFolder(place: DataPlace, besideFile?: string): string {
  const candidates = [datasetFolder(place), ...(besideFile ? [dirname(besideFile)] : [])];
  const found = candidates.find((folder) => isFile(join(folder, 'entity2id.json')));
  if (found) return found;
  throw new InputError(
    `No catalogue for --kg_dataset ${place.kg_dataset}: entity2id.json is in none of ${candidates.join(', ')}.`,
    'Point --data_dir at the folder that holds a folder of the dataset’s name.',
  );
}

/** A PEFT adapter folder: a path, or the name of a training run (its adapter folder). */
export function adapterFolder(flag: string, name: string, outputDir: string): string {
  const candidates = [name, join(name, 'adapter'), join(outputDir, name, 'adapter')];
  const found = candidates.find((folder) => isFile(join(folder, 'adapter_config.json')));
  if (found) return resolve(found);
  throw new InputError(
    `--${flag} ${name}: no adapter. Looked for adapter_config.json in ${candidates.join(', ')}.`,
    'Give a PEFT folder or the name of a finished sft or grpo run.',
  );
}

/** Folder of a model: `demo`, a folder, or a run that trained all weights; otherwise null (a hub id). */
export function modelFolder(name: string, outputDir: string): string | null {
  if (name === 'demo') return join(demoFolder, 'model');
  const trained = [join(name, 'adapter'), join(outputDir, name, 'adapter')];
  return (
    [...trained, name].find((folder) => isFile(join(folder, 'config.json'))) ??
    (isFolder(name) ? resolve(name) : null)
  );
}

/** Folder of a run, from its name (made of --output_dir and --log_name) or its path. */
export function runFolder(logName: string, outputDir: string): string {
  return logName.includes('/') || isFolder(logName) ? resolve(logName) : resolve(outputDir, logName);
}

/** A run must exist to be read. */
export function existingRun(logName: string | undefined, outputDir: string): string {
  if (!logName) throw new UsageError('--log_name is missing.', 'Name the run.');
  const folder = runFolder(logName, outputDir);
  if (!isFolder(folder))
    throw new InputError(`There is no run ${logName} (${folder}).`, 'Check --log_name and --output_dir.');
  return folder;
}
