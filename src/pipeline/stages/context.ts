/** @file What every stage is given by its host: where the run lives, its log, the time, and the wish to stop. */
import { CheckpointError } from '../../core/errors.ts';
import type { Clock } from '../../core/clock.ts';
import type { Policy } from '../../core/policy.ts';
import type { Stage } from '../../core/run_event.ts';
import type { Store } from '../../core/store.ts';
import type { CheckpointStore, FoundCheckpoint } from '../run/checkpoint.ts';
import { readEvents, type EventSink } from '../run/run_log.ts';

export interface StageContext {
  /** The run's folder. */
  store: Store;
  /** The run's log; the host has already written the `config` event of a new run. */
  log: EventSink;
  clock: Clock;
  /** Stop at the next safe point: the stage saves its state and throws the signal's reason. */
  signal?: AbortSignal | undefined;
  /** Continue after the last good checkpoint or row. */
  resume: boolean;
}

/** Where the weights of a finished training stage lie in its run. */
export const adapterFolder = 'adapter';

/**
 * Find the checkpoint to continue from and tell of damaged ones. With `resume` and no good checkpoint the run starts again
 * from its beginning; then everything from the stage's first event (its first `progress`) on is dropped.
 */
export async function findCheckpoint(
  checkpoints: CheckpointStore,
  context: StageContext,
  stage: Stage,
): Promise<FoundCheckpoint['checkpoint']> {
  if (!context.resume) return null;
  const { checkpoint, damaged } = await checkpoints.latest();
  // Told to whoever listens; the truncation then takes it out of the log, which stays that of an uninterrupted run.
  for (const { path, reason } of damaged)
    context.log.emit({
      type: 'warning',
      stage,
      code: 'damaged_checkpoint',
      message: `${path} is not used: ${reason}`,
    });
  if (!checkpoint) {
    await context.log.flush();
    const { events } = await readEvents(context.store);
    const first = events.findIndex((event) => event.type === 'progress');
    if (first >= 0) await context.log.truncate(first);
  }
  return checkpoint;
}

/** The engine's part of a checkpoint's files, and the stage's. */
export function splitCheckpoint(files: ReadonlyMap<string, Uint8Array>): {
  policy: Map<string, Uint8Array>;
  stage: unknown;
} {
  const policy = new Map<string, Uint8Array>();
  for (const [name, bytes] of files)
    if (name.startsWith(policyFolder)) policy.set(name.slice(policyFolder.length), bytes);
  const stage = files.get(stageFile);
  if (!stage)
    throw new CheckpointError(`The checkpoint has no ${stageFile}.`, 'It belongs to another kind of run.');
  return { policy, stage: JSON.parse(new TextDecoder().decode(stage)) as unknown };
}

/** The files of a checkpoint: the engine's state and the stage's. */
export function joinCheckpoint(
  policy: ReadonlyMap<string, Uint8Array>,
  stage: unknown,
): Map<string, Uint8Array> {
  const files = new Map<string, Uint8Array>();
  files.set(stageFile, new TextEncoder().encode(JSON.stringify(stage)));
  for (const [name, bytes] of policy) files.set(policyFolder + name, bytes);
  return files;
}

/** Write a set of files under a folder of the run. */
export async function writeFolder(
  store: Store,
  folder: string,
  files: ReadonlyMap<string, Uint8Array>,
): Promise<void> {
  for (const [name, bytes] of files) await store.write(`${folder}/${name}`, bytes);
}

/** Speed and memory of a step: `perf/tokens_per_second`, `perf/peak_bytes`. */
export function performanceMetrics(policy: Policy, tokens: number, seconds: number): Record<string, number> {
  return {
    ...(seconds > 0 ? { 'perf/tokens_per_second': tokens / seconds } : {}),
    ...(policy.peakBytes === undefined ? {} : { 'perf/peak_bytes': policy.peakBytes }),
  };
}

const policyFolder = 'policy/';
const stageFile = 'stage.json';
