/** @file A teacher and a seeker behind an OpenAI-compatible address: a fake server on this machine, real sockets. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { tart } from './tart.ts';

interface ChatBody {
  model: string;
  messages: { role: string; content: string }[];
}

let server: Server;
let runs: string;
let asked: ChatBody[] = [];
/** How often the server fails before it answers. */
let failures = 0;

async function bodyOf(request: IncomingMessage): Promise<ChatBody> {
  let text = '';
  for await (const chunk of request) text += String(chunk);
  return JSON.parse(text) as ChatBody;
}

/** The seeker answers in the two-part form; the teacher recommends the film it was told about. */
function answer(body: ChatBody): string {
  const system = body.messages.find((m) => m.role === 'system')?.content ?? '';
  if (!system.startsWith('You are a person'))
    return 'here are some recommendations:\n1. Groundhog Day (1993)\n2. Jaws (1975)';
  const accepted = system.includes('Groundhog Day (1993)');
  return `Intent: recommendation, ${accepted ? 'accepted' : 'refused'}\nReply: ${accepted ? 'I will watch it!' : 'No, thanks.'}`;
}

beforeAll(async () => {
  runs = mkdtempSync(join(tmpdir(), 'tart-local-'));
  server = createServer((request, response) => {
    void bodyOf(request).then((body) => {
      if (failures-- > 0) {
        response.writeHead(503).end('busy');
        return;
      }
      asked.push(body);
      response.setHeader('content-type', 'application/json');
      const usage = { prompt_tokens: 10, completion_tokens: 5, total_tokens: 15 };
      const message = { role: 'assistant', content: answer(body) };
      response.end(
        JSON.stringify({
          id: 'x',
          object: 'chat.completion',
          created: 0,
          model: body.model,
          usage,
          choices: [{ index: 0, finish_reason: 'stop', message }],
        }),
      );
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
});
afterAll(() => {
  server.close();
  rmSync(runs, { recursive: true, force: true });
});

const explore = (name: string, ...args: string[]) =>
  tart([
    ...[
      'explore',
      '--test_data=demo_processed_test.json',
      '--end=4',
      '--teacher=local:teacher-model',
      '--seeker=local:seeker-model',
    ],
    ...[
      `--base_url=http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`,
      `--output_dir=${runs}`,
      `--log_name=${name}`,
      ...args,
    ],
  ]);

it('explores through the address, survives a busy server, and records who answered and what it cost in tokens', async () => {
  asked = [];
  failures = 1;
  const ended = await explore('local');
  expect(ended.stderr).toBe('');
  expect(ended.code).toBe(0);
  const rows = readFileSync(join(runs, 'local/rows.jsonl'), 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>);
  expect(rows).toHaveLength(4);
  expect(JSON.stringify(rows[0])).toContain('teacher-model');
  expect(new Set(asked.map((body) => body.model))).toEqual(new Set(['teacher-model', 'seeker-model']));
  const summary = (ended.events.find((e) => e.type === 'done') as { summary: { promptTokens: number } })
    .summary;
  expect(summary.promptTokens).toBe(10 * asked.length);
}, 60_000);

it('a server that is not there is a clear failure', async () => {
  const ended = await explore('absent', '--base_url=http://127.0.0.1:1/v1', '--end=1');
  expect(ended.code).toBe(1);
  expect(ended.stderr).toContain('127.0.0.1:1');
}, 120_000);
