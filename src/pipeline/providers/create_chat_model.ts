/** @file From `provider:model` to a `ChatModel`; what is missing is an error before any work starts. */
import type { ChatModel } from '../../core/chat_model.ts';
import type { Clock } from '../../core/clock.ts';
import { UsageError } from '../../core/errors.ts';
import { OpenAiCompatibleModel } from './openai_compatible.ts';
import { formatProviderName, OPENAI_BASE_URL, providerNeeds, type ProviderName } from './provider_name.ts';

export interface ChatModelSettings {
  /** Environment variables, or whatever stands in for them in a page. */
  environment: Readonly<Record<string, string | undefined>>;
  /** `--base_url`; wins over `OPENAI_BASE_URL`. */
  baseUrl?: string;
  deadlineMs?: number;
  clock?: Clock;
}

/**
 * The chat model a run named. Throws `UsageError` when a key or an address is missing, or when the provider is not a
 * language model (`rule`, `policy`) or is not served by this version (`gemini`, `replay`, `webllm`).
 */
export function createChatModel(name: ProviderName, settings: ChatModelSettings): ChatModel {
  const written = formatProviderName(name);
  const needs = providerNeeds(name.provider);
  const { environment, deadlineMs, clock } = settings;
  const apiKey = needs.keyVariable ? environment[needs.keyVariable] : undefined;
  const baseUrl = settings.baseUrl ?? environment.OPENAI_BASE_URL;
  switch (name.provider) {
    case 'openai':
      if (!apiKey) {
        throw new UsageError(
          `${written} needs a key.`,
          `Set the environment variable ${needs.keyVariable}, or use rule or local:<model>.`,
        );
      }
      return new OpenAiCompatibleModel({
        provider: 'openai',
        model: name.model,
        baseUrl: checkUrl(baseUrl ?? OPENAI_BASE_URL, written),
        apiKey,
        tokenLimitField: 'max_completion_tokens',
        deadlineMs,
        clock,
      });
    case 'local':
      if (!baseUrl) {
        throw new UsageError(
          `${written} needs an address.`,
          `Give ${needs.addressFlag} (for example http://127.0.0.1:11434/v1) or set ${needs.addressVariable}.`,
        );
      }
      return new OpenAiCompatibleModel({
        provider: 'local',
        model: name.model,
        baseUrl: checkUrl(baseUrl, written),
        apiKey,
        servedModel: 'any',
        deadlineMs,
        clock,
      });
    case 'gemini':
    case 'replay':
    case 'webllm':
      throw new UsageError(
        `${written}: this version does not speak to ${name.provider}.`,
        'Use rule, openai:<model>, or local:<model> with --base_url.',
      );
    case 'rule':
    case 'policy':
      throw new UsageError(
        `${written} is not a language model behind an address.`,
        'Use openai:<model> or local:<model>.',
      );
  }
}

function checkUrl(text: string, name: string): string {
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    throw new UsageError(`${name}: the address is not a URL.`, 'Write it like http://127.0.0.1:11434/v1.');
  }
  if (url.protocol !== 'http:' && url.protocol !== 'https:') {
    throw new UsageError(`${name}: the address must begin with http:// or https://.`);
  }
  if (url.username || url.password) {
    throw new UsageError(
      `${name}: the address carries a password.`,
      'Put the key into OPENAI_API_KEY instead.',
    );
  }
  return text.replace(/\/+$/, '');
}
