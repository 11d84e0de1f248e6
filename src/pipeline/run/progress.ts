/** @file Progress and remaining time of a stage, from its `progress` events. Pure: a reducer and a reading. */
import type { RunEvent, Stage } from '../../core/run_event.ts';

/** Where a stage stands. Times in milliseconds since the epoch. */
export interface ProgressState {
  stage: Stage | null;
  done: number;
  total: number;
  unit: string;
  /** Time of the last progress event. */
  lastTime: number;
  /** Smoothed milliseconds per unit; null until two progress events were seen. */
  msPerUnit: number | null;
  finished: boolean;
}

export interface ProgressReading {
  stage: Stage;
  done: number;
  total: number;
  unit: string;
  /** 0 … 1 */
  fraction: number;
  unitsPerSecond: number | null;
  /** null while nothing is known. */
  remainingMs: number | null;
}

export const noProgress: ProgressState = {
  stage: null,
  done: 0,
  total: 0,
  unit: '',
  lastTime: 0,
  msPerUnit: null,
  finished: false,
};

/** Weight of the newest stretch in the moving average. */
const smoothing = 0.3;

/** Take one event into account. A new stage, or progress that went back (a resumed run), starts the estimate afresh. */
export function advanceProgress(state: ProgressState, event: RunEvent): ProgressState {
  if (event.type === 'done')
    return event.stage === state.stage ? { ...state, finished: true, done: state.total } : state;
  if (event.type !== 'progress') return state;
  const { stage, done, total, unit, time } = event;
  const same = state.stage === stage && state.unit === unit && done >= state.done;
  if (!same) return { stage, done, total, unit, lastTime: time, msPerUnit: null, finished: false };
  const units = done - state.done;
  if (units === 0) return { ...state, total };
  const pace = (time - state.lastTime) / units;
  const weight = 1 - (1 - smoothing) ** units;
  const msPerUnit = state.msPerUnit === null ? pace : state.msPerUnit + weight * (pace - state.msPerUnit);
  return { stage, done, total, unit, lastTime: time, msPerUnit, finished: false };
}

/** Read the estimate at a moment; time since the last event counts against what remains. Null before any progress. */
export function readProgress(state: ProgressState, now: number): ProgressReading | null {
  if (state.stage === null) return null;
  const { stage, done, total, unit, msPerUnit } = state;
  const left = Math.max(0, total - done);
  const remainingMs = state.finished
    ? 0
    : msPerUnit === null
      ? null
      : Math.max(0, left * msPerUnit - Math.max(0, now - state.lastTime));
  return {
    stage,
    done,
    total,
    unit,
    fraction: state.finished ? 1 : total > 0 ? Math.min(1, done / total) : 0,
    unitsPerSecond: msPerUnit !== null && msPerUnit > 0 ? 1000 / msPerUnit : null,
    remainingMs,
  };
}

/** `1 h 02 min`, `3 min 20 s`, `12 s`. */
export function formatDuration(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1000));
  const [h, m, s] = [Math.floor(seconds / 3600), Math.floor((seconds % 3600) / 60), seconds % 60];
  if (h > 0) return `${h} h ${String(m).padStart(2, '0')} min`;
  if (m > 0) return `${m} min ${String(s).padStart(2, '0')} s`;
  return `${s} s`;
}
