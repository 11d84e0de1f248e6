/**
 * @file A run of the CLI: its folder, its log, its view, and Ctrl-C. Every command that writes a run goes through
 * `withRun`; a run that is already there is only touched with --resume.
 */
import { existsSync, readFileSync } from 'node:fs';
import { systemClock } from '../src/core/clock.ts';
import { UsageError } from '../src/core/errors.ts';
import type { Store } from '../src/core/store.ts';
import type { Stage } from '../src/core/run_event.ts';
import { mirrorLog, tensorboardMirror } from '../src/pipeline/run/mirror.ts';
import { RunLog } from '../src/pipeline/run/run_log.ts';
import { textMirror } from '../src/pipeline/run/text_logs.ts';
import { FolderStore } from './folder_store.ts';
import { runFolder } from './paths.ts';
import { jsonLinesView, terminalView } from './terminal.ts';

/** The flags every run has. */
export interface RunValues {
  log_name?: string | undefined;
  output_dir: string;
  resume: boolean;
  json: boolean;
}

/** What a command works with. */
export interface Run {
  name: string;
  folder: string;
  store: FolderStore;
  log: RunLog;
  /** Aborted by the first Ctrl-C; the second one kills. */
  signal: AbortSignal;
  resume: boolean;
}

export const configFile = 'config.json';

/** The version that a run records. */
export const version = (
  JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as { version: string }
).version;

/** Flags that may differ between a run and its continuation. */
const free = new Set(['resume', 'json', 'config', 'output_dir', 'log_name', 'software_gpu']);

/** On resume the configuration must be what it was: name the first flag that is not. */
function assertSameConfig(before: Record<string, unknown>, now: Record<string, unknown>): void {
  for (const key of new Set([...Object.keys(before), ...Object.keys(now)]))
    if (!free.has(key) && JSON.stringify(before[key]) !== JSON.stringify(now[key]))
      throw new UsageError(
        `--resume: --${key} was ${JSON.stringify(before[key] ?? null)} and is now ${JSON.stringify(now[key] ?? null)}.`,
        'Continue with the same flags, or start another run.',
      );
}

/** A name for a run nobody named: stage and time, numbered where that is taken. */
function defaultName(stage: string, outputDir: string): string {
  const base = `${stage}-${new Date().toISOString().slice(0, 19).replace(/[T:]/g, '-')}`;
  for (let n = 1; ; n++) {
    const name = n === 1 ? base : `${base}-${n}`;
    if (!existsSync(runFolder(name, outputDir))) return name;
  }
}

/** The folder of a run that is open for writing. */
export interface OpenFolder {
  name: string;
  path: string;
  store: FolderStore;
  /** Aborted by the first Ctrl-C; the second one kills. */
  signal: AbortSignal;
  /** The configuration as stored. */
  config: Record<string, unknown>;
  /** Run when the folder is closed, last first. */
  cleanup: (() => void | Promise<void>)[];
  close(): Promise<void>;
}

/** Open or make the folder of a run: a run that is already there is only touched with --resume. */
export async function openRunFolder(command: string, values: RunValues): Promise<OpenFolder> {
  const name = values.log_name ?? defaultName(command, values.output_dir);
  if (values.resume && !values.log_name)
    throw new UsageError('--resume needs --log_name.', 'Name the run to continue.');
  const path = runFolder(name, values.output_dir);
  const store = new FolderStore(path);
  const config = JSON.parse(JSON.stringify({ command, ...values })) as Record<string, unknown>;
  const old = await store.read(configFile);
  if (old && !values.resume)
    throw new UsageError(
      `The run ${name} is already there (${path}).`,
      'Continue it with --resume, or choose another --log_name.',
    );
  if (old) assertSameConfig(JSON.parse(new TextDecoder().decode(old)) as Record<string, unknown>, config);
  else await store.write(configFile, `${JSON.stringify(config, null, 2)}\n`);
  const interrupt = catchInterrupts();
  const cleanup: OpenFolder['cleanup'] = [interrupt.release];
  const close = async (): Promise<void> => {
    for (const step of cleanup.splice(0).reverse()) await step();
  };
  return { name, path, store, signal: interrupt.signal, config, cleanup, close };
}

/** Ctrl-C and SIGTERM as an abort signal. */
function catchInterrupts(): { signal: AbortSignal; release: () => void } {
  const controller = new AbortController();
  const onInterrupt = (): void => {
    if (controller.signal.aborted) process.exit(130);
    process.stderr.write('\nStopping at the next safe point; press Ctrl-C again to stop at once.\n');
    controller.abort(new DOMException('Stopped by the user.', 'AbortError'));
  };
  process.on('SIGINT', onInterrupt);
  process.on('SIGTERM', onInterrupt);
  const release = (): void => {
    process.off('SIGINT', onInterrupt);
    process.off('SIGTERM', onInterrupt);
  };
  return { signal: controller.signal, release };
}

/** A log in a store, with its mirrors (TensorBoard, text) and a view on standard output. */
export async function attachLog(
  store: Store,
  values: { json: boolean },
  cleanup: OpenFolder['cleanup'],
): Promise<RunLog> {
  const log = await RunLog.open(store, systemClock);
  const view =
    values.json || !process.stdout.isTTY ? jsonLinesView(process.stdout) : terminalView(process.stdout);
  const mirrors = [tensorboardMirror, textMirror].map((format) => mirrorLog(log, store, format));
  const unsubscribe = log.subscribe((event) => view.hear(event));
  cleanup.push(async () => {
    unsubscribe();
    view.close();
    for (const mirror of mirrors) await mirror.close();
  });
  return log;
}

/** Events that a host writes before a stage has done anything. */
const preliminary = new Set(['config', 'warning', 'metrics']);

/**
 * Open the run's folder and log, do the work, and close the view. A new run that failed before it did anything (a missing
 * key, a bad row) leaves no folder behind, so that its name is free for the corrected command.
 */
export async function withRun<T extends RunValues>(
  stage: Stage,
  values: T,
  work: (run: Run) => Promise<void>,
): Promise<void> {
  const { name, path, store, signal, config, cleanup, close } = await openRunFolder(stage, values);
  let begun = values.resume;
  let log: RunLog | undefined;
  try {
    log = await attachLog(store, values, cleanup);
    log.subscribe((event) => {
      begun ||= !preliminary.has(event.type);
    });
    if (log.position === 0) log.emit({ type: 'config', stage, config, version });
    await work({ name, folder: path, store, log, signal, resume: values.resume });
    await log.flush();
    begun = true;
  } finally {
    await close();
    if (!begun) {
      // What is still on its way to the disk would come back after the folder is gone.
      await log?.flush().catch(() => undefined);
      await store.remove('');
    }
  }
}
