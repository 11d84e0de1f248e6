import { describe, expect, it } from 'vitest';
import { MemoryStore } from '../../core/memory_store.ts';
import type { RunEvent } from '../../core/run_event.ts';
import type { GrpoOptions } from '../config/grpo_options.ts';
import { readEvents } from '../run/run_log.ts';
import { copyStore, logText, openRun } from '../testing/run.ts';
import { testPrompts } from '../testing/prompts.ts';
import { badList, toyWorld, type ToyOptions } from '../testing/toy_world.ts';
import type { StageContext } from './context.ts';
import { runGrpo, type GrpoInput } from './grpo.ts';

const options: GrpoOptions = {
  seed: 11,
  learning_rate: 0.3,
  lr_scheduler_type: 'constant',
  warmup_steps: 0,
  weight_decay: 0,
  max_grad_norm: 1,
  save_steps: 2,
  save_total_limit: 2,
  epoch: 2,
  ppo_epoch: 1,
  batch_size: 8,
  init_kl_coef: 0.01,
  reward: 0,
  bonus: 0,
  turn_num: 2,
  turn_num_offset: 0,
  num_generations: 4,
  groups_in_flight: 4,
  max_attempts: 3,
  loss_type: 'learning2interact',
  dynamic_sampling: false,
  sampling_threshold: 0,
  hardcore: false,
  new_tgi: false,
  rerank: false,
  save_turn: 1000,
  step_size: 350000,
  off_policy: false,
  recommendation_mask: false,
  last_turn_recommend: false,
  rec_success_recommend: false,
  success: 'original',
  max_new_tokens: 6,
  temperature: 1,
};

function input(context: StageContext, over: Partial<GrpoOptions> = {}, world: ToyOptions = {}): GrpoInput {
  const { chat, policy, seeker, judge, rewriter, rows } = toyWorld(world);
  return {
    policy,
    chat,
    prompts: testPrompts,
    rows,
    seeker,
    judge,
    rewriter,
    maxContext: 2048,
    reference: 'current',
    options: { ...options, ...over },
    context,
  };
}

/** Run to the end in a fresh store. */
async function finished(over: Partial<GrpoOptions> = {}, world: ToyOptions = {}) {
  const store = new MemoryStore();
  const given = input(await openRun(store), over, world);
  const summary = await runGrpo(given);
  const { events } = await readEvents(store);
  return { ...given, store, summary, events };
}
type Of<T extends RunEvent['type']> = Extract<RunEvent, { type: T }>;
const all = <T extends RunEvent['type']>(events: RunEvent[], type: T): Of<T>[] =>
  events.filter((e): e is Of<T> => e.type === type);
const weightsOf = (store: MemoryStore) => new TextDecoder().decode(store.files.get('adapter/table.json'));

describe('GRPO', () => {
  it('learns: the share of successful rollouts rises to nearly all', async () => {
    const { events, summary } = await finished({ epoch: 8 });
    const rates = all(events, 'step').map((e) => e.metrics['rollouts/success_rewarded']!);
    const mean = (values: number[]) => values.reduce((a, b) => a + b) / values.length;
    expect(summary).toMatchObject({ dialogues: 64, groups: 64, updates: 32, steps: 32, leftOver: 0 });
    expect(mean(rates.slice(0, 4))).toBeLessThan(0.6);
    expect(mean(rates.slice(-4))).toBeGreaterThan(0.9);
  });

  it('samples what it trains on: recorded log-probs are the teacher-forced ones', async () => {
    const { events } = await finished();
    for (const { metrics } of all(events, 'step'))
      expect(metrics['sampling/sampling_logp_difference/max']).toBeLessThan(1e-6);
    const ratios = all(events, 'update').flatMap((e) => e.rollouts.flatMap((r) => r.ratios));
    for (const r of ratios) expect(r).toBeCloseTo(1, 5);
  });

  it('reports TRL metric names and its own', async () => {
    const { events } = await finished();
    const { metrics } = all(events, 'step')[0]!;
    for (const name of [
      'loss',
      'grad_norm',
      'learning_rate',
      'epoch',
      'num_tokens',
      'step_time',
      'reward',
      'reward_std',
      'rewards/success/mean',
      'rewards/bonus/std',
      'frac_reward_zero_std',
      'kl',
      'clip_ratio/low_mean',
      'clip_ratio/high_max',
      'clip_ratio/region_mean',
      'completions/mean_length',
      'completions/clipped_ratio',
      'sampling/sampling_logp_difference/mean',
      'rollouts/success_shown',
      'rollouts/success_retrieved',
      'rollouts/success_accepted',
      'rollouts/success_last_turn',
      'rollouts/turns',
      'rollouts/malformed',
      'rollouts/resampled',
      'rollouts/edited_fraction',
    ])
      expect(metrics, name).toHaveProperty([name]);
    const objective = all(events, 'metrics').find((e) => e.name === 'objective')!.metrics;
    expect(objective).toMatchObject({
      aggregation: { rule: 'token_mean' },
      advantages: { ddof: 1, eps: 1e-6, scale: 'group' },
    });
  });

  it('does not depend on how many groups are in flight', async () => {
    const one = await finished({ groups_in_flight: 1 });
    const many = await finished({ groups_in_flight: 7 });
    expect(weightsOf(one.store)).toBe(weightsOf(many.store));
    const keys = (events: RunEvent[]) => all(events, 'rollout').map((e) => e.rollout.key);
    expect(keys(one.events)).toEqual(keys(many.events));
  });

  it('carries kept rollouts over when groups do not fill a batch evenly', async () => {
    const { events, summary } = await finished({ batch_size: 6, epoch: 1 });
    expect(all(events, 'update').every((e) => e.rollouts.length === 6)).toBe(true);
    expect(summary).toMatchObject({ groups: 8, updates: 5, leftOver: 2 });
    expect(all(events, 'warning').map((e) => e.code)).toContain('rollouts_left_over');
  });

  it('makes ppo_epoch · mini-batches optimizer steps of each batch', async () => {
    const { events, summary } = await finished({ ppo_epoch: 2, mini_batch_size: 3, epoch: 1 });
    expect(summary).toMatchObject({ updates: 4, steps: 4 * 2 * 3 });
    const sizes = all(events, 'update')
      .slice(0, 6)
      .map((e) => e.rollouts.length);
    expect(sizes).toEqual([3, 3, 2, 3, 3, 2]);
    const visits = all(events, 'update')
      .slice(0, 6)
      .flatMap((e) => e.rollouts.map((r) => r.key));
    expect(new Set(visits).size).toBe(8);
  });

  const resumable: [string, Partial<GrpoOptions>][] = [
    ['plain', {}],
    [
      'half-collected batches, dynamic sampling, TGI, teacher rows, re-ranking',
      {
        batch_size: 6,
        dynamic_sampling: true,
        new_tgi: true,
        off_policy: true,
        rerank: true,
        bonus: 0.5,
        mini_batch_size: 4,
        save_turn: 3,
      },
    ],
  ];

  it.each(resumable)('is the same run whenever it is stopped and resumed: %s', async (_, over) => {
    const straight = await finished(over);
    for (const n of [1, 2, 3, 5, 8, 11, 15]) {
      const store = new MemoryStore();
      const context = await openRun(store, { abortWhen: (e) => e.type === 'progress' && e.done >= n });
      const stopped = runGrpo(input(context, over));
      // The last dialogues may be done when the wish to stop is heard.
      await stopped.catch((error: unknown) => expect((error as Error).message).toBe('stop'));
      await context.log.flush();
      await runGrpo(input(await openRun(store, { resume: true }), over));
      expect(weightsOf(store)).toBe(weightsOf(straight.store));
      expect(logText(store)).toBe(logText(straight.store));
    }
  });

  it.each(resumable)('is the same run after a kill at any write: %s', async (_, over) => {
    const straight = await finished({ ...over, epoch: 1 });
    const snapshots: MemoryStore[] = [];
    const spied = new MemoryStore();
    for (const name of ['write', 'append'] as const) {
      const call = spied[name].bind(spied);
      spied[name] = async (path: string, data: string | Uint8Array) => {
        await call(path, data);
        snapshots.push(copyStore(spied));
      };
    }
    await runGrpo(input(await openRun(spied), { ...over, epoch: 1 }));
    expect(snapshots.length).toBeGreaterThan(15);
    for (const store of snapshots.filter((_, i) => i % 2 === 0)) {
      await runGrpo(input(await openRun(store, { resume: true }), { ...over, epoch: 1 }));
      expect(weightsOf(store)).toBe(weightsOf(straight.store));
      expect(logText(store)).toBe(logText(straight.store));
    }
  });

  it('stops in the middle of a generation without losing the half-collected batch', async () => {
    const over = { batch_size: 12, groups_in_flight: 1, save_steps: 100 };
    const straight = await finished(over);
    const store = new MemoryStore();
    const context = await openRun(store);
    const controller = new AbortController();
    const given = input({ ...context, signal: controller.signal }, over);
    const generate = given.policy.generate.bind(given.policy);
    let calls = 0;
    given.policy.generate = (requests, o) => {
      if (++calls === 10) controller.abort(new DOMException('stop', 'AbortError'));
      return generate(requests, o);
    };
    await expect(runGrpo(given)).rejects.toThrow('stop');
    await runGrpo(input(await openRun(store, { resume: true }), over));
    expect(weightsOf(store)).toBe(weightsOf(straight.store));
    expect(logText(store)).toBe(logText(straight.store));
  });

  it('drops groups by the count of successes, never by the sum of rewards', async () => {
    const { events } = await finished({ dynamic_sampling: true, sampling_threshold: 1, reward: 5, epoch: 3 });
    const groups = all(events, 'group');
    let dropped = 0;
    for (const { rewards, decision } of groups) {
      const successes = rewards.filter((r) => r > 0).length;
      expect(decision.kept).toBe(successes === 2);
      if (!decision.kept) dropped++;
    }
    expect(dropped).toBeGreaterThan(0);
    const counted = all(events, 'step').reduce((n, e) => n + (e.metrics['rollouts/groups_dropped'] ?? 0), 0);
    expect(counted).toBeLessThanOrEqual(dropped);
    const used = new Set(all(events, 'update').flatMap((e) => e.rollouts.map((r) => r.key.split('/')[0])));
    expect(used.size).toBeGreaterThan(0);
  });

  it('samples invalid rollouts again, up to the cap, and counts why', async () => {
    const world: ToyOptions = { bias: { [badList]: 1.5 }, dialogues: 4 };
    const { events } = await finished({ epoch: 1, max_attempts: 2, reward: 0.3, batch_size: 16 }, world);
    const { metrics } = all(events, 'step')[0]!;
    const invalid = all(events, 'rollout').filter((e) => e.rollout.turns.some((t) => t.response === badList));
    expect(metrics['rollouts/resampled']).toBe(metrics['rollouts/reason/fewer_than_ten']);
    expect(metrics['rollouts/resampled']).toBeGreaterThan(0);
    expect(metrics['rollouts/kept_invalid']).toBe(invalid.length);
    expect(metrics['rollouts/reason/kept_as_failure:fewer_than_ten']).toBe(invalid.length);
    for (const { rollout } of invalid) expect(rollout.reward).toBe(-0.3);
  });

  it('accepts any form with off_formatcheck', async () => {
    const world: ToyOptions = { bias: { [badList]: 1.5 }, dialogues: 4 };
    const { events } = await finished({ epoch: 1, off_formatcheck: true }, world);
    expect(all(events, 'step')[0]!.metrics['rollouts/resampled']).toBe(0);
  });

  it('ends endless malformed seekers too', async () => {
    const { events, summary } = await finished(
      { epoch: 1 },
      { malformedReplies: Infinity, dialogues: 2, bias: { [badList]: -9 } },
    );
    expect(summary.groups).toBe(2);
    const { metrics } = all(events, 'step')[0]!;
    expect(metrics['rollouts/reason/malformed_reply']).toBe(2 * 4 * 2);
    expect(metrics['rollouts/kept_invalid']).toBe(8);
    expect(metrics['frac_reward_zero_std']).toBe(1);
  });

  it('counts what the seeker used, thrown-away attempts included', async () => {
    const store = new MemoryStore();
    const given = input(await openRun(store), { epoch: 1 }, { bias: { [badList]: 1 }, dialogues: 2 });
    let replies = 0;
    const seeker = {
      name: 'paid',
      reply: async (states: Parameters<typeof given.seeker.reply>[0]) => {
        replies += states.length;
        const said = await given.seeker.reply(states);
        const usage = { promptTokens: 10, completionTokens: 2, costUsd: 0.25 };
        return said.map((reply) => ({ ...reply, model: 'served', usage, leaks: 1 }));
      },
    };
    await runGrpo({ ...given, seeker });
    const { events } = await readEvents(store);
    const { metrics } = all(events, 'step')[0]!;
    expect(metrics['rollouts/resampled']).toBeGreaterThan(0);
    expect(metrics['teacher/tokens']).toBe(12 * replies);
    expect(metrics['teacher/cost_usd']).toBe(0.25 * replies);
    expect(metrics['rollouts/leaks']).toBe(replies);
    const costs = all(events, 'cost');
    expect(costs.map((e) => e.model)).toEqual(['served', 'served']);
    expect(costs.reduce((sum, e) => sum + e.costUsd, 0)).toBe(0.25 * replies);
  });

  it('puts the teacher in one row of each group, at ratio 1', async () => {
    const { events } = await finished({ off_policy: true, new_tgi: true, epoch: 1 });
    expect(all(events, 'step')[0]!.metrics['rollouts/off_policy_fraction']).toBeGreaterThan(0);
    const taught = all(events, 'rollout').filter((e) =>
      e.rollout.turns.some((t) => t.response === 'what about'),
    );
    expect(taught.length).toBeGreaterThan(0);
    for (const { rollout } of taught) {
      expect(rollout.generation % 4).toBe(3);
      expect(rollout.success.rewarded).toBe(true);
      expect(rollout.tokens!.logprobs.every((lp) => lp === 0)).toBe(true);
    }
    const used = all(events, 'update').flatMap((e) => e.rollouts);
    for (const { rollout } of taught)
      for (const r of used.find((u) => u.key === rollout.key)!.ratios) expect(r).toBeCloseTo(1, 6);
  });

  it('trains on the rewritten list of a success, scored by the policy itself', async () => {
    const { events } = await finished({ rerank: true, epoch: 1 });
    const edited = all(events, 'rollout').filter((e) => e.rollout.edited);
    expect(edited.length).toBeGreaterThan(0);
    expect(all(events, 'step')[0]!.metrics['rollouts/edited_fraction']).toBeGreaterThan(0);
    for (const { rollout } of edited) {
      expect(rollout.turns.at(-1)!.response).toBe('ten best: Heat (1995)');
      const update = all(events, 'update')
        .flatMap((e) => e.rollouts)
        .find((u) => u.key === rollout.key)!;
      const last = rollout.tokens!.lossMask.lastIndexOf(1);
      expect(update.logprobs[last]).toBeLessThan(0);
      for (const r of update.ratios) expect(r).toBeCloseTo(1, 5);
    }
  });

  it('refuses a reference that is not the model it starts from', async () => {
    const given = input(await openRun(new MemoryStore()));
    const { policy } = toyWorld({ bias: { 'Heat (1995)': 2 } });
    await expect(runGrpo({ ...given, reference: await policy.exportWeights() })).rejects.toThrow(
      /reference is not the model that training starts from/,
    );
  });

  it('refuses to go on with another reference', async () => {
    const store = new MemoryStore();
    const context = await openRun(store, { abortWhen: (e) => e.type === 'progress' && e.done >= 4 });
    await expect(runGrpo(input(context))).rejects.toThrow('stop');
    const other = input(await openRun(store, { resume: true }), {}, { bias: { 'Jaws (1975)': 3 } });
    await expect(runGrpo(other)).rejects.toThrow(/reference differs/);
  });

  it('continues the original way: --model_path, --ref_path, --resume_start', async () => {
    const first = await finished({ save_turn: 5, max_steps: 4, epoch: 1 });
    const folder = (await first.store.list('adapters'))[0]!;
    expect(folder).toBe('adapters/dialogue-000005/table.json');
    const adapter = new Map([['table.json', first.store.files.get(folder)!]]);
    const store = new MemoryStore();
    const world = toyWorld();
    const given = input(await openRun(store), { resume_start: 5, epoch: 1 });
    const sft = await world.policy.exportWeights();
    world.policy.loadWeights(adapter);
    const summary = await runGrpo({ ...given, policy: world.policy, reference: sft });
    expect(summary.dialogues).toBe(3);
    const visited = (events: RunEvent[]) => all(events, 'group').map((e) => e.dialogue);
    const rest = visited((await readEvents(store)).events);
    const whole = await finished({ epoch: 1 });
    expect(rest).toEqual(visited(whole.events).slice(5));
    await expect(runGrpo(input(await openRun(new MemoryStore()), { resume_start: 99 }))).rejects.toThrow(
      '--resume_start 99',
    );
  });

  const refused: [string, Partial<GrpoOptions>][] = [
    ['top_k', { top_k: 50 }],
    ['top_p', { top_p: 0.9 }],
    ['num_beams', { num_beams: 5 }],
    ['temperature', { temperature: 0 }],
    ['sampling_threshold', { dynamic_sampling: true, sampling_threshold: 2 }],
    ['turn_num_offset', { turn_num_offset: 2 }],
    ['mini_batch_size', { mini_batch_size: 99 }],
    ['loss_type', { loss_type: 'ppo' }],
    ['num_generations', { num_generations: 1 }],
  ];
  it.each(refused)('refuses what it cannot honour: %s', async (flag, over) => {
    await expect(runGrpo(input(await openRun(new MemoryStore()), over))).rejects.toThrow(flag);
  });

  it('refuses flags that need a teacher when the data has none', async () => {
    for (const flag of ['new_tgi', 'off_policy'] as const) {
      const given = input(await openRun(new MemoryStore()), { [flag]: true });
      const rows = given.rows.map((row) => ({ ...row, interaction: [], baseTurn: 0 }));
      await expect(runGrpo({ ...given, rows })).rejects.toThrow(`--${flag}`);
    }
  });
});
