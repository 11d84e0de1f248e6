/** @file How turns are written. */
import type { FlagTable } from '../flag_types.ts';
import { positive } from './ranges.ts';

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
