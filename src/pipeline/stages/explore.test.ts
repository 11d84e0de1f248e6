/** @file Explore: rows in order whatever finishes first; stopped anywhere, continued to the same file and log. */
import { describe, expect, it } from 'vitest';
import { MemoryStore } from '../../core/memory_store.ts';
import { hash32 } from '../../core/random.ts';
import { readRolloutRows } from '../data/rollout_rows.ts';
import { eventsFile } from '../run/run_log.ts';
import { LeakGuard } from '../seeker/leak_guard.ts';
import { RuleSeeker } from '../seeker/rule_seeker.ts';
import { RuleTeacher } from '../teacher/rule_teacher.ts';
import { copyStore, openRun } from '../testing/run.ts';
import { smallDialogue, smallTools } from '../testing/small_catalogue.ts';
import type { Recommender } from '../types.ts';
import { runExplore, type ExploreInput } from './explore.ts';

const tools = smallTools();
const { catalogue, titles } = tools;
const dialogues = Array.from({ length: 12 }, (_, n) => smallDialogue(catalogue, n * 3));
const teacher = new RuleTeacher({ catalogue, titles, seed: 1, errorRate: 0.3 });
const seeker = new LeakGuard(new RuleSeeker({ titles, byId: (id) => catalogue.byId(id) }));
const path = 'rollouts.jsonl';

/** A teacher that costs tokens and takes a different number of ticks for every dialogue. */
function uneven(
  hooks: { fail?: (dialogue: number) => Error | undefined; asked?: number[] } = {},
): Recommender {
  return {
    name: 'local:uneven',
    respond: async (states) => {
      const [state] = states;
      hooks.asked?.push(state!.dialogue.index);
      for (let tick = hash32(state!.seed, state!.turn) % 30; tick > 0; tick--) await Promise.resolve();
      const error = hooks.fail?.(state!.dialogue.index);
      if (error) throw error;
      const turns = await teacher.respond(states);
      return turns.map((turn) => ({
        ...turn,
        model: 'uneven-v2',
        usage: { promptTokens: 5, completionTokens: 2, costUsd: 0.25 },
      }));
    },
  };
}

async function explore(
  store: MemoryStore,
  options: Partial<ExploreInput> & { resume?: boolean; stopAfter?: number } = {},
) {
  const { resume, stopAfter, ...input } = options;
  const context = await openRun(store, {
    ...(resume ? { resume } : {}),
    ...(stopAfter === undefined
      ? {}
      : {
          abortWhen: (event) =>
            event.type === 'progress' && event.done === stopAfter && event.stage === 'explore',
        }),
  });
  return runExplore({
    dialogues,
    catalogue,
    participants: { recommender: uneven(), seeker, judge: tools.judge },
    settings: { seed: 4, turnNum: 3, success: 'original' },
    topk: 10,
    numConcurrent: 4,
    path,
    ...input,
    context,
  });
}
const text = (store: MemoryStore, file = path) => new TextDecoder().decode(store.files.get(file));

describe('runExplore', () => {
  it('writes one row a dialogue, in order, with what the original writes and ours', async () => {
    const store = new MemoryStore();
    const summary = await explore(store);
    const { rows } = readRolloutRows({ name: path, text: text(store) });
    expect(rows.map(({ id }) => id)).toEqual(dialogues.map(({ index }) => index));
    for (const row of rows) {
      expect(row.given_dialog).toEqual(dialogues[0]!.dialog);
      expect(row.topk_ids).toHaveLength(10);
      expect(row.topk_ids.map((id) => catalogue.byId(id)!.name)).toEqual(row.topk_names);
      expect(row.generated_dialog).toHaveLength(2 * row.turns!.length);
      expect(row.rec_success).toBe(row.success!.rewarded);
      expect(row.rec_success).toBe(row.success_turn! > 0);
      expect(row.model).toBe('uneven-v2');
      expect(row.usage!.recommender).toEqual({
        promptTokens: 5 * row.turns!.length,
        completionTokens: 2 * row.turns!.length,
        costUsd: 0.25 * row.turns!.length,
      });
    }
    const successes = rows.filter(({ rec_success }) => rec_success).length;
    expect(successes).toBeGreaterThan(0);
    expect(successes).toBeLessThan(rows.length);
    expect(summary).toMatchObject({ dialogues: 12, success: { rewarded: successes / 12 }, malformed: 0 });
    expect(summary.costUsd).toBeCloseTo(0.25 * rows.reduce((n, row) => n + row.turns!.length, 0), 12);
    expect(store.files.has(`${path}.pending`)).toBe(false);
  });

  it('gives the same file and log with any number in flight', async () => {
    const one = new MemoryStore();
    const many = new MemoryStore();
    await explore(one, { numConcurrent: 1 });
    await explore(many, { numConcurrent: 12 });
    expect(text(many)).toBe(text(one));
    expect(text(many, eventsFile)).toBe(text(one, eventsFile));
    const participants = { recommender: teacher, seeker, judge: tools.judge };
    const apart = new MemoryStore();
    const inStep = new MemoryStore();
    await explore(apart, { participants });
    await explore(inStep, { participants, inStep: true, numConcurrent: 5 });
    expect(text(inStep)).toBe(text(apart));
  });

  it('continues after a stop at any row to the same file and log', async () => {
    const whole = new MemoryStore();
    await explore(whole);
    for (const stopAfter of [0, 1, 5, 11]) {
      const store = new MemoryStore();
      await expect(explore(store, { stopAfter })).rejects.toThrow('stop');
      await explore(store, { resume: true });
      expect(text(store)).toBe(text(whole));
      expect(text(store, eventsFile)).toBe(text(whole, eventsFile));
    }
  });

  it('continues after a cut at any byte of the rows, and of the log', async () => {
    const whole = new MemoryStore();
    await explore(whole);
    const rows = whole.files.get(path)!;
    const events = whole.files.get(eventsFile)!;
    for (let i = 0; i <= 40; i++) {
      const store = copyStore(whole);
      store.files.set(path, rows.slice(0, Math.floor((rows.length * i) / 40)));
      store.files.set(eventsFile, events.slice(0, Math.floor((events.length * ((i * 17) % 41)) / 40)));
      if (text(store, eventsFile).indexOf('\n') < 0) continue;
      await explore(store, { resume: true });
      expect(text(store)).toBe(text(whole));
      expect(text(store, eventsFile)).toBe(text(whole, eventsFile));
    }
  });

  it('keeps what was finished out of order, and does not ask for it again', async () => {
    const whole = new MemoryStore();
    await explore(whole);
    const store = new MemoryStore();
    const fail = (dialogue: number) => (dialogue === 3 ? new Error('provider down') : undefined);
    const recommender = uneven({ fail });
    await expect(
      explore(store, { participants: { recommender, seeker, judge: tools.judge } }),
    ).rejects.toThrow('provider down');
    const waiting = readRolloutRows({ name: 'pending', text: text(store, `${path}.pending`) }).rows;
    expect(waiting.length).toBeGreaterThan(0);
    const asked: number[] = [];
    await explore(store, {
      resume: true,
      participants: { recommender: uneven({ asked }), seeker, judge: tools.judge },
    });
    for (const { id } of waiting) expect(asked).not.toContain(id);
    expect(asked).toContain(3);
    expect(text(store)).toBe(text(whole));
    expect(text(store, eventsFile)).toBe(text(whole, eventsFile));
  });

  it('continues a finished run by doing nothing, and refuses rows of another run', async () => {
    const store = new MemoryStore();
    await explore(store);
    const before = text(store);
    const asked: number[] = [];
    await explore(store, {
      resume: true,
      participants: { recommender: uneven({ asked }), seeker, judge: tools.judge },
    });
    expect(asked).toEqual([]);
    expect(text(store)).toBe(before);
    await expect(explore(store, { resume: true, dialogues: dialogues.slice(2) })).rejects.toThrow(
      'does not belong',
    );
  });

  it('starts afresh without resume', async () => {
    const store = new MemoryStore();
    await explore(store, { dialogues: dialogues.slice(0, 2) });
    store.files.delete(eventsFile);
    await explore(store, { dialogues: dialogues.slice(5, 7) });
    expect(readRolloutRows({ name: path, text: text(store) }).rows.map(({ id }) => id)).toEqual([15, 18]);
  });
});
