/** @file Runs the real `tart` in processes of its own, for the end-to-end tests. */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = fileURLToPath(new URL('../..', import.meta.url));

/** How a process ended and what it printed. */
export interface Ended {
  code: number | null;
  signal: NodeJS.Signals | null;
  stdout: string;
  stderr: string;
  /** JSON lines of the standard output. */
  events: Record<string, unknown>[];
}

export interface TartOptions {
  /** Called with every JSON line; may kill the process. */
  onEvent?: (event: Record<string, unknown>, kill: (signal: NodeJS.Signals) => void) => void;
  env?: Record<string, string>;
}

/** Run `tart` with its arguments and wait for it. */
export function tart(args: readonly string[], { onEvent, env = {} }: TartOptions = {}): Promise<Ended> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [join(root, 'server/tart.mjs'), ...args], {
      cwd: root,
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const ended: Ended = { code: null, signal: null, stdout: '', stderr: '', events: [] };
    let rest = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      ended.stdout += text;
      const lines = (rest + text).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) {
        if (!line.startsWith('{')) continue;
        const event = JSON.parse(line) as Record<string, unknown>;
        ended.events.push(event);
        onEvent?.(event, (signal) => child.kill(signal));
      }
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => (ended.stderr += text));
    child.on('error', reject);
    child.on('close', (code, signal) => resolve({ ...ended, code, signal }));
  });
}

/** SHA-256 of every file under a folder, by relative path. */
export function fingerprints(folder: string): Record<string, string> {
  const out: Record<string, string> = {};
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true }))
    if (entry.isFile()) {
      const path = join(entry.parentPath, entry.name);
      out[path.slice(folder.length + 1)] = createHash('sha256').update(readFileSync(path)).digest('hex');
    }
  return out;
}

/** Events of a run without what differs from run to run: times and speeds. */
export function comparableEvents(folder: string): unknown[] {
  return readFileSync(join(folder, 'events.jsonl'), 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as { type: string; metrics?: Record<string, unknown>; time?: number })
    .filter((event) => event.type !== 'config' && event.type !== 'warning')
    .map(({ time: _time, metrics, ...event }) => ({
      ...event,
      seq: undefined,
      ...(metrics && {
        metrics: Object.fromEntries(
          Object.entries(metrics).filter(([name]) => name !== 'step_time' && !name.startsWith('perf/')),
        ),
      }),
    }));
}
