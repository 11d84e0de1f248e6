/** @file `tart grpo`: group relative policy optimisation against the simulated seeker. */
import { systemClock } from '../../../src/core/clock.ts';
import { UsageError } from '../../../src/core/errors.ts';
import { createSeeker } from '../../../src/pipeline/participants.ts';
import { runGrpo } from '../../../src/pipeline/stages/grpo.ts';
import { adapterFolder, sftDataFile } from '../../paths.ts';
import { withRun } from '../../run.ts';
import type { CommandValues } from '../commands.ts';
import { openGrpoRows, openItemTools, openPrompts, providerAccess } from '../inputs.ts';
import { readFolder, withPolicy } from '../policy.ts';

export async function run(values: CommandValues<'grpo'>): Promise<void> {
  if (!values.train_data)
    throw new UsageError('--train_data is missing.', 'Give what `tart prepare` wrote, or a processed set.');
  if (!values.do_sample)
    throw new UsageError('--do_sample=false: GRPO samples its rollouts.', 'Leave the flag out.');
  if (values.ref_model && values.ref_model !== values.model_name)
    throw new UsageError(
      `--ref_model ${values.ref_model} is not --model_name ${values.model_name}.`,
      'Policy and reference share one frozen copy of the weights; they differ by adapter (--ref_path).',
    );
  const path = sftDataFile('train_data', values.train_data, values);
  await withRun('grpo', values, async ({ store, log, signal, resume }) => {
    const prompts = openPrompts(values.prompts, values.model_name);
    const place = { sink: log, stage: 'grpo' } as const;
    const tools = openItemTools(values, path, place);
    const seeker = createSeeker(values, tools, prompts, providerAccess(values));
    const rows = openGrpoRows(path, tools, values, place);
    await withPolicy({ ...values, adapter: 'lora' }, place, async ({ policy, chat, maxContext }) => {
      const reference = values.ref_path
        ? await readFolder(adapterFolder('ref_path', values.ref_path, values.output_dir))
        : values.model_path
          ? 'current'
          : 'base';
      await runGrpo({
        policy,
        chat,
        prompts,
        rows,
        seeker,
        judge: tools.judge,
        rewriter: tools.rewriter,
        isTitle: (title) => tools.linker.isTitle(title),
        maxContext,
        reference,
        options: values,
        context: { store, log, clock: systemClock, signal, resume },
      });
    });
  });
}
