/**
 * @file The text log beside the event log: every rollout as a dialogue a person can read, every group with its decision,
 * every step with its figures, in the order of the run.
 */
import type { RolloutRecord, RunEvent } from '../../core/run_event.ts';
import type { MirrorFormat } from './mirror.ts';

/** Lines that an event adds to the text log, or null. */
export function textLogEntry(event: RunEvent): string | null {
  switch (event.type) {
    case 'config':
      return `[${event.stage}] version ${event.version}\n${JSON.stringify(event.config, null, 1)}\n`;
    case 'rollout':
      return rolloutEntry(event.rollout);
    case 'group':
      return (
        `[group] ${event.dialogue}: rewards ${event.rewards.map(figure).join(' ')}; advantages ` +
        `${event.advantages.map(figure).join(' ')}; ${event.decision.kept ? 'kept' : 'dropped'}: ${event.decision.reason}\n`
      );
    case 'step':
      return `[${event.stage} step ${event.step}] ${Object.entries(event.metrics)
        .map(([name, value]) => `${name} ${figure(value)}`)
        .join(' · ')}\n`;
    case 'checkpoint':
      return `[${event.stage} step ${event.step}] checkpoint ${event.path}\n`;
    case 'warning':
      return `[warning ${event.code}] ${event.message}\n`;
    case 'metrics':
      return `[${event.stage}] ${event.name} ${JSON.stringify(event.metrics)}\n`;
    case 'done':
      return `[${event.stage}] done ${JSON.stringify(event.summary)}\n`;
    case 'progress':
    case 'cost':
    case 'update':
      return null;
  }
}

/** `log.txt` */
export const textMirror: MirrorFormat = { path: () => 'log.txt', record: textLogEntry };

function rolloutEntry(r: RolloutRecord): string {
  const lines = [`[rollout] ${r.key} (seed ${r.seed})`];
  for (const turn of r.turns) {
    lines.push(`Recommender: ${turn.response}`);
    const marks = [turn.intent, ...(['shown', 'hit', 'accepted'] as const).filter((mark) => turn[mark])];
    lines.push(`  (${marks.join(', ')})`);
    if (turn.reply !== '') lines.push(`Seeker: ${turn.reply}`);
  }
  const outcome = r.success.rewarded ? `success in turn ${r.successTurn}` : 'no success';
  lines.push(`${outcome}; reward ${figure(r.reward)}${r.edited ? '; list rewritten' : ''}`);
  return `${lines.join('\n')}\n\n`;
}

/** Six significant digits, as short as they go. */
function figure(value: number): string {
  return Number.isInteger(value) ? String(value) : String(Number(value.toPrecision(6)));
}
