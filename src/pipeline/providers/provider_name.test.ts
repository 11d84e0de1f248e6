/** @file Names of teachers and seekers, and what is missing for them. */
import { describe, expect, it } from 'vitest';
import { UsageError } from '../../core/errors.ts';
import { createChatModel } from './create_chat_model.ts';
import { formatProviderName, parseProviderName, providerOfModel } from './provider_name.ts';

describe('parseProviderName', () => {
  it.each([
    ['rule', 'rule', ''],
    ['policy', 'policy', ''],
    ['openai:gpt-4.1', 'openai', 'gpt-4.1'],
    ['local:qwen2.5:7b', 'local', 'qwen2.5:7b'],
    ['LOCAL: my/model', 'local', 'my/model'],
    ['replay:runs/a.jsonl', 'replay', 'runs/a.jsonl'],
    ['gpt-4.1-mini', 'openai', 'gpt-4.1-mini'],
    ['gemini-2.5-pro', 'gemini', 'gemini-2.5-pro'],
  ] as const)('%s', (text, provider, model) => {
    expect(parseProviderName(text)).toEqual({ provider, model });
  });
  it.each(['', 'rule:x', 'openai:', 'local', 'anthropic:x', 'mistral-7b'])(
    'refuses "%s" and says what to write',
    (text) => {
      expect(() => parseProviderName(text, '--seeker')).toThrow(UsageError);
      expect(() => parseProviderName(text, '--seeker')).toThrow('--seeker');
    },
  );
  it('is undone by formatProviderName', () => {
    for (const text of ['rule', 'openai:gpt-4.1', 'local:a:b']) {
      expect(formatProviderName(parseProviderName(text))).toBe(text);
    }
  });
});

describe('providerOfModel', () => {
  it('knows the families of the original commands', () => {
    expect(providerOfModel('gpt-4.1').provider).toBe('openai');
    expect(providerOfModel('o3-mini').provider).toBe('openai');
    expect(providerOfModel('gemini-2.5-pro').provider).toBe('gemini');
    expect(() => providerOfModel('llama-3')).toThrow('--teacher local:llama-3');
  });
});

describe('createChatModel', () => {
  const make = (text: string, environment: Record<string, string> = {}, baseUrl?: string) =>
    createChatModel(parseProviderName(text), { environment, baseUrl });
  it('names the missing variable or flag', () => {
    expect(() => make('openai:gpt-4.1')).toThrow('OPENAI_API_KEY');
    expect(() => make('local:qwen')).toThrow('--base_url');
  });
  it('needs no key for an address of one’s own', () => {
    expect(make('local:qwen', {}, 'http://127.0.0.1:1/v1').name).toBe('local:qwen');
    expect(make('local:qwen', { OPENAI_BASE_URL: 'http://127.0.0.1:1/v1' }).name).toBe('local:qwen');
    expect(make('openai:gpt-4.1', { OPENAI_API_KEY: 'k' }).name).toBe('openai:gpt-4.1');
  });
  it.each(['ftp://x/v1', 'not an address', 'http://user:secret@host/v1'])('refuses the address %s', (url) => {
    expect(() => make('local:qwen', {}, url)).toThrow(UsageError);
    expect(() => make('local:qwen', {}, url)).not.toThrow('secret');
  });
  it.each(['gemini:gemini-2.5-pro', 'webllm:x', 'replay:x', 'rule', 'policy'])(
    '%s is refused with a way out',
    (text) => {
      expect(() => make(text)).toThrow(/local:<model>/);
    },
  );
});
