/** @file Flags of the commands around the training stages. */
import type { FlagTable } from '../flag_types.ts';
import { positive } from './ranges.ts';

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
