import { describe, expect, it } from 'vitest';
import { MemoryStore } from '../../core/memory_store.ts';
import type { SftOptions } from '../config/sft_options.ts';
import type { SftRow } from '../data/sft_data.ts';
import { ChatTokens } from '../policy/chat_tokens.ts';
import { readEvents } from '../run/run_log.ts';
import { BigramPolicy } from '../testing/bigram_policy.ts';
import { testPrompts } from '../testing/prompts.ts';
import { copyStore, logText, openRun } from '../testing/run.ts';
import { toyTokenizer } from '../testing/toy_tokenizer.ts';
import type { StageContext } from './context.ts';
import { epochOrder, runSft, type SftInput } from './sft.ts';

const words = ['genre?', 'heat', 'jaws', 'film', 'crime', 'shark'];
const tokenizer = toyTokenizer(words, 'qwen');
const chat = new ChatTokens(tokenizer);
const row = (taste: string, title: string): SftRow => ({
  dialog: [{ role: 'user', content: 'film' }],
  interaction: [
    { role: 'assistant', content: 'genre?' },
    { role: 'user', content: taste },
    { role: 'assistant', content: title },
    { role: 'user', content: 'ok' },
  ],
  target_items: [title],
  base_turn: 2,
});
const rows = Array.from({ length: 7 }, (_, i) => (i % 2 ? row('crime', 'heat') : row('shark', 'jaws')));
const options: SftOptions = {
  seed: 3,
  learning_rate: 0.1,
  lr_scheduler_type: 'linear',
  warmup_steps: 2,
  weight_decay: 0.01,
  max_grad_norm: 1,
  save_steps: 3,
  save_total_limit: 2,
  epoch: 3,
  batch_size: 1,
  gradient_accumulation_steps: 2,
  train_only_interaction: true,
  train_seeker_tokens: false,
};
const input = (context: StageContext, over: Partial<SftInput> = {}): SftInput => ({
  policy: new BigramPolicy(tokenizer.vocabSize),
  chat,
  prompts: testPrompts,
  rows,
  maxContext: 512,
  options,
  context,
  ...over,
});
const weightsOf = (store: MemoryStore) => new TextDecoder().decode(store.files.get('adapter/table.json'));

describe('SFT', () => {
  it('learns: the loss falls, the trained policy asks as the teacher does', async () => {
    const store = new MemoryStore();
    const policy = new BigramPolicy(tokenizer.vocabSize);
    const summary = await runSft(
      input(await openRun(store), {
        policy,
        validation: rows.slice(0, 2),
        options: { ...options, epoch: 12, learning_rate: 0.4 },
      }),
    );
    expect(summary).toMatchObject({ steps: 48, examples: 7, adapter: 'adapter' });
    const { events } = await readEvents(store);
    const losses = events.flatMap((e) => (e.type === 'step' && e.metrics['loss'] ? [e.metrics['loss']] : []));
    expect(losses).toHaveLength(48);
    expect(losses[0]!).toBeGreaterThan(4);
    expect(losses.at(-1)!).toBeLessThan(0.8);
    expect(summary.evalLoss!).toBeLessThan(0.8);
    const [reply] = await policy.generate(
      [{ prompt: chat.prompt([{ role: 'user', content: 'film' }]), seed: 1 }],
      {
        maxNewTokens: 8,
        stopTokens: tokenizer.stopTokens,
        temperature: 0,
      },
    );
    expect(['genre?', 'heat', 'jaws']).toContain(chat.text(reply!.tokens));
    expect(reply!.finishReason).toBe('stop');
  });

  it('is the same run, bit for bit, whenever it is stopped and resumed', async () => {
    const straight = new MemoryStore();
    await runSft(input(await openRun(straight), { validation: rows.slice(0, 1) }));
    const steps = 12;
    for (let stop = 1; stop < steps; stop++) {
      const store = new MemoryStore();
      const context = await openRun(store, { abortWhen: (e) => e.type === 'step' && e.step === stop });
      await expect(runSft(input(context, { validation: rows.slice(0, 1) }))).rejects.toThrow('stop');
      await context.log.flush();
      await runSft(input(await openRun(store, { resume: true }), { validation: rows.slice(0, 1) }));
      expect(weightsOf(store)).toBe(weightsOf(straight));
      expect(logText(store)).toBe(logText(straight));
    }
  });

  it('is the same run after a kill at any write, torn checkpoint and torn log line included', async () => {
    const straight = new MemoryStore();
    await runSft(input(await openRun(straight)));
    const snapshots: MemoryStore[] = [];
    const spied = new MemoryStore();
    for (const name of ['write', 'append'] as const) {
      const call = spied[name].bind(spied);
      spied[name] = async (path: string, data: string | Uint8Array) => {
        if (name === 'append') {
          const torn = copyStore(spied);
          await torn.append(path, data.slice(0, Math.floor(data.length / 2)) as string);
          snapshots.push(torn);
        }
        await call(path, data);
        snapshots.push(copyStore(spied));
      };
    }
    await runSft(input(await openRun(spied)));
    expect(snapshots.length).toBeGreaterThan(20);
    for (const store of snapshots) {
      await runSft(input(await openRun(store, { resume: true })));
      expect(weightsOf(store)).toBe(weightsOf(straight));
      expect(logText(store)).toBe(logText(straight));
    }
  });

  it('does not depend on how a step is split into micro steps', async () => {
    const stores = [new MemoryStore(), new MemoryStore()] as const;
    await runSft(
      input(await openRun(stores[0]), {
        options: { ...options, batch_size: 4, gradient_accumulation_steps: 1 },
      }),
    );
    await runSft(
      input(await openRun(stores[1]), {
        options: { ...options, batch_size: 1, gradient_accumulation_steps: 4 },
      }),
    );
    expect(weightsOf(stores[0])).toBe(weightsOf(stores[1]));
  });

  it('visits every example once an epoch, in another order each time', () => {
    const orders = [0, 1, 2].map((epoch) => epochOrder(5, epoch, 40));
    for (const order of orders) expect([...order].sort((a, b) => a - b)).toEqual([...Array(40).keys()]);
    expect(orders[0]).not.toEqual(orders[1]);
    expect(orders[1]).not.toEqual(orders[2]);
  });

  it('refuses a checkpoint of other data', async () => {
    const store = new MemoryStore();
    const context = await openRun(store, { abortWhen: (e) => e.type === 'step' && e.step === 4 });
    await expect(runSft(input(context))).rejects.toThrow('stop');
    const resumed = input(await openRun(store, { resume: true }), { rows: rows.slice(1) });
    await expect(runSft(resumed)).rejects.toThrow(/other training data/);
  });

  it('refuses options it cannot honour, by name', async () => {
    const context = await openRun(new MemoryStore());
    await expect(runSft(input(context, { options: { ...options, epoch: 0 } }))).rejects.toThrow('--epoch');
    await expect(runSft(input(context, { rows: [] }))).rejects.toThrow('train_data has no rows');
  });
});
