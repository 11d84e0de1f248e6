import { describe, expect, it } from 'vitest';
import { MemoryStore } from '../../core/memory_store.ts';
import type { NewRunEvent } from '../../core/run_event.ts';
import { mirrorLog, tensorboardMirror } from './mirror.ts';
import { RunLog, readEvents } from './run_log.ts';
import { tensorboardFile } from './tensorboard.ts';
import { textLogEntry, textMirror } from './text_logs.ts';

const clock = { now: () => 1_700_000_000_000, sleep: async () => undefined };
const step = (n: number): NewRunEvent => ({
  type: 'step',
  stage: 'sft',
  step: n,
  metrics: { loss: 1 / 8 / n },
});

describe('mirrors', () => {
  it('equal what the whole log would give, also after a stop and a cut', async () => {
    const store = new MemoryStore();
    const first = await RunLog.open(store, clock);
    const before = mirrorLog(first, store, tensorboardMirror);
    for (let n = 1; n <= 5; n++) first.emit(step(n));
    await before.close();

    const second = await RunLog.open(store, clock);
    const mirrors = [mirrorLog(second, store, tensorboardMirror), mirrorLog(second, store, textMirror)];
    // The host says something before the stage cuts the log back: its numbers are given again.
    second.emit({ type: 'warning', stage: 'sft', code: 'x', message: 'about to be cut' });
    await new Promise((resolve) => setTimeout(resolve, 5));
    await second.truncate(3);
    second.emit(step(40));
    await second.flush();
    second.emit(step(50));
    for (const m of mirrors) await m.close();

    const { events } = await readEvents(store);
    expect(events.map((e) => e.type === 'step' && e.step)).toEqual([1, 2, 3, 40, 50]);
    const names = (await store.list('tensorboard')).map((p) => p.split('/')[1]);
    expect(names).toEqual(['events.out.tfevents.1700000000.tart']);
    expect(await store.read(`tensorboard/${names[0]}`)).toEqual(tensorboardFile(events));
    expect(new TextDecoder().decode((await store.read('log.txt'))!)).toBe(events.map(textLogEntry).join(''));
  });

  it('write a rollout as a dialogue', () => {
    const text = textLogEntry({
      type: 'rollout',
      stage: 'grpo',
      step: 1,
      seq: 0,
      time: 0,
      rollout: {
        key: 'demo/3#1',
        dialogue: 'demo/3',
        generation: 1,
        turns: [
          {
            response: 'What do you like?',
            reply: 'Heist films.',
            intent: 'inquiry',
            listed: [],
            retrieved: [],
            shown: false,
            hit: false,
            accepted: false,
          },
        ],
        reward: -0.5,
        success: { shown: false, retrieved: false, accepted: false, rewarded: false },
        successTurn: 0,
        edited: false,
        malformed: 0,
        seed: 9,
      },
    });
    expect(text).toContain(
      'Recommender: What do you like?\n  (inquiry)\nSeeker: Heist films.\nno success; reward -0.5',
    );
  });
});
