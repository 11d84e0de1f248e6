/**
 * @file `provider:model`, the name of a teacher or a seeker: `rule`, `openai:gpt-4.1`, `local:qwen2.5-7b`, `policy`, … Says
 * which variable or flag each needs, so that a missing one is an error before any work starts.
 */
import { UsageError } from '../../core/errors.ts';

export const PROVIDERS = ['rule', 'policy', 'openai', 'gemini', 'local', 'replay', 'webllm'] as const;
export type Provider = (typeof PROVIDERS)[number];

export interface ProviderName {
  provider: Provider;
  /** Model id, file for `replay`, empty for `rule` and `policy`. */
  model: string;
}

/** What a provider needs before it can be used. */
export interface ProviderNeeds {
  /** Environment variable that holds the key. */
  keyVariable?: string;
  /** The key may be absent (an address of one's own). */
  keyOptional?: boolean;
  /** Flag and environment variable that give the address. */
  addressFlag?: string;
  addressVariable?: string;
}

/** Where calls to `openai:` go when no address is given. */
export const OPENAI_BASE_URL = 'https://api.openai.com/v1';

const NEEDS: Record<Provider, ProviderNeeds> = {
  rule: {},
  policy: {},
  openai: { keyVariable: 'OPENAI_API_KEY' },
  gemini: { keyVariable: 'GEMINI_API_KEY' },
  local: {
    keyVariable: 'OPENAI_API_KEY',
    keyOptional: true,
    addressFlag: '--base_url',
    addressVariable: 'OPENAI_BASE_URL',
  },
  replay: {},
  webllm: {},
};

/** Which key and address a provider needs. */
export function providerNeeds(provider: Provider): ProviderNeeds {
  return NEEDS[provider];
}

/**
 * Parse `provider:model`; a bare model name is given to the provider it belongs to (`gpt-4.1` → openai).
 * `flag` is only used in errors. Throws `UsageError`.
 */
export function parseProviderName(text: string, flag = '--teacher'): ProviderName {
  const name = text.trim();
  if (name === '')
    throw new UsageError(`${flag} is empty.`, `Give rule, or provider:model such as local:qwen2.5-7b.`);
  const colon = name.indexOf(':');
  const head = colon < 0 ? name : name.slice(0, colon);
  const provider = PROVIDERS.find((known) => known === head.toLowerCase());
  if (!provider) {
    const family = modelFamily(name);
    if (family) return { provider: family, model: name };
    throw new UsageError(
      `${flag} ${name}: no such provider.`,
      `Known: ${PROVIDERS.join(', ')}; write provider:model, for example local:${colon < 0 ? name : name.slice(colon + 1)}.`,
    );
  }
  const model = colon < 0 ? '' : name.slice(colon + 1).trim();
  if (provider === 'rule' || provider === 'policy') {
    if (model !== '')
      throw new UsageError(`${flag} ${name}: ${provider} takes no model name.`, `Write ${provider}.`);
  } else if (model === '') {
    throw new UsageError(`${flag} ${name}: the model is missing.`, `Write ${provider}:<model>.`);
  }
  return { provider, model };
}

/** Provider of a bare model name, as the original's `--gpt_model` gives it. Throws `UsageError` when it is not plain. */
export function providerOfModel(model: string, flag = '--gpt_model'): ProviderName {
  const provider = modelFamily(model);
  if (!provider) {
    throw new UsageError(
      `${flag} ${model}: cannot tell the provider from this name.`,
      `Use --teacher provider:model, for example --teacher local:${model}.`,
    );
  }
  return { provider, model };
}

/** `openai` for gpt-…, chatgpt-…, o1, o3-mini…; `gemini` for gemini-…; else null. */
function modelFamily(model: string): 'openai' | 'gemini' | null {
  if (/^(gpt|chatgpt|ft:gpt)-/i.test(model) || /^o\d+(-|$)/i.test(model)) return 'openai';
  if (/^(models\/)?gemini-/i.test(model)) return 'gemini';
  return null;
}

/** `provider:model` in one string. */
export function formatProviderName({ provider, model }: ProviderName): string {
  return model === '' ? provider : `${provider}:${model}`;
}
