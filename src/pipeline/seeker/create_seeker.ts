/** @file From the flags of a run to its seeker. What is missing is an error before any work starts. */
import { UsageError } from '../../core/errors.ts';
import type { PromptSet } from '../prompts/prompts.ts';
import { createChatModel, type ChatModelSettings } from '../providers/create_chat_model.ts';
import { parseProviderName } from '../providers/provider_name.ts';
import type { Catalogue, Seeker } from '../types.ts';
import type { TitleReader } from './intent.ts';
import { LeakGuard } from './leak_guard.ts';
import { LlmSeeker } from './llm_seeker.ts';
import { RuleSeeker } from './rule_seeker.ts';

export interface SeekerSettings {
  /** `--seeker`: rule, openai:<model>, local:<model>. */
  name: string;
  catalogue: Catalogue;
  titles: TitleReader;
  prompts: PromptSet;
  /** Share of turns in which the rule seeker errs. */
  errorRate?: number;
  attributeOnly?: boolean;
  /** `--prevent_leakage`. */
  preventLeakage: boolean;
  chat: ChatModelSettings;
}

/** The seeker a run named. Throws `UsageError`. */
export function createSeeker(settings: SeekerSettings): Seeker {
  const { catalogue, titles, prompts, errorRate, attributeOnly } = settings;
  const name = parseProviderName(settings.name, '--seeker');
  if (name.provider === 'policy') {
    throw new UsageError('--seeker policy: the policy plays the recommender.', 'Use rule or local:<model>.');
  }
  const seeker =
    name.provider === 'rule'
      ? new RuleSeeker({ titles, byId: (id) => catalogue.byId(id), errorRate, attributeOnly })
      : new LlmSeeker({ model: createChatModel(name, settings.chat), prompts, attributeOnly });
  return settings.preventLeakage ? new LeakGuard(seeker) : seeker;
}
