/** @file Optimisation, and SFT. */
import type { FlagTable } from '../flag_types.ts';
import { positive } from './ranges.ts';

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
