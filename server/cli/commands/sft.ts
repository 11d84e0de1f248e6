/** @file `tart sft`: supervised fine-tuning on prepared dialogues. */
import { systemClock } from '../../../src/core/clock.ts';
import { UsageError } from '../../../src/core/errors.ts';
import type { Store } from '../../../src/core/store.ts';
import { companionFiles } from '../../../src/gpu/formats/export_model.ts';
import type { FileSource } from '../../../src/gpu/formats/model_source.ts';
import { adapterFolder as trainedFolder } from '../../../src/pipeline/stages/context.ts';
import { runSft } from '../../../src/pipeline/stages/sft.ts';
import { sftDataFile } from '../../paths.ts';
import { withRun } from '../../run.ts';
import type { CommandValues } from '../commands.ts';
import { openItemTools, openPrompts, openTrainingRows } from '../inputs.ts';
import { withPolicy } from '../policy.ts';

export async function run(values: CommandValues<'sft'>): Promise<void> {
  if (!values.train_data) throw new UsageError('--train_data is missing.', 'Give what `tart prepare` wrote.');
  if (values.nproc_per_node > 1)
    throw new UsageError(
      `--nproc_per_node ${values.nproc_per_node}: this version trains on one GPU.`,
      'Use 1 and raise --gradient_accumulation_steps: the optimizer step is the same.',
    );
  const trainPath = sftDataFile('train_data', values.train_data, values);
  const validPath = values.valid_data ? sftDataFile('valid_data', values.valid_data, values) : undefined;
  await withRun('sft', values, async ({ store, log, signal, resume }) => {
    const prompts = openPrompts(values.prompts, values.model_name);
    const place = { sink: log, stage: 'sft' } as const;
    const open = (path: string, range: { start: number; end?: number | undefined }) =>
      openTrainingRows(path, { ...values, ...range }, () => openItemTools(values, path, place), place);
    const rows = open(trainPath, values);
    const validation = validPath ? open(validPath, { start: 0 }) : undefined;
    const adapter = values.full_finetune ? 'full' : 'lora';
    await withPolicy({ ...values, adapter }, place, async ({ policy, chat, files, maxContext }) => {
      await runSft({
        policy,
        chat,
        prompts,
        rows,
        validation,
        maxContext,
        options: values,
        context: { store, log, clock: systemClock, signal, resume },
      });
      if (values.full_finetune) await copyCompanions(files, store);
    });
  });
}

/** All weights were trained: with configuration and tokenizer beside them the folder is a model of its own. */
async function copyCompanions(files: FileSource, store: Store): Promise<void> {
  const present = new Set(await files.list());
  for (const name of ['config.json', ...companionFiles])
    if (present.has(name)) await store.write(`${trainedFolder}/${name}`, await files.read(name));
}
