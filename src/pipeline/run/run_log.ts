/**
 * @file `RunLog`: appends the typed events of a run to `events.jsonl`, numbered and timed. Charts, tables, TensorBoard
 * files and replay are readers of that one file. A resumed run cuts the log back to its checkpoint first, so that the log
 * of a continued run equals the log of an uninterrupted one.
 */
import * as v from 'valibot';
import type { Clock } from '../../core/clock.ts';
import { InputError } from '../../core/errors.ts';
import type { NewRunEvent, RunEvent } from '../../core/run_event.ts';
import type { Store } from '../../core/store.ts';
import { runEventSchema } from './event_schema.ts';

export const eventsFile = 'events.jsonl';

/** What a stage sees of the log. */
export interface EventSink {
  /** Number and time an event and queue it for writing. Never blocks. */
  emit(event: NewRunEvent): void;
  /** Events so far: the `seq` of the next one. */
  readonly position: number;
  /** Resolves when everything emitted so far is in the store; throws what the store threw. */
  flush(): Promise<void>;
  /** Drop every event from `position` on. */
  truncate(position: number): Promise<void>;
}

/** Complete lines of a log file: text after the last line break is a torn line and is dropped. */
export function completeLines(bytes: Uint8Array): { lines: string[]; torn: boolean } {
  const end = bytes.lastIndexOf(0x0a) + 1;
  const text = new TextDecoder().decode(bytes.subarray(0, end));
  return { lines: text === '' ? [] : text.slice(0, -1).split('\n'), torn: end !== bytes.length };
}

/** Read a log of events. Throws `InputError` (file and line) when a complete line is no event. */
export async function readEvents(
  store: Store,
  path: string = eventsFile,
): Promise<{ events: RunEvent[]; torn: boolean }> {
  const bytes = await store.read(path);
  if (!bytes) return { events: [], torn: false };
  const { lines, torn } = completeLines(bytes);
  return { events: lines.map((line, i) => parseEvent(line, `${path} line ${i + 1}`)), torn };
}

/** One line of events.jsonl as an event; `where` names it in errors. */
export function parseEvent(line: string, where: string): RunEvent {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch (cause) {
    throw new InputError(`${where} is not JSON.`, 'Remove the line, or resume from an earlier checkpoint.', {
      cause,
    });
  }
  const parsed = v.safeParse(runEventSchema, value);
  if (parsed.success) return parsed.output;
  const issue = parsed.issues[0];
  throw new InputError(
    `${where} is no run event: field ${v.getDotPath(issue) ?? 'type'}: ${issue.message}.`,
    'The log was written by another version or edited by hand.',
  );
}

/** The writer of one run's log. */
export class RunLog implements EventSink {
  private readonly listeners = new Set<(event: RunEvent) => void>();
  private readonly cutListeners = new Set<() => void>();
  private queue: Promise<void> = Promise.resolve();
  private pending: string[] = [];
  private failure: { error: unknown } | null = null;

  private constructor(
    private readonly store: Store,
    private readonly clock: Clock,
    private readonly path: string,
    private next: number,
  ) {}

  /** Open a new or an existing log; a torn last line is cut off, new events follow the old ones. */
  static async open(store: Store, clock: Clock, path: string = eventsFile): Promise<RunLog> {
    const bytes = await store.read(path);
    if (!bytes) return new RunLog(store, clock, path, 0);
    const end = bytes.lastIndexOf(0x0a) + 1;
    if (end !== bytes.length) await store.write(path, bytes.slice(0, end));
    return new RunLog(store, clock, path, countLines(bytes));
  }

  get position(): number {
    return this.next;
  }

  emit(event: NewRunEvent): void {
    const stamped = { seq: this.next++, time: this.clock.now(), ...event } as RunEvent;
    this.pending.push(`${JSON.stringify(stamped)}\n`);
    if (this.pending.length === 1) this.enqueue(() => this.drain());
    for (const listener of this.listeners) listener(stamped);
  }

  /** Hear every event from now on; the result unsubscribes. */
  subscribe(listener: (event: RunEvent) => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /** Hear when the log is cut back: what was derived from it is no longer right. The result unsubscribes. */
  onTruncate(listener: () => void): () => void {
    this.cutListeners.add(listener);
    return () => this.cutListeners.delete(listener);
  }

  async flush(): Promise<void> {
    await this.queue;
    if (this.failure) throw this.failure.error;
  }

  async truncate(position: number): Promise<void> {
    await this.flush();
    const bytes = await this.store.read(this.path);
    if (!bytes) {
      if (position > 0) throw shorterThan(this.path, 0, position);
      return;
    }
    let end = 0;
    for (let n = 0; n < position; n++) {
      const at = bytes.indexOf(0x0a, end);
      if (at < 0) throw shorterThan(this.path, n, position);
      end = at + 1;
    }
    if (end !== bytes.length) await this.store.write(this.path, bytes.slice(0, end));
    this.next = position;
    for (const listener of this.cutListeners) listener();
  }

  private enqueue(work: () => Promise<void>): void {
    this.queue = this.queue.then(work).catch((error: unknown) => {
      this.failure ??= { error };
    });
  }

  private async drain(): Promise<void> {
    const text = this.pending.join('');
    this.pending = [];
    await this.store.append(this.path, text);
  }
}

function countLines(bytes: Uint8Array): number {
  let n = 0;
  for (let at = bytes.indexOf(0x0a); at >= 0; at = bytes.indexOf(0x0a, at + 1)) n++;
  return n;
}

function shorterThan(path: string, have: number, want: number): InputError {
  return new InputError(
    `${path} has ${have} events, the checkpoint was made after ${want}.`,
    'Restore the log, or start the run again under another name.',
  );
}
