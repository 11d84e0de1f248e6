/** @file From the flags of a run to its teacher. What is missing is an error before any work starts. */
import { UsageError } from '../../core/errors.ts';
import type { PromptSet } from '../prompts/prompts.ts';
import { createChatModel, type ChatModelSettings } from '../providers/create_chat_model.ts';
import { parseProviderName } from '../providers/provider_name.ts';
import type { TitleReader } from '../seeker/intent.ts';
import type { Catalogue, Item, Recommender } from '../types.ts';
import { LlmTeacher } from './llm_teacher.ts';
import { RuleTeacher } from './rule_teacher.ts';

export interface TeacherSettings {
  /** `--teacher` (or a bare `--gpt_model`): rule, openai:<model>, local:<model>, policy. */
  name: string;
  catalogue: Catalogue;
  titles: TitleReader;
  prompts: PromptSet;
  seed: number;
  turnNum: number;
  /** Rule teacher: share of turns in which it errs, and share of attributes it remembers. */
  errorRate?: number;
  knowledge?: number;
  popularity?: (item: Item) => number;
  /** `--temperature` of a language model. Default 0. */
  temperature?: number;
  chat: ChatModelSettings;
  /** The policy as a recommender, for `policy`. */
  policy?: Recommender;
}

/** The teacher a run named. Throws `UsageError`. */
export function createTeacher(settings: TeacherSettings): Recommender {
  const { catalogue, titles, prompts, seed, turnNum, errorRate, knowledge, popularity, temperature } =
    settings;
  const name = parseProviderName(settings.name, '--teacher');
  if (name.provider === 'policy') {
    if (settings.policy) return settings.policy;
    throw new UsageError('--teacher policy: no policy is loaded.', 'Give --model_name and --model_path.');
  }
  if (name.provider === 'rule') {
    return new RuleTeacher({ catalogue, titles, seed, turnNum, errorRate, knowledge, popularity });
  }
  return new LlmTeacher({ model: createChatModel(name, settings.chat), prompts, temperature });
}
