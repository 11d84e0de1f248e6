/**
 * @file The whole recipe on the embedded demo: explore → prepare → SFT → GRPO → inference → evaluate, each stage a run of its
 * own in a folder of the demo's store. Hosts (CLI, page worker, tests) bring the engine, the store and the views.
 */
import type { Clock } from '../../core/clock.ts';
import { InputError } from '../../core/errors.ts';
import { folderStore } from '../../core/memory_store.ts';
import type { Policy, PolicyFiles } from '../../core/policy.ts';
import type { Stage } from '../../core/run_event.ts';
import type { Store } from '../../core/store.ts';
import { readRolloutRows, type RolloutRow } from '../data/rollout_rows.ts';
import { readSftData, type SftRow } from '../data/sft_data.ts';
import type { ItemTools } from '../item_tools.ts';
import { createSeeker, createTeacher } from '../participants.ts';
import type { ChatTokens } from '../policy/chat_tokens.ts';
import { DEMO_PROMPTS } from '../prompts/prompts.ts';
import { readEvents, type RunLog } from '../run/run_log.ts';
import { adapterFolder, type StageContext } from '../stages/context.ts';
import { runExplore } from '../stages/explore.ts';
import { runGrpo } from '../stages/grpo.ts';
import { teacherlessRows } from '../stages/grpo/rows.ts';
import { runInference } from '../stages/inference.ts';
import { runPrepare } from '../stages/prepare.ts';
import { runSft } from '../stages/sft.ts';
import type { Dialogue } from '../types.ts';
import type { DemoConfig, Range } from './demo_config.ts';
import { demoTable, type DemoTable } from './demo_table.ts';

/** Shape of the demo's LoRA, in the engine's words. */
export interface LoraSettings {
  r: number;
  alpha: number;
  dropout: number;
  targetModules: readonly (
    'q_proj' | 'k_proj' | 'v_proj' | 'o_proj' | 'gate_proj' | 'up_proj' | 'down_proj'
  )[];
}

/** What a host brings. */
export interface DemoHost {
  tools: ItemTools;
  sets: { train: readonly Dialogue[]; test: readonly Dialogue[] };
  chat: ChatTokens;
  /** The demo model: bare and frozen, with a new LoRA to train, or with a trained one. */
  openPolicy(
    what: { frozen: true } | { lora: LoraSettings; seed: number } | { adapter: PolicyFiles },
  ): Promise<Policy>;
  /** Most tokens of a sequence. */
  maxContext: number;
  /** The demo's folder. */
  store: Store;
  /** Open a stage's log; the host attaches its views. `title` says what the stage is to a person. */
  openLog(store: Store, stage: Stage, title: string): Promise<RunLog>;
  clock: Clock;
  signal?: AbortSignal | undefined;
  /** Continue a demo that was stopped: finished stages are read back, the others go on. */
  resume: boolean;
  /** The version a run records. */
  version: string;
}

/** The models of the table, weakest first. */
export const demoModels = ['base', 'teacher', 'sft', 'grpo'] as const;
export type DemoModel = (typeof demoModels)[number];

const slice = (dialogues: readonly Dialogue[], { start, end }: Range): Dialogue[] => {
  const part = dialogues.slice(start, end);
  if (part.length === 0)
    throw new InputError(`The demo's data has no rows ${start} to ${end}.`, 'Restore public/demo.');
  return part;
};

/** Run the demo. Throws the signal's reason when aborted; everything finished stays. */
export async function runDemo(host: DemoHost, config: DemoConfig): Promise<DemoTable> {
  return new Demo(host, config).run();
}

class Demo {
  private readonly prompts = DEMO_PROMPTS;
  constructor(
    private readonly host: DemoHost,
    private readonly config: DemoConfig,
  ) {}

  async run(): Promise<DemoTable> {
    const { host, config } = this;
    const rows = {} as Record<DemoModel, RolloutRow[]>;
    const test = slice(host.sets.test, config.test);

    await this.talk(
      'explore',
      'teacher × seeker, training dialogues',
      slice(host.sets.train, config.explore),
    );
    await this.prepare();
    rows.teacher = await this.talk('teacher_test', 'teacher × seeker, test dialogues', test);

    const base = await host.openPolicy({ frozen: true });
    rows.base = await this.infer('base_test', 'base model × seeker', base, test);
    base.destroy();

    const sft = await host.openPolicy({ lora: config.lora, seed: config.seed });
    await this.sft(sft);
    sft.destroy();

    const tuned = await host.openPolicy({ adapter: await this.adapterOf('sft') });
    rows.sft = await this.infer('sft_test', 'SFT model × seeker', tuned, test);
    await this.grpo(tuned);
    tuned.destroy();

    const grpo = await host.openPolicy({ adapter: await this.adapterOf('grpo') });
    rows.grpo = await this.infer('grpo_test', 'GRPO model × seeker', grpo, test);
    grpo.destroy();
    return demoTable(rows, config.seed, host.tools.linker);
  }

  /** One stage in its folder; a finished one is left as it is. */
  private async stage(
    name: string,
    stage: Stage,
    title: string,
    work: (context: StageContext) => Promise<unknown>,
  ): Promise<void> {
    const { host, config } = this;
    host.signal?.throwIfAborted();
    const store = folderStore(host.store, name);
    const { events } = host.resume ? await readEvents(store) : { events: [] };
    if (events.some((event) => event.type === 'done')) return;
    const log = await host.openLog(store, stage, title);
    if (log.position === 0)
      log.emit({ type: 'config', stage, config: { demo: name, ...config }, version: host.version });
    await work({
      store,
      log,
      clock: host.clock,
      signal: host.signal,
      resume: host.resume && events.length > 0,
    });
  }

  private seeker() {
    const { host, config } = this;
    return createSeeker(
      {
        seeker: 'rule',
        seeker_error_rate: config.seekerErrorRate,
        attribute_only: false,
        prevent_leakage: true,
      },
      host.tools,
      this.prompts,
      { environment: {} },
    );
  }

  private async rowsOf(name: string): Promise<RolloutRow[]> {
    return readRolloutRows({ name, text: await this.text(`${name}/rows.jsonl`) }).rows;
  }

  private async text(path: string): Promise<string> {
    const bytes = await this.host.store.read(path);
    if (!bytes) throw new InputError(`${path} is missing from the demo's folder.`, 'Start the demo anew.');
    return new TextDecoder().decode(bytes);
  }

  /** Weights of a finished training stage. */
  private async adapterOf(name: string): Promise<PolicyFiles> {
    const store = folderStore(this.host.store, name);
    const files: PolicyFiles = new Map();
    for (const path of await store.list(adapterFolder))
      files.set(path.slice(adapterFolder.length + 1), (await store.read(path))!);
    return files;
  }

  /** The teacher talks with the seeker. */
  private async talk(name: string, title: string, dialogues: Dialogue[]): Promise<RolloutRow[]> {
    const { host, config } = this;
    const { tools } = host;
    await this.stage(name, 'explore', title, (context) =>
      runExplore({
        dialogues,
        catalogue: tools.catalogue,
        participants: {
          recommender: createTeacher(
            {
              teacher: 'rule',
              teacher_error_rate: config.teacherErrorRate,
              turn_num: config.inference.turn_num,
              seed: config.seed,
            },
            tools,
            this.prompts,
            { environment: {} },
          ),
          seeker: this.seeker(),
          judge: tools.judge,
          rewriter: tools.rewriter,
        },
        settings: {
          seed: config.seed,
          turnNum: config.inference.turn_num,
          success: config.inference.success,
        },
        topk: config.inference.topk,
        numConcurrent: 16,
        inStep: true,
        path: 'rows.jsonl',
        context,
      }),
    );
    return this.rowsOf(name);
  }

  private async prepare(): Promise<void> {
    const text = await this.text('explore/rows.jsonl');
    await this.stage('prepare', 'prepare', 'successes become SFT data', (context) =>
      runPrepare({
        file: { name: 'explore/rows.jsonl', text },
        tools: this.host.tools,
        options: { successOnly: true, rerank: true },
        path: 'sft.json',
        context,
      }),
    );
  }

  private async sft(policy: Policy): Promise<void> {
    const { host, config } = this;
    const rows: SftRow[] = readSftData({
      name: 'prepare/sft.json',
      text: await this.text('prepare/sft.json'),
    }).rows;
    await this.stage('sft', 'sft', 'supervised fine-tuning on the successes', (context) =>
      runSft({
        policy,
        chat: host.chat,
        prompts: this.prompts,
        rows,
        maxContext: host.maxContext,
        options: { seed: config.seed, ...config.sft },
        context,
      }),
    );
  }

  private async grpo(policy: Policy): Promise<void> {
    const { host, config } = this;
    const { tools } = host;
    await this.stage('grpo', 'grpo', 'GRPO against the seeker', (context) =>
      runGrpo({
        policy,
        chat: host.chat,
        prompts: this.prompts,
        rows: teacherlessRows(slice(host.sets.train, config.grpoDialogues)),
        seeker: this.seeker(),
        judge: tools.judge,
        rewriter: tools.rewriter,
        isTitle: (title) => tools.linker.isTitle(title),
        maxContext: host.maxContext,
        reference: 'current',
        options: { seed: config.seed, ...config.grpo },
        context,
      }),
    );
  }

  private async infer(
    name: string,
    title: string,
    policy: Policy,
    dialogues: Dialogue[],
  ): Promise<RolloutRow[]> {
    const { host, config } = this;
    const { tools } = host;
    await this.stage(name, 'inference', title, (context) =>
      runInference({
        policy,
        chat: host.chat,
        prompts: this.prompts,
        dialogues,
        catalogue: tools.catalogue,
        seeker: this.seeker(),
        judge: tools.judge,
        rewriter: tools.rewriter,
        maxContext: host.maxContext,
        modelName: `demo:${name.replace('_test', '')}`,
        options: { seed: config.seed, ...config.inference },
        context,
      }),
    );
    return this.rowsOf(name);
  }
}
