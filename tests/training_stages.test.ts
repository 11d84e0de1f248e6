/**
 * @file The training stages on the real engine: a small random model, the toy tokenizer and seeker. What must hold between
 * the two: sampling and training see the same log-probs, a resumed run is the uninterrupted one bit for bit.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { MemoryStore } from '../src/core/memory_store.ts';
import type { RunEvent } from '../src/core/run_event.ts';
import { createEngine, randomModel, type Engine, type ModelConfig } from '../src/gpu/index.ts';
import type { GrpoOptions } from '../src/pipeline/config/grpo_options.ts';
import type { SftOptions } from '../src/pipeline/config/sft_options.ts';
import { readEvents } from '../src/pipeline/run/run_log.ts';
import { runGrpo, type GrpoInput } from '../src/pipeline/stages/grpo.ts';
import { runSft, type SftInput } from '../src/pipeline/stages/sft.ts';
import type { StageContext } from '../src/pipeline/stages/context.ts';
import { testPrompts } from '../src/pipeline/testing/prompts.ts';
import { openRun } from '../src/pipeline/testing/run.ts';
import { toyWorld } from '../src/pipeline/testing/toy_world.ts';
import { releaseDawn, requestDawnDevice } from '../server/dawn.ts';

let device: GPUDevice;
beforeAll(async () => {
  device = await requestDawnDevice();
});
afterAll(() => {
  device.destroy();
  releaseDawn();
});

const { chat } = toyWorld();
const config: ModelConfig = {
  family: 'llama',
  vocabSize: chat.tokenizer.vocabSize,
  hiddenSize: 24,
  intermediateSize: 40,
  numLayers: 2,
  numHeads: 2,
  numKvHeads: 1,
  headDim: 12,
  rmsNormEps: 1e-5,
  ropeTheta: 10000,
  ropeScaling: null,
  maxPositionEmbeddings: 192,
  tieWordEmbeddings: false,
  attentionBias: false,
  qkNorm: false,
};
const engine = (seed = 1): Promise<Engine> =>
  createEngine({
    device,
    model: randomModel(config, 3),
    lora: { r: 4, alpha: 8, dropout: 0.1, targetModules: ['q_proj', 'v_proj', 'down_proj'] },
    seed,
  });

const common = {
  seed: 4,
  lr_scheduler_type: 'linear',
  warmup_steps: 1,
  weight_decay: 0,
  max_grad_norm: 1,
  save_steps: 2,
  save_total_limit: 2,
} as const;
const sftOptions: SftOptions = {
  ...common,
  learning_rate: 0.02,
  epoch: 3,
  batch_size: 2,
  gradient_accumulation_steps: 1,
  train_only_interaction: true,
  train_seeker_tokens: false,
};
const grpoOptions: GrpoOptions = {
  ...common,
  learning_rate: 1e-3,
  epoch: 1,
  ppo_epoch: 1,
  batch_size: 4,
  init_kl_coef: 0.1,
  reward: 0.1,
  bonus: 0.2,
  turn_num: 2,
  turn_num_offset: 0,
  num_generations: 4,
  groups_in_flight: 2,
  max_attempts: 2,
  loss_type: 'learning2interact',
  dynamic_sampling: false,
  sampling_threshold: 0,
  hardcore: false,
  new_tgi: true,
  rerank: true,
  save_turn: 100,
  step_size: 100,
  off_policy: true,
  recommendation_mask: true,
  last_turn_recommend: false,
  rec_success_recommend: false,
  success: 'original',
  max_new_tokens: 5,
  temperature: 0.8,
};

const world = (dialogues: number) => toyWorld({ dialogues });
function sftInput(policy: Engine, context: StageContext): SftInput {
  const rows = world(6).rows.map(({ dialogue, interaction, baseTurn }) => ({
    dialog: dialogue.dialog,
    interaction,
    target_items: dialogue.targets.map((t) => t.name),
    base_turn: baseTurn,
  }));
  const maxContext = policy.maxPositions;
  return { policy, chat, prompts: testPrompts, rows, maxContext, options: sftOptions, context };
}
function grpoInput(policy: Engine, context: StageContext): GrpoInput {
  const { seeker, judge, rewriter, rows } = world(4);
  return {
    policy,
    chat,
    prompts: testPrompts,
    rows,
    seeker,
    judge,
    rewriter,
    maxContext: policy.maxPositions,
    reference: 'current',
    options: grpoOptions,
    context,
  };
}

/** Everything of a run's events but wall-clock figures. */
function figures(events: RunEvent[]): unknown[] {
  return events.map((e) =>
    e.type === 'step'
      ? {
          ...e,
          metrics: Object.fromEntries(
            Object.entries(e.metrics).filter(([k]) => !/^(perf\/|step_time)/.test(k)),
          ),
        }
      : e,
  );
}
const adapter = (store: MemoryStore) => store.files.get('adapter/adapter_model.safetensors');

describe.each([
  ['sft', (p: Engine, c: StageContext) => runSft(sftInput(p, c)), 5],
  ['grpo', (p: Engine, c: StageContext) => runGrpo(grpoInput(p, c)), 2],
] as const)('%s on the engine', (stage, run, stop) => {
  it('gives the same run, bit for bit, when it is stopped and resumed in a new engine', async () => {
    const straight = new MemoryStore();
    const policy = await engine();
    await run(policy, await openRun(straight));
    policy.destroy();
    const { events } = await readEvents(straight);
    const steps = events.filter((e) => e.type === 'step');
    expect(steps.length).toBeGreaterThan(stop);
    expect(adapter(straight)!.length).toBeGreaterThan(1000);
    const store = new MemoryStore();
    const stopped = await engine();
    const context = await openRun(store, { abortWhen: (e) => e.type === 'step' && e.step === stop });
    await expect(run(stopped, context)).rejects.toThrow('stop');
    stopped.destroy();
    if (stage === 'sft') {
      // The newest checkpoint is damaged: the one before it is used.
      const newest = (await store.list('checkpoints')).at(-1)!;
      store.files.set(newest, store.files.get(newest)!.slice(0, -1));
    }
    const resumed = await engine();
    await run(resumed, await openRun(store, { resume: true }));
    resumed.destroy();
    expect(adapter(store)).toEqual(adapter(straight));
    expect(figures((await readEvents(store)).events)).toEqual(figures(events));
    if (stage === 'sft') {
      const losses = steps.map((e) => (e.type === 'step' ? e.metrics['loss']! : NaN));
      expect(losses.at(-1)!).toBeLessThan(losses[0]! - 0.15);
    } else {
      for (const e of steps)
        if (e.type === 'step') expect(e.metrics['sampling/sampling_logp_difference/max']).toBeLessThan(1e-4);
    }
  });
});
