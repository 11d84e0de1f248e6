/** @file The step metrics of a run as CSV (RFC 4180): one row a step and stage, one column a metric, empty where absent. */
import type { RunEvent } from '../../core/run_event.ts';

/** CSV text of a run's `step` events; metrics of one step that came in several events share a row. */
export function metricsCsv(events: readonly RunEvent[]): string {
  const columns = new Set<string>();
  const rows = new Map<string, { stage: string; step: number; metrics: Record<string, number> }>();
  for (const event of events) {
    if (event.type !== 'step') continue;
    const key = `${event.stage} ${event.step}`;
    const row = rows.get(key) ?? { stage: event.stage, step: event.step, metrics: {} };
    Object.assign(row.metrics, event.metrics);
    rows.set(key, row);
    for (const name of Object.keys(event.metrics)) columns.add(name);
  }
  const names = [...columns];
  const lines = [['stage', 'step', ...names].map(cell).join(',')];
  for (const { stage, step, metrics } of rows.values())
    lines.push(
      [stage, String(step), ...names.map((n) => (n in metrics ? String(metrics[n]) : ''))]
        .map(cell)
        .join(','),
    );
  return `${lines.join('\r\n')}\r\n`;
}

const cell = (text: string): string => (/[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
