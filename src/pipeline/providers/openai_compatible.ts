/**
 * @file A `ChatModel` behind any address that speaks the OpenAI chat-completions protocol: OpenAI, Ollama, vLLM, llama.cpp.
 * Runs in a page and on Node. The SDK's own retries are off; there is one retry loop (408, 409, 429, 5xx and dropped
 * connections only, full jitter, retry-after honoured) under one total deadline. The model that answered must be the one asked for.
 */
import OpenAI from 'openai';
import pRetry from 'p-retry';
import * as v from 'valibot';
import type { ChatModel, ChatReply, ChatRequest } from '../../core/chat_model.ts';
import { systemClock, type Clock } from '../../core/clock.ts';
import { ChatError, isRetryable, redactKey } from './chat_error.ts';

export interface OpenAiCompatibleOptions {
  /** Name of the provider in `name`, e.g. `openai`, `local`. */
  provider: string;
  model: string;
  /** e.g. `http://127.0.0.1:11434/v1`. */
  baseUrl: string;
  /** Absent where the address needs none. */
  apiKey?: string;
  /**
   * `asked`: a reply by another model is an error (a dated snapshot of the same model is the same model).
   * `any`: only recorded, for local servers that answer with a file name. Default `asked`.
   */
  servedModel?: 'asked' | 'any';
  /** Field of the token cap; OpenAI's newer models only take the second. Default `max_tokens`. */
  tokenLimitField?: 'max_tokens' | 'max_completion_tokens';
  /** Retries after the first attempt. Default 5. */
  retries?: number;
  /** Longest time of one call, retries and waiting included, in ms. Default 120 000. */
  deadlineMs?: number;
  /** First backoff, in ms; doubles with every attempt up to 30 s. Default 500. */
  backoffMs?: number;
  /** US dollars per million tokens, where known. */
  price?: { prompt: number; completion: number };
  clock?: Clock;
  /** Jitter in (0, 1). Default `Math.random`: waiting times are no part of a run's numbers. */
  jitter?: () => number;
  fetch?: typeof fetch;
}

const usageSchema = v.object({
  prompt_tokens: v.optional(v.number(), 0),
  completion_tokens: v.optional(v.number(), 0),
});

const replySchema = v.object({
  model: v.string(),
  choices: v.pipe(
    v.array(v.object({ message: v.object({ content: v.string() }) })),
    v.minLength(1, 'no choices'),
  ),
  usage: v.optional(v.nullable(usageSchema)),
});

const MAX_BACKOFF_MS = 30_000;

/** A chat model at an OpenAI-compatible address. `chat` throws `ChatError`, or the signal's reason when aborted. */
export class OpenAiCompatibleModel implements ChatModel {
  readonly name: string;
  private readonly client: OpenAI;
  private readonly clock: Clock;

  constructor(private readonly options: OpenAiCompatibleOptions) {
    this.name = `${options.provider}:${options.model}`;
    this.clock = options.clock ?? systemClock;
    this.client = new OpenAI({
      apiKey: options.apiKey || 'none',
      baseURL: options.baseUrl,
      maxRetries: 0,
      timeout: options.deadlineMs ?? 120_000,
      dangerouslyAllowBrowser: true,
      logLevel: 'off',
      // A redirect could carry the conversation to an address nobody chose.
      fetchOptions: { redirect: 'error' },
      ...(options.fetch ? { fetch: options.fetch } : {}),
    });
  }

  async chat(request: ChatRequest): Promise<ChatReply> {
    request.signal?.throwIfAborted();
    const deadlineMs = this.options.deadlineMs ?? 120_000;
    const deadline = this.clock.now() + deadlineMs;
    const retries = this.options.retries ?? 5;
    const timeout = AbortSignal.timeout(deadlineMs);
    const signal = request.signal ? AbortSignal.any([request.signal, timeout]) : timeout;
    let attempts = 0;
    try {
      return await pRetry(
        async () => {
          attempts++;
          return await this.attempt(request, signal, attempts);
        },
        {
          retries,
          // The waiting is done below, where retry-after is known.
          minTimeout: 0,
          maxTimeout: 0,
          shouldRetry: ({ error }) => isRetryable(error) && this.clock.now() < deadline,
          onFailedAttempt: async ({ error, retriesLeft }) => {
            if (!isRetryable(error) || retriesLeft === 0) return;
            const wait = retryAfterMs(error) ?? this.backoff(attempts);
            if (this.clock.now() + wait >= deadline) throw error;
            await this.clock.sleep(wait, signal);
          },
        },
      );
    } catch (error) {
      if (request.signal?.aborted) throw request.signal.reason;
      if (timeout.aborted) {
        throw new ChatError(this.name, 'timeout', `no answer within ${deadlineMs} ms`, undefined, attempts);
      }
      throw error;
    }
  }

  private backoff(attempt: number): number {
    const ceiling = Math.min(MAX_BACKOFF_MS, (this.options.backoffMs ?? 500) * 2 ** (attempt - 1));
    return (this.options.jitter ?? Math.random)() * ceiling;
  }

  private async attempt(request: ChatRequest, signal: AbortSignal, attempts: number): Promise<ChatReply> {
    let raw: unknown;
    try {
      raw = await this.client.chat.completions.create(
        {
          model: this.options.model,
          messages: request.messages.map(({ role, content }) => ({ role, content })),
          ...(request.temperature === undefined ? {} : { temperature: request.temperature }),
          ...(request.maxTokens === undefined
            ? {}
            : { [this.options.tokenLimitField ?? 'max_tokens']: request.maxTokens }),
          ...(request.seed === undefined ? {} : { seed: request.seed >>> 1 }),
        },
        { signal },
      );
    } catch (error) {
      signal.throwIfAborted();
      throw this.explain(error, attempts);
    }
    const parsed = v.safeParse(replySchema, raw);
    if (!parsed.success) {
      const issue = parsed.issues[0];
      const field = v.getDotPath(issue) ?? 'body';
      throw new ChatError(
        this.name,
        'malformed_reply',
        `unreadable reply, ${field}: ${issue.message}`,
        200,
        attempts,
      );
    }
    return this.read(parsed.output, attempts);
  }

  private read(reply: v.InferOutput<typeof replySchema>, attempts: number): ChatReply {
    const { options } = this;
    if ((options.servedModel ?? 'asked') === 'asked' && !isSameModel(options.model, reply.model)) {
      throw new ChatError(
        this.name,
        'wrong_model',
        `answered by ${redactKey(reply.model, options.apiKey)}`,
        200,
        attempts,
      );
    }
    const promptTokens = reply.usage?.prompt_tokens ?? 0;
    const completionTokens = reply.usage?.completion_tokens ?? 0;
    const costUsd = options.price
      ? (promptTokens * options.price.prompt + completionTokens * options.price.completion) / 1e6
      : undefined;
    return {
      text: reply.choices[0]!.message.content,
      model: reply.model,
      usage: { promptTokens, completionTokens, ...(costUsd === undefined ? {} : { costUsd }) },
    };
  }

  /** Turn whatever the SDK threw into a `ChatError` without the key; the SDK's error (it holds headers) is not attached. */
  private explain(error: unknown, attempts: number): ChatError {
    const text = redactKey(error instanceof Error ? error.message : String(error), this.options.apiKey);
    if (error instanceof OpenAI.APIConnectionTimeoutError) {
      return new ChatError(this.name, 'timeout', text, undefined, attempts);
    }
    if (error instanceof OpenAI.APIConnectionError) {
      const cause =
        error.cause instanceof Error ? `: ${redactKey(error.cause.message, this.options.apiKey)}` : '';
      return new ChatError(
        this.name,
        'network',
        `cannot reach ${this.options.baseUrl}${cause}`,
        undefined,
        attempts,
      );
    }
    if (error instanceof OpenAI.APIError && typeof error.status === 'number') {
      const { status } = error;
      const kind =
        error.code === 'insufficient_quota' || status === 401 || status === 403
          ? 'auth'
          : status === 429
            ? 'rate_limit'
            : status === 408 || status === 409 || status >= 500
              ? 'server'
              : 'bad_request';
      const failure = new ChatError(this.name, kind, text.replace(/^\d{3} /, ''), status, attempts);
      const wait = parseRetryAfter(error.headers as Headers | undefined, this.clock.now());
      if (wait !== null) retryAfter.set(failure, wait);
      return failure;
    }
    if (error instanceof SyntaxError) {
      return new ChatError(this.name, 'malformed_reply', 'the reply is not JSON', 200, attempts);
    }
    // The connection broke while the body was read.
    return new ChatError(this.name, 'network', text, undefined, attempts);
  }
}

/** Waiting time the server asked for, by error. */
const retryAfter = new WeakMap<ChatError, number>();
const retryAfterMs = (error: ChatError): number | undefined => retryAfter.get(error);

/** `retry-after-ms`, or `retry-after` in seconds or as a date, in ms from `now`; null when there is none. */
export function parseRetryAfter(headers: Headers | undefined, now: number): number | null {
  const ms = Number.parseFloat(headers?.get('retry-after-ms') ?? '');
  if (Number.isFinite(ms)) return Math.max(0, ms);
  const value = headers?.get('retry-after')?.trim();
  if (!value) return null;
  if (/^\d+(\.\d+)?$/.test(value)) return Number(value) * 1000;
  const date = Date.parse(value);
  return Number.isNaN(date) ? null : Math.max(0, date - now);
}

/** The same name, or a dated snapshot of it (`gpt-4.1` is served as `gpt-4.1-2025-04-14`). */
export function isSameModel(asked: string, served: string): boolean {
  const a = asked.toLowerCase().replace(/^models\//, '');
  const s = served.toLowerCase().replace(/^models\//, '');
  if (a === s) return true;
  const stem = a.replace(/-latest$/, '');
  if (!s.startsWith(stem)) return false;
  return /^-(\d{4}-\d{2}-\d{2}|\d{4}|\d{8}|latest)$/.test(s.slice(stem.length));
}
