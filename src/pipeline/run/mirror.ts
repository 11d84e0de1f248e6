/**
 * @file Mirrors of the event log in other formats (TensorBoard, text), kept beside it while a run goes on. A mirror holds no
 * state of its own: the first event after opening, and the first after the log was cut back for a resumed run, rebuilds its
 * file from the log; later events are appended.
 */
import type { RunEvent } from '../../core/run_event.ts';
import type { Store } from '../../core/store.ts';
import type { RunLog } from './run_log.ts';
import { readEvents } from './run_log.ts';
import { scalarsOf, tensorboardFileName, tensorboardHeader, tensorboardRecord } from './tensorboard.ts';

/** How events become a file. */
export interface MirrorFormat {
  /** File name, given the run's first event. */
  path(first: RunEvent): string;
  header?(first: RunEvent): string | Uint8Array;
  /** What one event adds; null = nothing. */
  record(event: RunEvent): string | Uint8Array | null;
}

/** `tensorboard/events.out.tfevents.…` */
export const tensorboardMirror: MirrorFormat = {
  path: (first) => `tensorboard/${tensorboardFileName(first.time / 1000)}`,
  header: (first) => tensorboardHeader(first.time / 1000),
  record: (event) => {
    const scalars = scalarsOf(event);
    return scalars && tensorboardRecord(scalars);
  },
};

/** Keep a mirror of a log up to date. `close` waits for everything written and reports what failed. */
export function mirrorLog(log: RunLog, store: Store, format: MirrorFormat): { close(): Promise<void> } {
  let queue: Promise<void> = Promise.resolve();
  let path: string | null = null;
  let mirrored = -1;
  let failure: { error: unknown } | null = null;

  const rebuild = async (): Promise<void> => {
    await log.flush();
    const { events } = await readEvents(store);
    const first = events[0];
    if (!first) return;
    path = format.path(first);
    const parts = [format.header?.(first) ?? null, ...events.map((e) => format.record(e))];
    await store.write(path, joinBytes(parts));
    mirrored = events.at(-1)!.seq;
  };
  const take = async (event: RunEvent): Promise<void> => {
    if (path === null || event.seq > mirrored + 1) return rebuild();
    if (event.seq <= mirrored) return;
    const record = format.record(event);
    if (record !== null) await store.append(path, record);
    mirrored = event.seq;
  };

  const enqueue = (work: () => Promise<void> | void): void => {
    queue = queue.then(work).catch((error: unknown) => {
      failure ??= { error };
    });
  };
  const unsubscribe = [
    log.subscribe((event) => enqueue(() => take(event))),
    log.onTruncate(() =>
      enqueue(() => {
        path = null;
      }),
    ),
  ];
  return {
    close: async () => {
      for (const stop of unsubscribe) stop();
      await queue;
      if (failure) throw failure.error;
    },
  };
}

function joinBytes(parts: readonly (string | Uint8Array | null)[]): Uint8Array {
  const encoder = new TextEncoder();
  const bytes = parts.map((p) =>
    p === null ? new Uint8Array(0) : typeof p === 'string' ? encoder.encode(p) : p,
  );
  const out = new Uint8Array(bytes.reduce((n, b) => n + b.length, 0));
  let at = 0;
  for (const b of bytes) {
    out.set(b, at);
    at += b.length;
  }
  return out;
}
