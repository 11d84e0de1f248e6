import { describe, expect, it } from 'vitest';
import { MemoryStore } from '../../core/memory_store.ts';
import type { NewRunEvent } from '../../core/run_event.ts';
import { RunLog, eventsFile, readEvents } from './run_log.ts';

function tickingClock() {
  let now = 1000;
  return { now: () => (now += 5), sleep: async () => undefined };
}
const step = (n: number): NewRunEvent => ({ type: 'step', stage: 'sft', step: n, metrics: { loss: 1 / n } });
const text = (store: MemoryStore) => new TextDecoder().decode(store.files.get(eventsFile));

describe('RunLog', () => {
  it('numbers and times events in the order they were emitted', async () => {
    const store = new MemoryStore();
    const log = await RunLog.open(store, tickingClock());
    for (let n = 1; n <= 20; n++) log.emit(step(n));
    await log.flush();
    const { events, torn } = await readEvents(store);
    expect(torn).toBe(false);
    expect(events.map((e) => e.seq)).toEqual(Array.from({ length: 20 }, (_, i) => i));
    expect(events[4]).toEqual({ seq: 4, time: 1025, ...step(5) });
    expect(log.position).toBe(20);
  });

  it('drops a torn last line on reading and cuts it off on opening', async () => {
    const store = new MemoryStore();
    const log = await RunLog.open(store, tickingClock());
    log.emit(step(1));
    log.emit(step(2));
    await log.flush();
    const whole = store.files.get(eventsFile)!;
    for (let cut = 1; cut < 60; cut++) {
      store.files.set(eventsFile, whole.slice(0, whole.length - cut));
      const read = await readEvents(store);
      expect(read.torn).toBe(true);
      expect(read.events.map((e) => e.seq)).toEqual([0]);
      const again = await RunLog.open(store, tickingClock());
      expect(again.position).toBe(1);
      again.emit(step(2));
      await again.flush();
      expect((await readEvents(store)).events.map((e) => e.seq)).toEqual([0, 1]);
    }
  });

  it('after truncation goes on as if the dropped events had never been', async () => {
    const [a, b] = [new MemoryStore(), new MemoryStore()];
    const still = { now: () => 7, sleep: async () => undefined };
    const straight = await RunLog.open(a, still);
    const stopped = await RunLog.open(b, still);
    for (let n = 1; n <= 6; n++) straight.emit(step(n));
    for (let n = 1; n <= 5; n++) stopped.emit(step(n));
    await stopped.truncate(3);
    const resumed = await RunLog.open(b, still);
    for (let n = 4; n <= 6; n++) resumed.emit(step(n));
    await Promise.all([straight.flush(), resumed.flush()]);
    expect(text(b)).toBe(text(a));
  });

  it('names file, line and field of what is no event', async () => {
    const store = new MemoryStore();
    await store.write(eventsFile, `${JSON.stringify({ seq: 0, time: 1, ...step(1) })}\n{"seq":1}\n`);
    await expect(readEvents(store)).rejects.toThrow(/events\.jsonl line 2.*type/);
    await store.write(eventsFile, 'nonsense\n');
    await expect(readEvents(store)).rejects.toThrow(/line 1 is not JSON/);
    await expect((await RunLog.open(store, tickingClock())).truncate(5)).rejects.toThrow(
      /has 1 events.*after 5/,
    );
  });

  it('reports a store that fails, on flush', async () => {
    const store = new MemoryStore();
    const log = await RunLog.open(store, tickingClock());
    store.append = () => Promise.reject(new Error('disk full'));
    log.emit(step(1));
    await expect(log.flush()).rejects.toThrow('disk full');
  });

  it('writes NaN so that it can be read back', async () => {
    const store = new MemoryStore();
    const log = await RunLog.open(store, tickingClock());
    log.emit({ type: 'step', stage: 'grpo', step: 1, metrics: { kl: Number.NaN, loss: 2 } });
    await log.flush();
    const event = (await readEvents(store)).events[0]!;
    expect(event.type === 'step' && event.metrics).toEqual({ kl: Number.NaN, loss: 2 });
  });
});
