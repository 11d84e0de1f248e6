/** @file `tart demo`: the whole recipe on the embedded demo. */
import { join } from 'node:path';
import { systemClock } from '../../../src/core/clock.ts';
import { loadTokenizer } from '../../../src/gpu/formats/tokenizer.ts';
import { openModel } from '../../../src/gpu/formats/open_model.ts';
import { readPeftFiles } from '../../../src/gpu/formats/peft.ts';
import { createEngine } from '../../../src/gpu/index.ts';
import { readProcessedSet } from '../../../src/pipeline/data/processed_set.ts';
import { demoConfig, quickDemoConfig } from '../../../src/pipeline/demo/demo_config.ts';
import { renderDemoTable } from '../../../src/pipeline/demo/demo_table.ts';
import { runDemo } from '../../../src/pipeline/demo/run_demo.ts';
import { ChatTokens } from '../../../src/pipeline/policy/chat_tokens.ts';
import { formatDuration } from '../../../src/pipeline/run/progress.ts';
import { requestDawnDevice } from '../../dawn.ts';
import { demoFolder } from '../../paths.ts';
import { attachLog, openRunFolder, version } from '../../run.ts';
import type { CommandValues } from '../commands.ts';
import { openItemTools, readText } from '../inputs.ts';
import { openModelFiles } from '../policy.ts';

export async function run(values: CommandValues<'demo'>): Promise<void> {
  const started = Date.now();
  const config = (values.quick ? quickDemoConfig : demoConfig)(values.seed);
  const tools = openItemTools(
    { kg_dataset: 'demo', data_dir: '', output_dir: values.output_dir, topk: config.inference.topk },
    undefined,
  );
  const set = (name: string) =>
    readProcessedSet(readText(join(demoFolder, `demo_processed_${name}.json`)), tools.catalogue).dialogues;
  const files = await openModelFiles('demo', values.output_dir);
  const model = await openModel(files);
  const chat = new ChatTokens(await loadTokenizer(files));
  const device = await requestDawnDevice({ software: values.software_gpu });
  const plain = values.json || !process.stdout.isTTY;
  const folder = await openRunFolder('demo', values);
  try {
    const { vendor, architecture } = device.adapterInfo;
    const say = (text: string): void => void (plain ? process.stderr : process.stdout).write(`${text}\n`);
    say(`TART demo: seed ${values.seed}, ${vendor} ${architecture}, runs in ${folder.path}`);
    const table = await runDemo(
      {
        tools,
        sets: { train: set('train'), test: set('test') },
        chat,
        maxContext: model.config.maxPositionEmbeddings,
        store: folder.store,
        clock: systemClock,
        signal: folder.signal,
        resume: values.resume,
        version,
        openPolicy: async (what) =>
          createEngine({
            device,
            model,
            ...('adapter' in what ? { adapter: await readPeftFiles(what.adapter, model.config) } : what),
          }),
        openLog: async (store, _stage, title) => {
          say(`\n${title}`);
          return attachLog(store, values, folder.cleanup);
        },
      },
      config,
    );
    await folder.store.write('table.json', `${JSON.stringify(table, null, 2)}\n`);
    const text = renderDemoTable(table);
    await folder.store.write('table.txt', `${text}\n`);
    process.stdout.write(
      values.json ? `${JSON.stringify({ type: 'demo_table', ...table })}\n` : `\n${text}\n\n`,
    );
    say(
      `${formatDuration(Date.now() - started)}; the runs are in ${folder.path} (try: npx tart evaluate --log_name ${folder.path}/grpo_test --compare ${folder.path}/sft_test)`,
    );
  } finally {
    await folder.close();
    device.destroy();
  }
}
