/** @file The model, its device, and the adapter that is trained. */
import type { FlagTable } from '../flag_types.ts';
import { positive } from './ranges.ts';

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
