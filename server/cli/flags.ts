/**
 * @file Every flag of `tart`, once: name, type, default, meaning. Names are the original scripts' (snake_case). A command
 * lists the groups it takes (`commands.ts`); a flag outside them is refused, never ignored.
 */
import type { FlagTable } from './flag_types.ts';

const positive = { min: 1 } as const;
const share = { min: 0, max: 1 } as const;

/** Every command. */
export const runFlags = {
  config: { type: 'string', group: 'Run', help: 'JSON file of flags; flags on the command line win.' },
  log_name: { type: 'string', group: 'Run', help: 'Name of the run; its folder is <output_dir>/<log_name>.' },
  output_dir: { type: 'string', default: 'runs', group: 'Run', help: 'Where runs live.' },
  seed: { type: 'int', default: 0, min: 0, group: 'Run', help: 'Seed of everything random in the run.' },
  resume: {
    type: 'bool',
    default: false,
    group: 'Run',
    help: 'Continue the run of this name after its last good checkpoint or row.',
  },
  json: {
    type: 'bool',
    default: false,
    group: 'Run',
    help: 'Print events as JSON lines (always so when the output is not a terminal).',
  },
} as const satisfies FlagTable;

/** Where dialogues and items come from. */
export const dataFlags = {
  kg_dataset: {
    type: 'choice',
    choices: ['redial', 'inspired', 'inspired2', 'opendialkg', 'demo'],
    default: 'demo',
    group: 'Data',
    help: 'Which catalogue and conventions.',
  },
  data_dir: {
    type: 'string',
    default: 'data',
    group: 'Data',
    help: 'Folder with <kg_dataset>/entity2id.json and id2info.json; a file given by a bare name is looked for there too.',
  },
  start: { type: 'int', default: 0, min: 0, group: 'Data', help: 'First row to use.' },
  end: { type: 'int', min: 0, group: 'Data', help: 'Row after the last one to use. Absent = all rows.' },
  bad_rows: {
    type: 'choice',
    choices: ['refuse', 'skip'],
    default: 'refuse',
    group: 'Data',
    help: 'What to do about a row that cannot be used: stop and name it, or leave it out and say so.',
  },
  topk: { type: 'int', default: 10, ...positive, group: 'Data', help: 'How many retrieved items count.' },
} as const satisfies FlagTable;

export const testDataFlag = {
  test_data: { type: 'string', group: 'Data', help: 'Processed set to run on (JSON).' },
} as const satisfies FlagTable;

export const trainDataFlag = {
  train_data: {
    type: 'string',
    group: 'Data',
    help: 'Training data (JSON; for sft and grpo as `tart prepare` writes it).',
  },
} as const satisfies FlagTable;

/** The model and the device. */
export const modelFlags = {
  model_name: {
    type: 'string',
    default: 'demo',
    group: 'Model',
    help: '`demo`, a folder in Hugging Face format, or a hub id.',
  },
  model_path: {
    type: 'string',
    group: 'Model',
    help: 'PEFT adapter to start from (a folder, or the name of a run).',
  },
  precision: {
    type: 'choice',
    choices: ['f32', 'f16'],
    default: 'f32',
    group: 'Model',
    help: 'Storage of frozen weights; f16 needs a GPU with shader-f16.',
  },
  load_in_4bit: {
    type: 'bool',
    default: false,
    group: 'Model',
    help: 'NF4 base weights. Refused until the 4-bit kernels are there: use --precision f16.',
  },
  micro_batch_tokens: {
    type: 'int',
    min: 16,
    group: 'Model',
    help: 'Tokens per forward/backward pass (4096; 1024 on a software GPU); lower it when memory is short. Does not change results.',
  },
  gradient_checkpointing: {
    type: 'bool',
    default: false,
    group: 'Model',
    help: 'Keep only block inputs and recompute the rest: less memory, about a third more time.',
  },
  software_gpu: {
    type: 'bool',
    default: false,
    group: 'Model',
    help: 'Use the software GPU even where there is a real one.',
  },
} as const satisfies FlagTable;

/** Adapter shape. With --model_path the adapter brings its own; a flag that contradicts it is refused. */
export const loraFlags = {
  lora_r: { type: 'int', ...positive, group: 'LoRA', help: 'Rank of a new adapter (64).' },
  lora_alpha: { type: 'float', min: 0, group: 'LoRA', help: 'Scale is alpha / r (16).' },
  lora_dropout: {
    type: 'float',
    default: 0.05,
    min: 0,
    max: 0.99,
    group: 'LoRA',
    help: 'Dropout on the LoRA input.',
  },
  lora_target_modules: {
    type: 'list',
    group: 'LoRA',
    help: 'Which linear layers: a list such as q_proj,v_proj (as it is for a new adapter), or `all`.',
  },
} as const satisfies FlagTable;

/** Writing text. */
export const generationFlags = {
  max_new_tokens: {
    type: 'int',
    default: 256,
    ...positive,
    group: 'Generation',
    help: 'Most tokens of one turn.',
  },
  temperature: { type: 'float', default: 1, min: 0, group: 'Generation', help: 'Logits are divided by it.' },
  top_p: {
    type: 'float',
    default: 1,
    min: 0,
    max: 1,
    group: 'Generation',
    help: 'Nucleus sampling; 1 = off.',
  },
  top_k: {
    type: 'int',
    default: 50,
    min: 0,
    group: 'Generation',
    help: 'Sample among the k most likely tokens; 0 = off. GRPO rollouts always sample untruncated.',
  },
  num_beams: {
    type: 'int',
    default: 1,
    ...positive,
    group: 'Generation',
    help: 'Beam search width; 1 = off.',
  },
  do_sample: {
    type: 'bool',
    default: false,
    group: 'Generation',
    help: 'Sample instead of taking the likeliest token.',
  },
} as const satisfies FlagTable;

/** What GRPO takes of them: rollouts are sampled, untruncated; anything else is refused with its reason. */
export const rolloutFlags = {
  max_new_tokens: generationFlags.max_new_tokens,
  temperature: {
    ...generationFlags.temperature,
    help: 'Rollouts are sampled at it, and the loss divides logits by it.',
  },
  top_p: { type: 'float', min: 0, max: 1, group: 'Generation', help: 'Must be 1 or absent: see --top_k.' },
  top_k: {
    type: 'int',
    min: 0,
    group: 'Generation',
    help: 'Must be 0 or absent: truncated sampling makes importance ratios wrong.',
  },
  num_beams: { type: 'int', min: 1, group: 'Generation', help: 'Must be 1 or absent: rollouts are sampled.' },
  do_sample: {
    type: 'bool',
    default: true,
    group: 'Generation',
    help: 'Must be true: rollouts are sampled.',
  },
} as const satisfies FlagTable;

/** The conversation and what counts as success. */
export const episodeFlags = {
  turn_num: {
    type: 'int',
    default: 2,
    ...positive,
    group: 'Episode',
    help: 'Most exchanges of an episode (T).',
  },
  hardcore: {
    type: 'bool',
    default: false,
    group: 'Episode',
    help: 'OSR: stop at the first recommendation, right or wrong.',
  },
  success: {
    type: 'choice',
    choices: ['original', 'shown', 'strict'],
    default: 'original',
    group: 'Episode',
    help: 'Which success pays: retrieved (original), shown in the list, or shown and accepted (strict).',
  },
  last_turn_recommend: {
    type: 'bool',
    default: false,
    group: 'Episode',
    help: 'Ask for a recommendation in the last exchange.',
  },
  prevent_leakage: {
    type: 'bool',
    default: true,
    group: 'Episode',
    help: 'Redact target titles that the seeker names by mistake (whole words, the sentence stays).',
  },
  seeker: {
    type: 'string',
    default: 'rule',
    group: 'Episode',
    help: 'Who plays the user: rule, local:<model>, openai:<model>.',
  },
  seeker_error_rate: {
    type: 'float',
    default: 0.1,
    ...share,
    group: 'Episode',
    help: 'How often the rule seeker errs.',
  },
  attribute_only: {
    type: 'bool',
    default: false,
    group: 'Episode',
    help: 'The seeker never sees target titles.',
  },
  prompts: { type: 'string', group: 'Episode', help: 'JSON file that overrides the prompts.' },
  base_url: {
    type: 'string',
    group: 'Episode',
    help: 'OpenAI-compatible address behind local:<model> (or environment OPENAI_BASE_URL).',
  },
} as const satisfies FlagTable;

export const teacherFlags = {
  teacher: {
    type: 'string',
    group: 'Teacher',
    help: 'Who recommends: rule, local:<model>, openai:<model>, policy.',
  },
  gpt_model: {
    type: 'string',
    group: 'Teacher',
    help: 'The original flag: a model name, its provider follows from it.',
  },
  teacher_error_rate: {
    type: 'float',
    default: 0.1,
    ...share,
    group: 'Teacher',
    help: 'How often the rule teacher errs.',
  },
  num_concurrent: {
    type: 'int',
    default: 8,
    ...positive,
    group: 'Teacher',
    help: 'Dialogues in flight at once.',
  },
} as const satisfies FlagTable;

/** Optimisation, shared by sft and grpo. */
export const trainFlags = {
  lr_scheduler_type: {
    type: 'choice',
    choices: ['constant', 'constant_with_warmup', 'linear', 'cosine'],
    default: 'linear',
    group: 'Training',
    help: 'Learning-rate schedule.',
  },
  warmup_steps: { type: 'int', default: 0, min: 0, group: 'Training', help: 'Steps of linear warm-up.' },
  weight_decay: { type: 'float', default: 0, min: 0, group: 'Training', help: 'AdamW weight decay.' },
  max_grad_norm: {
    type: 'float',
    default: 1,
    min: 0,
    group: 'Training',
    help: 'Clip the gradient norm; 0 = off.',
  },
  max_steps: { type: 'int', ...positive, group: 'Training', help: 'Stop after this many optimizer steps.' },
  save_steps: {
    type: 'int',
    default: 50,
    ...positive,
    group: 'Training',
    help: 'Optimizer steps between checkpoints.',
  },
  save_total_limit: { type: 'int', default: 2, ...positive, group: 'Training', help: 'Checkpoints kept.' },
} as const satisfies FlagTable;

export const sftFlags = {
  epoch: { type: 'int', default: 10, ...positive, group: 'SFT', help: 'Passes over the data.' },
  batch_size: {
    type: 'int',
    default: 2,
    ...positive,
    group: 'SFT',
    help: 'Examples per micro step and process.',
  },
  gradient_accumulation_steps: {
    type: 'int',
    default: 4,
    ...positive,
    group: 'SFT',
    help: 'Micro steps per optimizer step.',
  },
  learning_rate: { type: 'float', default: 3e-5, min: 0, group: 'SFT', help: 'Peak learning rate.' },
  train_only_interaction: {
    type: 'bool',
    default: false,
    group: 'SFT',
    help: "Loss only on the teacher's turns, not on the recommender turns of the given dialogue.",
  },
  train_seeker_tokens: {
    type: 'bool',
    default: false,
    group: 'SFT',
    help: "Also train on seeker turns, as the original's code did.",
  },
  full_finetune: { type: 'bool', default: false, group: 'SFT', help: 'Train all weights instead of LoRA.' },
  max_length: {
    type: 'int',
    min: 8,
    group: 'SFT',
    help: 'Longest example in tokens (default: what the model can take).',
  },
  nproc_per_node: {
    type: 'int',
    default: 1,
    ...positive,
    group: 'SFT',
    help: 'Processes, one a GPU. More than 1 is refused until the multi-GPU work is there.',
  },
  valid_data: {
    type: 'string',
    group: 'SFT',
    help: 'Validation data in the same form; its loss is logged every epoch.',
  },
} as const satisfies FlagTable;

export const grpoFlags = {
  epoch: { type: 'int', default: 2, ...positive, group: 'GRPO', help: 'Passes over the dialogues.' },
  ppo_epoch: {
    type: 'int',
    default: 1,
    ...positive,
    group: 'GRPO',
    help: 'Updates on each collected batch.',
  },
  batch_size: { type: 'int', default: 16, ...positive, group: 'GRPO', help: 'Kept rollouts per update.' },
  mini_batch_size: {
    type: 'int',
    ...positive,
    group: 'GRPO',
    help: 'Rollouts per optimizer step. Default: the whole batch (the original took 1).',
  },
  learning_rate: { type: 'float', default: 5e-6, min: 0, group: 'GRPO', help: 'Peak learning rate.' },
  init_kl_coef: {
    type: 'float',
    default: 0.1,
    min: 0,
    group: 'GRPO',
    help: 'β, weight of the KL to the SFT model.',
  },
  reward: {
    type: 'float',
    default: 0,
    min: 0,
    group: 'GRPO',
    help: 'Penalty of a failure (its reward is minus this).',
  },
  bonus: {
    type: 'float',
    default: 0,
    min: 0,
    group: 'GRPO',
    help: "Added to a success that beats the teacher's turn count.",
  },
  turn_num_offset: {
    type: 'int',
    default: 0,
    min: 0,
    group: 'GRPO',
    help: 'A success must come within turn_num minus this.',
  },
  max_train_turn: {
    type: 'int',
    ...positive,
    group: 'GRPO',
    help: 'Train on at most this many first turns of a rollout.',
  },
  num_generations: { type: 'int', default: 8, min: 2, group: 'GRPO', help: 'Rollouts per group (G).' },
  groups_in_flight: {
    type: 'int',
    default: 4,
    ...positive,
    group: 'GRPO',
    help: 'Groups sampled in one decode batch. A rollout does not depend on it.',
  },
  max_attempts: {
    type: 'int',
    default: 4,
    ...positive,
    group: 'GRPO',
    help: 'Attempts per rollout before an invalid one is kept as a failure.',
  },
  e_low: {
    type: 'float',
    min: 0,
    group: 'GRPO',
    help: "Lower clip range. Absent = the loss type's own (0.2 for most).",
  },
  e_high: {
    type: 'float',
    min: 0,
    group: 'GRPO',
    help: "Upper clip range (clip-higher). Absent = the loss type's own (0.28 for learning2interact).",
  },
  loss_type: {
    type: 'string',
    default: 'learning2interact',
    group: 'GRPO',
    help: 'grpo, dr_grpo, bnpo, dapo, cispo, sapo, gspo, … or learning2interact (what the original calls grpo).',
  },
  scale_rewards: {
    type: 'choice',
    choices: ['group', 'batch', 'none'],
    group: 'GRPO',
    help: "Which standard deviation divides the advantage. Absent = the loss type's own (group for most).",
  },
  dynamic_sampling: {
    type: 'bool',
    default: false,
    group: 'GRPO',
    help: 'Drop groups that (nearly) all succeed or fail.',
  },
  sampling_threshold: {
    type: 'int',
    default: 0,
    min: 0,
    group: 'GRPO',
    help: 'A group is dropped when its successes are ≤ this or ≥ G − this.',
  },
  new_tgi: {
    type: 'bool',
    default: false,
    group: 'GRPO',
    help: "TGI: append a random prefix of the teacher's exchanges.",
  },
  rerank: {
    type: 'bool',
    default: false,
    group: 'GRPO',
    help: 'Rewrite the list of a successful rollout, targets first.',
  },
  ref_model: {
    type: 'string',
    group: 'GRPO',
    help: 'Base model of the reference; must be --model_name (one frozen copy).',
  },
  ref_path: {
    type: 'string',
    group: 'GRPO',
    help: 'Adapter of the reference. Default: --model_path, the SFT adapter.',
  },
  resume_start: {
    type: 'int',
    min: 0,
    group: 'GRPO',
    help: 'First dialogue to use, as the original resumed.',
  },
  save_turn: {
    type: 'int',
    default: 200,
    ...positive,
    group: 'GRPO',
    help: 'Dialogues between checkpoints.',
  },
  step_size: { type: 'int', default: 350000, ...positive, group: 'GRPO', help: 'Most dialogues to visit.' },
  off_policy: {
    type: 'bool',
    default: false,
    group: 'GRPO',
    help: "One rollout of each group is the teacher's.",
  },
  recommendation_mask: {
    type: 'bool',
    default: false,
    group: 'GRPO',
    help: 'No loss on recommendation turns before the last.',
  },
  off_formatcheck: { type: 'bool', default: false, group: 'GRPO', help: 'Accept any form of list.' },
  rec_format_check: {
    type: 'bool',
    default: false,
    group: 'GRPO',
    help: 'A recommendation must be a whole ten-item list.',
  },
  rec_format_check_rule: {
    type: 'bool',
    default: false,
    group: 'GRPO',
    help: 'The same, canonical phrase included.',
  },
  rec_format_check_rule_generous: {
    type: 'bool',
    default: false,
    group: 'GRPO',
    help: 'The same, generous about phrase and length.',
  },
  rec_success_recommend: {
    type: 'bool',
    default: false,
    group: 'GRPO',
    help: 'A success counts only on a turn that recommends.',
  },
} as const satisfies FlagTable;

export const prepareFlags = {
  from: { type: 'string', group: 'Prepare', help: 'Run name or JSONL file of explored dialogues.' },
  output: { type: 'string', group: 'Prepare', help: 'File to write (default: sft.json in the run folder).' },
  success_only: { type: 'bool', default: false, group: 'Prepare', help: 'Keep successful dialogues only.' },
  rerank: { type: 'bool', default: false, group: 'Prepare', help: 'Rewrite the final list, targets first.' },
  base_turn: {
    type: 'bool',
    default: true,
    group: 'Prepare',
    help: 'Store how many exchanges the teacher took (TGI and the bonus need it; always on).',
  },
  last: {
    type: 'int',
    min: 1,
    group: 'Prepare',
    help: 'Keep the last N exchanges; earlier ones join the dialogue (_last2).',
  },
} as const satisfies FlagTable;

export const evaluateFlags = {
  compare: {
    type: 'string',
    group: 'Evaluate',
    help: 'Second run or file: paired comparison on the same dialogues.',
  },
  bootstrap: { type: 'int', default: 1000, min: 100, group: 'Evaluate', help: 'Bootstrap resamples.' },
  test_data: {
    type: 'string',
    group: 'Evaluate',
    help: 'Processed set, for targets that the rows do not carry.',
  },
} as const satisfies FlagTable;

export const exportFlags = {
  to: { type: 'string', group: 'Export', help: 'Folder to write.' },
  format: {
    type: 'choice',
    choices: ['peft', 'merged', 'tensorboard', 'csv'],
    default: 'peft',
    group: 'Export',
    help: 'PEFT adapter, merged full weights, TensorBoard events, or metrics as CSV.',
  },
  dtype: {
    type: 'choice',
    choices: ['f32', 'f16', 'bf16'],
    default: 'f32',
    group: 'Export',
    help: 'Number format of merged weights.',
  },
} as const satisfies FlagTable;

export const benchFlags = {
  model: {
    type: 'string',
    default: 'demo',
    group: 'Bench',
    help: 'Shape to measure with random weights: a name of the shape table, or a folder with config.json.',
  },
  only: {
    type: 'list',
    group: 'Bench',
    help: 'Measure only these: dispatch, matmul, train_step (the demo model beside TensorFlow.js), sft, rollout.',
  },
  batch_size: { type: 'int', default: 2, ...positive, group: 'Bench', help: 'Sequences per training step.' },
  seq_len: {
    type: 'int',
    default: 128,
    min: 8,
    group: 'Bench',
    help: 'Tokens per sequence of a training step.',
  },
  prompt_len: {
    type: 'int',
    ...positive,
    group: 'Bench',
    help: 'Tokens per prompt of a rollout (as --seq_len).',
  },
  rollouts: { type: 'int', default: 16, ...positive, group: 'Bench', help: 'Rows of the decode batch.' },
  new_tokens: { type: 'int', default: 32, min: 4, group: 'Bench', help: 'Tokens written per rollout.' },
  repeats: {
    type: 'int',
    default: 5,
    min: 3,
    group: 'Bench',
    help: 'Runs of each measurement; the median is printed.',
  },
  compare_tfjs: {
    type: 'bool',
    default: true,
    group: 'Bench',
    help: 'Also measure TensorFlow.js on the same GPUDevice.',
  },
} as const satisfies FlagTable;

export const demoFlags = {
  quick: {
    type: 'bool',
    default: false,
    group: 'Demo',
    help: 'A short run that shows every stage; its figures mean little.',
  },
} as const satisfies FlagTable;

export const serveFlags = {
  port: { type: 'int', default: 5173, min: 0, max: 65535, group: 'Serve', help: 'Port; 0 = any free one.' },
  build: { type: 'bool', default: false, group: 'Serve', help: 'Build the page anew.' },
} as const satisfies FlagTable;
