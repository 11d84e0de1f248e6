import { describe, expect, it } from 'vitest';
import type { RunEvent } from '../../core/run_event.ts';
import { advanceProgress, formatDuration, noProgress, readProgress } from './progress.ts';

const at = (seq: number, time: number, done: number, total = 100): RunEvent => ({
  type: 'progress',
  stage: 'sft',
  unit: 'steps',
  seq,
  time,
  done,
  total,
});
const run = (events: RunEvent[]) => events.reduce(advanceProgress, noProgress);

describe('progress', () => {
  it('knows nothing before anything happened, and no pace after one event', () => {
    expect(readProgress(noProgress, 0)).toBeNull();
    expect(readProgress(run([at(0, 1000, 0)]), 1000)).toMatchObject({ fraction: 0, remainingMs: null });
  });

  it('is exact at a steady pace, and counts the time since the last event', () => {
    const state = run(Array.from({ length: 11 }, (_, i) => at(i, i * 200, i)));
    expect(readProgress(state, 2000)!.remainingMs).toBeCloseTo(90 * 200);
    expect(readProgress(state, 2150)!.remainingMs).toBeCloseTo(90 * 200 - 150);
    expect(readProgress(state, 2000)!.unitsPerSecond).toBeCloseTo(5);
  });

  it('follows a change of pace, the same in one stride as in many', () => {
    const slow = [at(0, 0, 0), at(1, 100, 1)];
    const oneByOne = run([
      ...slow,
      ...Array.from({ length: 10 }, (_, i) => at(2 + i, 100 + (i + 1) * 300, 2 + i)),
    ]);
    const stride = run([...slow, at(2, 3100, 11)]);
    expect(oneByOne.msPerUnit).toBeCloseTo(stride.msPerUnit!, 8);
    expect(stride.msPerUnit!).toBeGreaterThan(290);
  });

  it('starts afresh when a resumed run goes back, and ends at done', () => {
    const back = run([at(0, 0, 50), at(1, 100, 51), at(2, 9_000_000, 40)]);
    expect(readProgress(back, 9_000_000)).toMatchObject({ done: 40, remainingMs: null });
    const done = advanceProgress(back, { type: 'done', stage: 'sft', summary: {}, seq: 3, time: 9_000_001 });
    expect(readProgress(done, 9_000_001)).toMatchObject({ fraction: 1, remainingMs: 0 });
  });

  it('writes durations as people read them', () => {
    expect(formatDuration(12_400)).toBe('12 s');
    expect(formatDuration(200_000)).toBe('3 min 20 s');
    expect(formatDuration(3_725_000)).toBe('1 h 02 min');
  });
});
