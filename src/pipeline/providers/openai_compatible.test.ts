/** @file Calls over real sockets to a fake provider on 127.0.0.1: replies, failures, retries, deadlines, and the key. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { ChatRequest } from '../../core/chat_model.ts';
import type { Clock } from '../../core/clock.ts';
import { ChatError } from './chat_error.ts';
import { isSameModel, OpenAiCompatibleModel, parseRetryAfter } from './openai_compatible.ts';

const KEY = 'sk-canary-0123456789abcdef';
const REQUEST: ChatRequest = {
  messages: [
    { role: 'system', content: 'You recommend films.' },
    { role: 'user', content: 'Hello 🎬' },
  ],
  temperature: 0,
  maxTokens: 50,
  seed: 7,
};

type Handler = (request: IncomingMessage, response: ServerResponse, body: string) => void;

let server: Server;
let address: string;
let handlers: Handler[];
let seen: { headers: IncomingMessage['headers']; body: Record<string, unknown>; url: string }[];

beforeEach(async () => {
  handlers = [];
  seen = [];
  server = createServer((request, response) => {
    let body = '';
    request.setEncoding('utf8');
    request.on('data', (chunk: string) => (body += chunk));
    request.on('end', () => {
      seen.push({
        headers: request.headers,
        body: JSON.parse(body) as Record<string, unknown>,
        url: request.url ?? '',
      });
      const handler = handlers[Math.min(seen.length, handlers.length) - 1]!;
      handler(request, response, body);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  address = `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`;
});
afterEach(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});

const json =
  (status: number, value: unknown, headers: Record<string, string> = {}): Handler =>
  (_request, response) => {
    response.writeHead(status, { 'content-type': 'application/json', ...headers });
    response.end(typeof value === 'string' ? value : JSON.stringify(value));
  };
const good = (text = 'Hi!', model = 'toy-1') =>
  json(200, {
    id: 'x',
    object: 'chat.completion',
    model,
    choices: [{ index: 0, message: { role: 'assistant', content: text }, finish_reason: 'stop' }],
    usage: { prompt_tokens: 11, completion_tokens: 3, total_tokens: 14 },
  });
const failure = (status: number, message: string, headers?: Record<string, string>, code?: string) =>
  json(status, { error: { message, type: 'x', code: code ?? null } }, headers);

/** A clock whose sleeps are written down and take no time. */
function fakeClock(): Clock & { slept: number[] } {
  let now = 1_000_000;
  const slept: number[] = [];
  return {
    slept,
    now: () => now,
    sleep: (ms) => {
      slept.push(ms);
      now += ms;
      return Promise.resolve();
    },
  };
}

const modelAt = (options: Partial<ConstructorParameters<typeof OpenAiCompatibleModel>[0]> = {}) =>
  new OpenAiCompatibleModel({
    provider: 'local',
    model: 'toy-1',
    baseUrl: address,
    apiKey: KEY,
    clock: fakeClock(),
    jitter: () => 0.5,
    ...options,
  });

async function failureOf(promise: Promise<unknown>): Promise<ChatError> {
  const error: unknown = await promise.then(
    () => new Error('it did not fail'),
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(ChatError);
  const dump = [
    (error as Error).message,
    (error as Error).stack,
    JSON.stringify(error),
    String((error as Error).cause),
  ];
  for (const text of dump) expect(text).not.toContain(KEY);
  return error as ChatError;
}

describe('OpenAiCompatibleModel', () => {
  it('sends the request and reads text, served model, usage and cost', async () => {
    handlers = [good('Watch Heat.')];
    const reply = await modelAt({ price: { prompt: 2, completion: 10 } }).chat(REQUEST);
    expect(reply).toEqual({
      text: 'Watch Heat.',
      model: 'toy-1',
      usage: { promptTokens: 11, completionTokens: 3, costUsd: (11 * 2 + 3 * 10) / 1e6 },
    });
    expect(seen[0]!.url).toBe('/v1/chat/completions');
    expect(seen[0]!.headers.authorization).toBe(`Bearer ${KEY}`);
    expect(seen[0]!.body).toMatchObject({
      model: 'toy-1',
      messages: REQUEST.messages,
      temperature: 0,
      max_tokens: 50,
    });
    expect(seen[0]!.body.seed).toBeTypeOf('number');
  });

  it('names the token cap as the provider wants it', async () => {
    handlers = [good()];
    await modelAt({ tokenLimitField: 'max_completion_tokens' }).chat(REQUEST);
    expect(seen[0]!.body.max_completion_tokens).toBe(50);
    expect(seen[0]!.body).not.toHaveProperty('max_tokens');
  });

  it.each([
    ['no JSON', json(200, '{"model":"toy-1","cho')],
    ['no choices', json(200, { model: 'toy-1', choices: [] })],
    ['no text', json(200, { model: 'toy-1', choices: [{ message: { content: null } }] })],
    ['a page', ((_q, r) => r.writeHead(200, { 'content-type': 'text/html' }).end('<p>hi</p>')) as Handler],
  ])('a reply with %s is malformed and not tried again', async (_name, handler) => {
    handlers = [handler];
    const error = await failureOf(modelAt().chat(REQUEST));
    expect(error.kind).toBe('malformed_reply');
    expect(seen).toHaveLength(1);
  });

  it('waits as long as retry-after says', async () => {
    const clock = fakeClock();
    handlers = [
      failure(429, 'slow down', { 'retry-after': '3' }),
      failure(429, 'slow', { 'retry-after-ms': '250' }),
      good(),
    ];
    expect((await modelAt({ clock }).chat(REQUEST)).text).toBe('Hi!');
    expect(clock.slept).toEqual([3000, 250]);
  });

  it('backs off with jitter on 5xx, 408, 409, and then succeeds', async () => {
    const clock = fakeClock();
    handlers = [
      failure(500, 'oops'),
      failure(503, 'busy'),
      failure(408, 'late'),
      failure(409, 'again'),
      good(),
    ];
    expect((await modelAt({ clock, backoffMs: 100 }).chat(REQUEST)).text).toBe('Hi!');
    expect(clock.slept).toEqual([50, 100, 200, 400]);
  });

  it('tries a dropped connection again', async () => {
    handlers = [(request) => request.socket.destroy(), good()];
    expect((await modelAt().chat(REQUEST)).text).toBe('Hi!');
    expect(seen).toHaveLength(2);
  });

  it('tries again when the connection breaks inside the body', async () => {
    handlers = [
      (request, response) => {
        response.writeHead(200, { 'content-type': 'application/json', 'content-length': '500' });
        response.write('{"model":');
        setTimeout(() => request.socket.destroy(), 20);
      },
      good(),
    ];
    expect((await modelAt().chat(REQUEST)).text).toBe('Hi!');
  });

  it('gives up after the retries, and says how often it tried', async () => {
    handlers = [failure(500, 'oops')];
    const error = await failureOf(modelAt({ retries: 2 }).chat(REQUEST));
    expect(error).toMatchObject({ kind: 'server', status: 500, attempts: 3 });
    expect(error.message).toContain('after 3 attempts');
    expect(seen).toHaveLength(3);
  });

  it('gives up when the next wait would pass the deadline', async () => {
    handlers = [failure(429, 'slow down', { 'retry-after': '3600' })];
    const error = await failureOf(modelAt({ deadlineMs: 5000 }).chat(REQUEST));
    expect(error.kind).toBe('rate_limit');
    expect(seen).toHaveLength(1);
  });

  it.each([
    [401, 'auth'],
    [403, 'auth'],
    [400, 'bad_request'],
    [404, 'bad_request'],
    [422, 'bad_request'],
  ] as const)('never tries %i again', async (status, kind) => {
    handlers = [failure(status, `Incorrect API key provided: ${KEY}`)];
    const error = await failureOf(modelAt().chat(REQUEST));
    expect(error).toMatchObject({ kind, status, attempts: 1 });
    expect(seen).toHaveLength(1);
  });

  it('an exhausted quota is not a rate limit', async () => {
    handlers = [failure(429, 'You exceeded your quota', {}, 'insufficient_quota')];
    expect((await failureOf(modelAt().chat(REQUEST))).kind).toBe('auth');
    expect(seen).toHaveLength(1);
  });

  it('refuses redirects', async () => {
    handlers = [(_request, response) => response.writeHead(307, { location: 'http://127.0.0.1:9/v1' }).end()];
    await failureOf(modelAt({ retries: 0 }).chat(REQUEST));
    expect(seen).toHaveLength(1);
  });

  it('an answer by another model is an error unless any model will do', async () => {
    handlers = [good('Hi!', 'toy-2')];
    const error = await failureOf(modelAt().chat(REQUEST));
    expect(error).toMatchObject({ kind: 'wrong_model' });
    expect(error.message).toContain('toy-2');
    expect((await modelAt({ servedModel: 'any' }).chat(REQUEST)).model).toBe('toy-2');
  });

  it('says that nobody listens', async () => {
    const error = await failureOf(modelAt({ baseUrl: 'http://127.0.0.1:9/v1', retries: 1 }).chat(REQUEST));
    expect(error).toMatchObject({ kind: 'network', attempts: 2 });
    expect(error.message).toContain('http://127.0.0.1:9/v1');
  });

  it('a server that never answers runs into the deadline', async () => {
    handlers = [() => undefined];
    const error = await failureOf(modelAt({ deadlineMs: 150 }).chat(REQUEST));
    expect(error.kind).toBe('timeout');
  });

  it('abort ends a call in flight, and a wait, with the reason of the signal', async () => {
    const inFlight = new AbortController();
    handlers = [() => inFlight.abort(new Error('stop now'))];
    await expect(modelAt().chat({ ...REQUEST, signal: inFlight.signal })).rejects.toThrow('stop now');

    const waiting = new AbortController();
    handlers = [failure(500, 'oops')];
    const clock: Clock = {
      now: () => 0,
      sleep: (_ms, signal) =>
        new Promise((_resolve, reject) => {
          signal?.addEventListener('abort', () => reject(signal.reason as Error));
          waiting.abort(new Error('enough'));
        }),
    };
    await expect(modelAt({ clock }).chat({ ...REQUEST, signal: waiting.signal })).rejects.toThrow('enough');

    const before = seen.length;
    await expect(
      modelAt().chat({ ...REQUEST, signal: AbortSignal.abort(new Error('early')) }),
    ).rejects.toThrow('early');
    expect(seen).toHaveLength(before);
  });
});

describe('parseRetryAfter', () => {
  it('reads seconds, milliseconds and dates', () => {
    const of = (headers: Record<string, string>) =>
      parseRetryAfter(new Headers(headers), Date.UTC(2026, 0, 1));
    expect(of({ 'retry-after': '2' })).toBe(2000);
    expect(of({ 'retry-after-ms': '40', 'retry-after': '2' })).toBe(40);
    expect(of({ 'retry-after': 'Thu, 01 Jan 2026 00:00:05 GMT' })).toBe(5000);
    expect(of({ 'retry-after': 'Thu, 01 Jan 2020 00:00:05 GMT' })).toBe(0);
    expect(of({ 'retry-after': 'soon' })).toBeNull();
    expect(of({})).toBeNull();
  });
});

describe('isSameModel', () => {
  it.each([
    ['gpt-4.1', 'gpt-4.1', true],
    ['gpt-4.1', 'gpt-4.1-2025-04-14', true],
    ['gpt-4.1', 'gpt-4.1-mini', false],
    ['gpt-4.1', 'gpt-4.1-mini-2025-04-14', false],
    ['gpt-4.1-mini', 'gpt-4.1', false],
    ['gpt-4-latest', 'gpt-4-0613', true],
    ['models/x-1', 'X-1', true],
    ['gpt-4', 'gpt-4.1', false],
  ])('%s served as %s: %s', (asked, served, same) => {
    expect(isSameModel(asked, served)).toBe(same);
  });
});
