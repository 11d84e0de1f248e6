/** @file The conversation: who talks, for how long, and what counts as success. */
import type { FlagTable } from '../flag_types.ts';
import { positive, share } from './ranges.ts';

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
