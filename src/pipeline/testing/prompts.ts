/** @file A wording for tests: a system prompt of one letter, everything else empty. */
import { STANDARD_PROMPTS, type PromptSet } from '../prompts/prompts.ts';

/** Short prompts keep test sequences short. */
export const testPrompts: PromptSet = {
  ...STANDARD_PROMPTS,
  name: 'test',
  recommender: 'r',
  mustRecommend: '',
};
