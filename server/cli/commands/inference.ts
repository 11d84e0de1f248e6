/** @file `tart inference`: the model talks with the seeker over a test set. */
import { systemClock } from '../../../src/core/clock.ts';
import { UsageError } from '../../../src/core/errors.ts';
import { createSeeker } from '../../../src/pipeline/participants.ts';
import { runInference } from '../../../src/pipeline/stages/inference.ts';
import { dataFile } from '../../paths.ts';
import { withRun } from '../../run.ts';
import type { CommandValues } from '../commands.ts';
import { openDialogues, openItemTools, openPrompts, providerAccess } from '../inputs.ts';
import { withPolicy } from '../policy.ts';

export async function run(values: CommandValues<'inference'>): Promise<void> {
  if (!values.test_data) throw new UsageError('--test_data is missing.', 'Give the processed set to run on.');
  const path = dataFile('test_data', values.test_data, values);
  await withRun('inference', values, async ({ store, log, signal, resume }) => {
    const prompts = openPrompts(values.prompts, values.model_name);
    const tools = openItemTools(values, path, { sink: log, stage: 'inference' });
    const seeker = createSeeker(values, tools, prompts, providerAccess(values));
    const dialogues = openDialogues(path, tools, values, { sink: log, stage: 'inference' });
    await withPolicy(values, { sink: log, stage: 'inference' }, async ({ policy, chat, maxContext }) => {
      await runInference({
        policy,
        chat,
        prompts,
        dialogues,
        catalogue: tools.catalogue,
        seeker,
        judge: tools.judge,
        rewriter: tools.rewriter,
        maxContext,
        modelName: `policy:${values.model_name}`,
        options: values,
        context: { store, log, clock: systemClock, signal, resume },
      });
    });
  });
}
