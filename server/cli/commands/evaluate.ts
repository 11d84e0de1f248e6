/** @file `tart evaluate`: all metrics of a file of rows, as a table or as one JSON object. */
import { existsSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { InputError, UsageError } from '../../../src/core/errors.ts';
import { readRolloutRows, type RolloutRow } from '../../../src/pipeline/data/rollout_rows.ts';
import { describeProblem } from '../../../src/pipeline/data/source_file.ts';
import { evaluateRows } from '../../../src/pipeline/metrics/report.ts';
import { renderReport } from '../../../src/pipeline/metrics/table.ts';
import type { TitleLinker } from '../../../src/pipeline/response/title_linker.ts';
import { rowsFile } from '../../paths.ts';
import type { CommandValues } from '../commands.ts';
import { openItemTools, readText } from '../inputs.ts';

interface NamedRows {
  name: string;
  path: string;
  rows: RolloutRow[];
}

function openRows(flag: string, name: string, outputDir: string, mode: 'strict' | 'report'): NamedRows {
  const path = rowsFile(flag, name, outputDir);
  const { rows, problems } = readRolloutRows(readText(path), mode);
  for (const problem of problems) process.stderr.write(`! ${describeProblem(problem)}\n`);
  return { name: basename(path) === 'rows.jsonl' ? basename(dirname(path)) : basename(path), path, rows };
}

/** A catalogue is optional here: without one, figures that need it are empty, and said to be. */
function openLinker(values: CommandValues<'evaluate'>, path: string): TitleLinker | undefined {
  if (values.kg_dataset === 'demo' && existsSync(join(dirname(path), 'entity2id.json')))
    return openItemTools(
      { ...values, data_dir: dirname(dirname(path)), kg_dataset: basename(dirname(path)) },
      path,
    ).linker;
  try {
    return openItemTools(values, path).linker;
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    process.stderr.write(`! ${error.message} Figures that need the catalogue are left empty.\n`);
    return undefined;
  }
}

export async function run(values: CommandValues<'evaluate'>): Promise<void> {
  if (!values.log_name)
    throw new UsageError('--log_name is missing.', 'Name the run or the file to evaluate.');
  const mode = values.bad_rows === 'skip' ? 'report' : 'strict';
  const { name, path, rows } = openRows('log_name', values.log_name, values.output_dir, mode);
  const linker = openLinker(values, path);
  const report = evaluateRows(rows.slice(values.start, values.end), {
    name,
    linker,
    bootstrap: values.bootstrap,
    seed: values.seed,
    compare: values.compare ? openRows('compare', values.compare, values.output_dir, mode) : undefined,
  });
  process.stdout.write(values.json ? `${JSON.stringify(report)}\n` : `${renderReport(report)}\n`);
  await Promise.resolve();
}
