/** @file `tart prepare`: explored dialogues → SFT data. */
import { UsageError } from '../../../src/core/errors.ts';
import { systemClock } from '../../../src/core/clock.ts';
import { runPrepare } from '../../../src/pipeline/stages/prepare.ts';
import { dataFile, rowsFile } from '../../paths.ts';
import { withRun } from '../../run.ts';
import type { CommandValues } from '../commands.ts';
import { openItemTools, readText } from '../inputs.ts';

/** The rows: a run's, a path, or a file inside the dataset's folder. */
function inputFile(values: CommandValues<'prepare'>): string {
  if (!values.from)
    throw new UsageError('--from is missing.', 'Give the explore run, or a JSONL file of rows.');
  try {
    return rowsFile('from', values.from, values.output_dir);
  } catch {
    return dataFile('from', values.from, values);
  }
}

export async function run(values: CommandValues<'prepare'>): Promise<void> {
  if (!values.base_turn)
    throw new UsageError('--base_turn=false: the SFT data always holds base_turn.', 'Leave the flag out.');
  const path = inputFile(values);
  await withRun('prepare', values, async ({ store, log, signal, resume }) => {
    const tools = openItemTools(values, path, { sink: log, stage: 'prepare' });
    await runPrepare({
      file: readText(path),
      tools,
      options: {
        successOnly: values.success_only,
        rerank: values.rerank,
        start: values.start,
        end: values.end,
        mode: values.bad_rows === 'skip' ? 'report' : 'strict',
        last: values.last,
      },
      path: 'sft.json',
      context: { store, log, clock: systemClock, signal, resume },
    });
  });
}
