/**
 * @file The CLI's view of a run's log: a live line with remaining time on a terminal, the events as JSON lines elsewhere.
 */
import type { RunEvent } from '../src/core/run_event.ts';
import { advanceProgress, formatDuration, noProgress, readProgress } from '../src/pipeline/run/progress.ts';

/** Where a view writes. */
export interface Output {
  write(text: string): unknown;
  isTTY?: boolean;
  columns?: number;
}

/** Hears events, shows them. `close` leaves the terminal clean. */
export interface RunView {
  hear(event: RunEvent): void;
  close(): void;
}

/** JSON lines, one an event. Rollouts' tokens and updates' per-token arrays stay in events.jsonl: they are bulky. */
export function jsonLinesView(output: Output): RunView {
  return {
    hear(event) {
      if (event.type === 'update') return;
      const shown =
        event.type === 'rollout' ? { ...event, rollout: { ...event.rollout, tokens: undefined } } : event;
      output.write(`${JSON.stringify(shown)}\n`);
    },
    close: () => undefined,
  };
}

/** The few metrics worth a place on one line, in this order. */
const headline = ['loss', 'reward', 'kl', 'grad_norm', 'learning_rate', 'mean_token_accuracy'];

function brief(metrics: Record<string, number>): string {
  return headline
    .filter((name) => metrics[name] !== undefined)
    .map((name) => `${name} ${Number(metrics[name]!.toPrecision(3))}`)
    .join('  ');
}

/** A live line: stage, bar, count, remaining time, newest metrics; warnings and checkpoints above it. */
export function terminalView(output: Output, now: () => number = Date.now): RunView {
  let progress = noProgress;
  let metrics = '';
  let live = false;
  const clear = (): void => {
    if (live) output.write('\r\u001b[2K');
    live = false;
  };
  const say = (text: string): void => {
    clear();
    output.write(`${text}\n`);
  };
  const draw = (): void => {
    const reading = readProgress(progress, now());
    if (!reading) return;
    const width = 20;
    const full = Math.round(reading.fraction * width);
    const left = reading.remainingMs === null ? '' : `  ${formatDuration(reading.remainingMs)} left`;
    const line = `${reading.stage.padEnd(9)} ${'█'.repeat(full)}${'░'.repeat(width - full)} ${reading.done}/${reading.total} ${reading.unit}${left}  ${metrics}`;
    clear();
    output.write(line.slice(0, Math.max(20, (output.columns || 100) - 1)));
    live = true;
  };
  return {
    hear(event) {
      progress = advanceProgress(progress, event);
      if (event.type === 'step') metrics = brief(event.metrics);
      if (event.type === 'warning') say(`! ${event.message}`);
      if (event.type === 'config') metrics = '';
      if (event.type === 'done') {
        const facts = Object.entries(event.summary)
          .filter(([, value]) => typeof value === 'number' || typeof value === 'string')
          .map(
            ([key, value]) =>
              `${key} ${typeof value === 'number' ? Number(value.toPrecision(4)) : String(value)}`,
          );
        say(`✓ ${event.stage.padEnd(9)} ${facts.join('  ')}`);
        metrics = '';
      } else if (event.type === 'progress' || event.type === 'step') draw();
    },
    close: clear,
  };
}
