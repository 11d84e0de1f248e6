/** @file The commands of `tart`: what each is for, which flags it takes, and where its code is (loaded only when run). */
import type { Values } from './flag_types.ts';
import * as f from './flags/index.ts';

const explore = {
  ...f.runFlags,
  ...f.dataFlags,
  ...f.testDataFlag,
  ...f.modelFlags,
  ...f.generationFlags,
  ...f.episodeFlags,
  ...f.teacherFlags,
} as const;
const prepare = { ...f.runFlags, ...f.dataFlags, ...f.prepareFlags } as const;
const sft = {
  ...f.runFlags,
  ...f.dataFlags,
  ...f.trainDataFlag,
  ...f.modelFlags,
  ...f.loraFlags,
  ...f.trainFlags,
  ...f.sftFlags,
  prompts: f.episodeFlags.prompts,
} as const;
const grpo = {
  ...f.runFlags,
  ...f.dataFlags,
  ...f.trainDataFlag,
  ...f.modelFlags,
  ...f.loraFlags,
  ...f.rolloutFlags,
  ...f.episodeFlags,
  ...f.trainFlags,
  ...f.grpoFlags,
  lora_dropout: {
    ...f.loraFlags.lora_dropout,
    default: 0,
    help: 'Dropout on the LoRA input; above 0 it makes the ratios of an update noisy.',
  },
} as const;
const inference = {
  ...f.runFlags,
  ...f.dataFlags,
  ...f.testDataFlag,
  ...f.modelFlags,
  ...f.generationFlags,
  ...f.episodeFlags,
  num_concurrent: f.teacherFlags.num_concurrent,
} as const;
const evaluate = { ...f.runFlags, ...f.dataFlags, ...f.evaluateFlags } as const;
const demo = { ...f.runFlags, software_gpu: f.modelFlags.software_gpu, ...f.demoFlags } as const;
const bench = {
  config: f.runFlags.config,
  seed: f.runFlags.seed,
  precision: f.modelFlags.precision,
  software_gpu: f.modelFlags.software_gpu,
  gradient_checkpointing: f.modelFlags.gradient_checkpointing,
  ...f.benchFlags,
  ...f.loraFlags,
} as const;
const exportTable = { ...f.runFlags, model_name: f.modelFlags.model_name, ...f.exportFlags } as const;

const serve = { config: f.runFlags.config, ...f.serveFlags } as const;

/** The flags of each command. */
export const commandFlags = {
  explore,
  prepare,
  sft,
  grpo,
  inference,
  evaluate,
  demo,
  serve,
  bench,
  export: exportTable,
} as const;

export type CommandName = keyof typeof commandFlags;
export type CommandValues<C extends CommandName> = Values<(typeof commandFlags)[C]>;

interface CommandInfo {
  summary: string;
  /** Shown under the summary in `tart <command> --help`. */
  teach: string;
}

export const commandInfo: Record<CommandName, CommandInfo> = {
  explore: {
    summary: 'A teacher talks with a simulated seeker; every dialogue is kept with its outcome.',
    teach: `Writes rows (JSONL) in the original's format into the run folder.

  tart explore --kg_dataset=demo --test_data=demo_processed_train.json --log_name=teacher
  tart explore --num_beams=5 --kg_dataset=inspired2 --teacher=local:qwen2.5-7b --base_url=http://127.0.0.1:11434/v1 \\
               --end=1000 --test_data=inspired2_processed_train.json --log_name=X`,
  },
  prepare: {
    summary: 'Turn explored dialogues into SFT data.',
    teach: `Success filter, re-ranking, base_turn and the _last2 form, with a count of everything dropped or rewritten.

  tart prepare --from=teacher --success_only --rerank --base_turn --log_name=teacher_sft
  tart prepare --kg_dataset=redial --from=rollouts_turn1to3.jsonl --success_only --last=2 --log_name=redial_sft`,
  },
  sft: {
    summary: 'Supervised fine-tuning (LoRA) on prepared dialogues.',
    teach: `  tart sft --model_name=demo --train_data=teacher_sft --epoch=3 --learning_rate=1e-3 --log_name=sft
  tart sft --resume --log_name=sft          continue after a stop, bit for bit`,
  },
  grpo: {
    summary: 'Group relative policy optimisation against the simulated seeker.',
    teach: `Groups of --num_generations rollouts, rewards, advantages, one clipped update per collected batch; the reference is
the SFT adapter given with --model_path.

  tart grpo --model_name=demo --model_path=sft --train_data=teacher_sft --hardcore --dynamic_sampling --rerank --new_tgi \\
            --log_name=grpo`,
  },
  inference: {
    summary: 'The model talks with the seeker on a test set; rows as explore writes them.',
    teach: `  tart inference --model_name=demo --model_path=grpo --test_data=demo_processed_test.json --num_beams=5 --log_name=grpo_test`,
  },
  evaluate: {
    summary: 'All metrics of a file of rows, with confidence intervals.',
    teach: `  tart evaluate --log_name=grpo_test                    a readable table
  tart evaluate --log_name=grpo_test --json             one JSON object (hit1, hit5, hit10, mrr, ndcg10, …)
  tart evaluate --log_name=grpo_test --compare=sft_test paired comparison on the same dialogues`,
  },
  demo: {
    summary: 'The whole recipe on the embedded demo: no key, no GPU, no network.',
    teach: `explore → prepare → SFT → GRPO → inference → evaluate, ending with a table base / teacher / SFT / GRPO.

  tart demo                 about five minutes on two CPU cores, half a minute on a GPU
  tart demo --quick         a short run that shows every stage`,
  },
  serve: {
    summary: 'The page on this machine: the same recipe in the browser.',
    teach: `Prints the address. The page trains on the browser's own WebGPU; nothing leaves this machine.

  tart serve --port=8080`,
  },
  bench: {
    summary: 'Speed and memory of the engine with random weights, as JSON lines.',
    teach: `  tart bench --model=demo
  tart bench --model=qwen2.5-0.5b --precision=f16 --batch_size=2 --seq_len=512`,
  },
  export: {
    summary: 'A run as PEFT adapter, merged weights, TensorBoard events or CSV.',
    teach: `  tart export --log_name=grpo --format=merged --dtype=bf16 --to=out/grpo-merged
  tart export --log_name=grpo --format=tensorboard --to=out/tb`,
  },
};

/** Run a command. Each lives in its own file of `commands/`. */
export async function runCommand<C extends CommandName>(name: C, values: CommandValues<C>): Promise<void> {
  const modules: { [K in CommandName]: () => Promise<{ run: (values: CommandValues<K>) => Promise<void> }> } =
    {
      explore: () => import('./commands/explore.ts'),
      prepare: () => import('./commands/prepare.ts'),
      sft: () => import('./commands/sft.ts'),
      grpo: () => import('./commands/grpo.ts'),
      inference: () => import('./commands/inference.ts'),
      evaluate: () => import('./commands/evaluate.ts'),
      demo: () => import('./commands/demo.ts'),
      serve: () => import('./commands/serve.ts'),
      bench: () => import('./commands/bench.ts'),
      export: () => import('./commands/export.ts'),
    };
  const { run } = await modules[name]();
  await run(values);
}
