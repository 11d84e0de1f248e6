/** @file `tart explore`: a teacher and a seeker talk over a processed set; every dialogue becomes a row. */
import { systemClock } from '../../../src/core/clock.ts';
import { UsageError } from '../../../src/core/errors.ts';
import { createSeeker, createTeacher, teacherName } from '../../../src/pipeline/participants.ts';
import { samplingOf } from '../../../src/pipeline/config/inference_options.ts';
import { PolicyRecommender } from '../../../src/pipeline/policy/policy_recommender.ts';
import { runExplore } from '../../../src/pipeline/stages/explore.ts';
import { dataFile } from '../../paths.ts';
import { withRun } from '../../run.ts';
import type { CommandValues } from '../commands.ts';
import { openDialogues, openItemTools, openPrompts, providerAccess } from '../inputs.ts';
import { withPolicy } from '../policy.ts';

export async function run(values: CommandValues<'explore'>): Promise<void> {
  if (!values.test_data)
    throw new UsageError('--test_data is missing.', 'Give the processed set to explore.');
  const path = dataFile('test_data', values.test_data, values);
  const teacher = teacherName(values);
  const access = providerAccess(values);
  await withRun('explore', values, async ({ store, log, signal, resume }) => {
    const prompts = openPrompts(values.prompts, values.model_name);
    const tools = openItemTools(values, path, { sink: log, stage: 'explore' });
    const seeker = createSeeker(values, tools, prompts, access);
    const dialogues = openDialogues(path, tools, values, { sink: log, stage: 'explore' });
    const explore = (
      recommender: Parameters<typeof runExplore>[0]['participants']['recommender'],
      inStep: boolean,
    ) =>
      runExplore({
        dialogues,
        catalogue: tools.catalogue,
        participants: { recommender, seeker, judge: tools.judge, rewriter: tools.rewriter },
        settings: {
          seed: values.seed,
          turnNum: values.turn_num,
          success: values.success,
          hardcore: values.hardcore,
          lastTurnRecommend: values.last_turn_recommend,
        },
        topk: values.topk,
        numConcurrent: values.num_concurrent,
        inStep,
        path: 'rows.jsonl',
        context: { store, log, clock: systemClock, signal, resume },
      });
    if (teacher.provider === 'policy') {
      await withPolicy(values, { sink: log, stage: 'explore' }, async ({ policy, chat, maxContext }) => {
        const recommender = new PolicyRecommender({
          policy,
          chat,
          prompts,
          maxContext,
          turnNum: values.turn_num,
          sampling: samplingOf(values),
          name: `policy:${values.model_name}`,
        });
        await explore(recommender, true);
      });
      return;
    }
    if (!resume)
      warnOfUnusedFlags(values, (message) =>
        log.emit({ type: 'warning', stage: 'explore', code: 'flag', message }),
      );
    await explore(createTeacher(values, tools, prompts, access), teacher.provider === 'rule');
  });
}

/** The original's commands carry generation flags that a teacher behind an address cannot honour: say so, once. */
function warnOfUnusedFlags(values: CommandValues<'explore'>, warn: (message: string) => void): void {
  const name = teacherName(values);
  const who = name.provider === 'rule' ? 'the rule teacher' : `${name.provider} models`;
  if (values.num_beams > 1)
    warn(`--num_beams ${values.num_beams} has no effect: ${who} have no beam search.`);
  if (values.do_sample)
    warn(`--do_sample has no effect: ${who} answer at temperature 0, as in the original.`);
  if (values.model_path)
    warn('--model_path has no effect: the teacher is not the policy (--teacher policy).');
}
