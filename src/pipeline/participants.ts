/** @file Who talks in a run: seekers and teachers by the names a run gives them. */
import type { Clock } from '../core/clock.ts';
import { UsageError } from '../core/errors.ts';
import type { ItemTools } from './item_tools.ts';
import type { PromptSet } from './prompts/prompts.ts';
import { createChatModel } from './providers/create_chat_model.ts';
import { parseProviderName, providerOfModel, type ProviderName } from './providers/provider_name.ts';
import { LeakGuard } from './seeker/leak_guard.ts';
import { LlmSeeker } from './seeker/llm_seeker.ts';
import { RuleSeeker } from './seeker/rule_seeker.ts';
import { LlmTeacher } from './teacher/llm_teacher.ts';
import { RuleTeacher } from './teacher/rule_teacher.ts';
import type { Recommender, Seeker } from './types.ts';

/** What models behind an address need. */
export interface ProviderAccess {
  environment: Readonly<Record<string, string | undefined>>;
  baseUrl?: string | undefined;
  clock?: Clock;
}

/** Flags that choose a seeker. */
export interface SeekerOptions {
  seeker: string;
  seeker_error_rate: number;
  attribute_only: boolean;
  prevent_leakage: boolean;
}

/** The seeker of a run. Throws `UsageError` for a name that cannot be one, or a missing key. */
export function createSeeker(
  options: SeekerOptions,
  tools: ItemTools,
  prompts: PromptSet,
  access: ProviderAccess,
): Seeker {
  const name = parseProviderName(options.seeker, '--seeker');
  if (name.provider === 'policy')
    throw new UsageError(
      '--seeker policy: the policy cannot play its own user.',
      'Use rule or local:<model>.',
    );
  const seeker =
    name.provider === 'rule'
      ? new RuleSeeker({
          titles: tools.titles,
          byId: (id) => tools.catalogue.byId(id),
          errorRate: options.seeker_error_rate,
          attributeOnly: options.attribute_only,
        })
      : new LlmSeeker({
          model: createChatModel(name, access),
          prompts,
          attributeOnly: options.attribute_only,
        });
  return options.prevent_leakage ? new LeakGuard(seeker) : seeker;
}

/** Flags that choose a teacher. */
export interface TeacherOptions {
  teacher?: string | undefined;
  gpt_model?: string | undefined;
  teacher_error_rate: number;
  turn_num: number;
  seed: number;
}

/** The provider that `--teacher` or `--gpt_model` names; `rule` when neither is given. */
export function teacherName(options: Pick<TeacherOptions, 'teacher' | 'gpt_model'>): ProviderName {
  if (options.teacher && options.gpt_model)
    throw new UsageError('--teacher and --gpt_model both name a teacher.', 'Give one of them.');
  if (options.gpt_model) return providerOfModel(options.gpt_model);
  return parseProviderName(options.teacher ?? 'rule', '--teacher');
}

/** The teacher of a run; the policy as a teacher is the host's to make. */
export function createTeacher(
  options: TeacherOptions,
  tools: ItemTools,
  prompts: PromptSet,
  access: ProviderAccess,
): Recommender {
  const name = teacherName(options);
  if (name.provider === 'rule')
    return new RuleTeacher({
      catalogue: tools.catalogue,
      titles: tools.titles,
      seed: options.seed,
      errorRate: options.teacher_error_rate,
      turnNum: options.turn_num,
    });
  return new LlmTeacher({ model: createChatModel(name, access), prompts });
}
