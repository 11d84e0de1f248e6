import { describe, expect, it } from 'vitest';
import { MemoryStore } from '../../core/memory_store.ts';
import type { InferenceOptions } from '../config/inference_options.ts';
import { samplingOf } from '../config/inference_options.ts';
import { readRolloutRows } from '../data/rollout_rows.ts';
import { testPrompts } from '../testing/prompts.ts';
import { logText, openRun } from '../testing/run.ts';
import { items, question, toyWorld } from '../testing/toy_world.ts';
import type { Catalogue } from '../types.ts';
import type { StageContext } from './context.ts';
import { runInference, type InferenceInput } from './inference.ts';

const options: InferenceOptions = {
  seed: 2,
  turn_num: 3,
  success: 'original',
  hardcore: false,
  last_turn_recommend: false,
  topk: 10,
  num_concurrent: 3,
  max_new_tokens: 6,
  num_beams: 1,
  do_sample: true,
  temperature: 1,
  top_p: 1,
  top_k: 0,
};
const catalogue: Catalogue = {
  items,
  byId: (id) => items[id],
  byName: (name) => items.find((item) => item.name === name),
};
function input(context: StageContext, over: Partial<InferenceOptions> = {}): InferenceInput {
  const { rows, ...world } = toyWorld({ dialogues: 10, bias: { [question]: 1 } });
  return {
    ...world,
    prompts: testPrompts,
    dialogues: rows.map((r) => r.dialogue),
    catalogue,
    maxContext: 500,
    modelName: 'toy',
    options: { ...options, ...over },
    context,
  };
}
const rowsText = (store: MemoryStore) => new TextDecoder().decode(store.files.get('rows.jsonl'));

describe('inference', () => {
  it('writes one row a dialogue, in order, in the format of explore', async () => {
    const store = new MemoryStore();
    const given = input(await openRun(store));
    const summary = await runInference(given);
    const { rows } = readRolloutRows({ name: 'rows.jsonl', text: rowsText(store) });
    expect(rows.map((r) => r.key)).toEqual(given.dialogues.map((d) => `${d.key}/g0`));
    expect(rows.every((r) => r.model === 'toy' && r.generated_dialog.length >= 2)).toBe(true);
    expect(summary.dialogues).toBe(10);
    expect(summary.success.rewarded).toBeCloseTo(rows.filter((r) => r.success!.rewarded).length / 10);
  });

  it('gives the same rows whatever shares the decode batch', async () => {
    const texts = await Promise.all(
      [1, 4, 10].map(async (num_concurrent) => {
        const store = new MemoryStore();
        await runInference(input(await openRun(store), { num_concurrent }));
        return rowsText(store);
      }),
    );
    expect(new Set(texts).size).toBe(1);
  });

  it('continues row by row: file and log equal those of an uninterrupted run', async () => {
    const straight = new MemoryStore();
    await runInference(input(await openRun(straight)));
    for (let stop = 1; stop < 10; stop++) {
      const store = new MemoryStore();
      const context = await openRun(store, { abortWhen: (e) => e.type === 'progress' && e.done === stop });
      await runInference(input(context)).catch((error: unknown) =>
        expect((error as Error).message).toBe('stop'),
      );
      await runInference(input(await openRun(store, { resume: true })));
      expect(rowsText(store)).toBe(rowsText(straight));
      expect(logText(store)).toBe(logText(straight));
    }
  });

  it('turns flags into sampling options', () => {
    expect(samplingOf({ ...options, num_beams: 5, do_sample: false })).toEqual({
      maxNewTokens: 6,
      numBeams: 5,
    });
    expect(samplingOf({ ...options, do_sample: false, top_k: 50 })).toEqual({
      maxNewTokens: 6,
      temperature: 0,
    });
    expect(samplingOf({ ...options, temperature: 0.7, top_k: 50, top_p: 0.9 })).toEqual({
      maxNewTokens: 6,
      temperature: 0.7,
      topK: 50,
      topP: 0.9,
    });
  });

  it('refuses what it cannot honour', async () => {
    const context = await openRun(new MemoryStore());
    await expect(runInference(input(context, { num_beams: 5 }))).rejects.toThrow(
      '--do_sample with --num_beams 5',
    );
    await expect(runInference(input(context, { temperature: 0 }))).rejects.toThrow('--temperature 0');
    await expect(
      runInference({ ...input(context, { last_turn_recommend: true }), ...{ rewriter: undefined } }),
    ).rejects.toThrow('--last_turn_recommend');
  });
});
