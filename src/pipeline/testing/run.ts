/** @file A run for tests: a store in memory, a clock that stands still, and aborts at chosen moments. */
import { MemoryStore } from '../../core/memory_store.ts';
import type { RunEvent } from '../../core/run_event.ts';
import { RunLog, eventsFile } from '../run/run_log.ts';
import type { StageContext } from '../stages/context.ts';

/** Time stands still, so that two logs can be compared byte by byte. */
export const stillClock = { now: () => 1_700_000_000_000, sleep: async () => undefined };

/** Open a run; `abortWhen` aborts its signal at the first event it is true for. */
export async function openRun(
  store: MemoryStore,
  options: { resume?: boolean; abortWhen?: (event: RunEvent) => boolean } = {},
): Promise<StageContext & { log: RunLog; store: MemoryStore }> {
  const log = await RunLog.open(store, stillClock);
  const controller = new AbortController();
  log.subscribe((event) => {
    if (options.abortWhen?.(event)) controller.abort(new DOMException('stop', 'AbortError'));
  });
  if (log.position === 0) log.emit({ type: 'config', stage: 'sft', config: {}, version: 'test' });
  return { store, log, clock: stillClock, signal: controller.signal, resume: options.resume ?? false };
}

/** The whole text of a run's log. */
export function logText(store: MemoryStore): string {
  return new TextDecoder().decode(store.files.get(eventsFile));
}

/** Forget the checkpoints that were written on abort: what is left after a kill. */
export function copyStore(store: MemoryStore): MemoryStore {
  return new MemoryStore(new Map([...store.files].map(([path, bytes]) => [path, bytes.slice()])));
}
