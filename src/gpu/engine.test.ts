/**
 * @file What the engine promises beyond its numbers (those are held to the float64 reference in tests/reference): the same bits
 * again, resuming, independence of the split, the kernels of real GPUs, f16 weights, errors that say what to do.
 */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { releaseDawn, requestDawnDevice } from '../../server/dawn.ts';
import { randomAdapter, randomBatch, randomConfig, randomSource } from '../../tests/support/odd_models.ts';
import { policyObjective } from '../core/loss/loss_types.ts';
import type { TrainSequence } from '../core/policy.ts';
import type { Engine, EngineOptions } from './engine.ts';
import { createEngine } from './engine.ts';
import { f16ToF32, f32ToF16 } from './formats/half.ts';
import type { ModelSource } from './formats/model_source.ts';
import { readPeftFiles } from './formats/peft.ts';

let device: GPUDevice;
const engines: Engine[] = [];
beforeAll(async () => {
  device = await requestDawnDevice();
});
afterEach(() => {
  for (const made of engines.splice(0)) made.destroy();
});
afterAll(() => {
  device.destroy();
  releaseDawn();
});

const config = { ...randomConfig('qwen3', 3), vocabSize: 37, numLayers: 2, maxPositionEmbeddings: 64 };
const model = randomSource(config, 3);
const batch = randomBatch(config, 3, [13, 6, 5, 30, 2, 9]);
const sft = { kind: 'sft' } as const;
const adam = { learningRate: 1e-2, maxGradNorm: 1 };
const dropout = { r: 3, alpha: 6, dropout: 0.2, targetModules: ['q_proj', 'v_proj', 'down_proj'] } as const;

async function engine(options: Partial<EngineOptions> = {}): Promise<Engine> {
  const made = await createEngine({ device, model, ...options });
  engines.push(made);
  return made;
}

const largestDifference = (
  a: ReadonlyMap<string, Float32Array>,
  b: ReadonlyMap<string, Float32Array>,
): number => {
  let worst = 0;
  for (const [name, values] of a) {
    const others = b.get(name)!;
    let [difference, size] = [0, 0];
    values.forEach((x, i) => {
      difference += (x - others[i]!) ** 2;
      size += x * x;
    });
    worst = Math.max(worst, Math.sqrt(difference / Math.max(size, 1e-20)));
  }
  return worst;
};

describe('the same numbers', () => {
  it('come again bit for bit, with dropout, and with blocks computed twice', async () => {
    const run = async (options: Partial<EngineOptions>) => {
      const e = await engine({ lora: dropout, seed: 11, ...options });
      for (let i = 0; i < 3; i++) await e.trainStep(batch, sft, adam);
      return e.parametersByName();
    };
    const first = await run({});
    expect(await run({})).toEqual(first);
    expect(await run({ checkpointing: true })).toEqual(first);
    expect(largestDifference(first, await run({ seed: 12 }))).toBeGreaterThan(1e-3);
  });

  it('come from any split into micro-batches, up to rounding', async () => {
    const objective = policyObjective('grpo', { beta: 0.1, entropyTopShare: 0.5 });
    const gradients = async (tokensPerMicroBatch: number) => {
      const e = await engine({ lora: dropout, tokensPerMicroBatch, seed: 1 });
      // B = 0 would leave A without a gradient: take one step first.
      await e.trainStep(batch, sft, adam);
      return (await e.gradients(batch, objective)).gradients;
    };
    expect(largestDifference(await gradients(1000), await gradients(1))).toBeLessThan(1e-4);
  });

  it('come from sequences that share what they begin with, up to rounding', async () => {
    // Rollouts of two dialogues and one that stands alone; one rollout ends where another goes on.
    const dialogue = (seed: number, ...tails: number[]): TrainSequence[] =>
      tails.map((length, i) => {
        const head = Array.from({ length: 17 + seed }, (_, t) => (t * 5 + seed) % 37);
        const tail = Array.from({ length }, (_, t) => (t * t + (length % 2) * i + seed) % 37);
        const tokens = [...head, ...tail];
        return {
          tokens,
          lossMask: tokens.map((_, t) => (t >= head.length ? 1 : 0)),
          advantage: i - 0.7,
          oldLogprobs: tokens.map((_, t) => -3 + ((t + i) % 3) / 10),
          refLogprobs: tokens.map(() => -3.2),
        };
      });
    const [a, b, alone] = [dialogue(1, 9, 4, 12, 4), dialogue(2, 3, 7), dialogue(3, 5)];
    const mixed = [b[0]!, a[0]!, a[1]!, alone[0]!, a[2]!, b[1]!, a[3]!];
    const sequences = mixed.map((s) => s.tokens);
    const adapter = randomAdapter(config, 5, ['q_proj', 'k_proj', 'v_proj', 'down_proj']);
    const options = { adapter, tokensPerMicroBatch: 80 };
    const [shares, plain] = [await engine(options), await engine({ ...options, sharePrefixes: false })];
    for (const objective of [policyObjective('grpo', { beta: 0.1 }), policyObjective('gspo'), sft]) {
      const expected = await plain.gradients(mixed, objective);
      const actual = await shares.gradients(mixed, objective);
      expect(actual.loss).toBeCloseTo(expected.loss, 5);
      expect(largestDifference(expected.gradients, actual.gradients)).toBeLessThan(2e-5);
      expect(actual.metrics['num_tokens']).toBe(expected.metrics['num_tokens']);
    }
    const scores = await shares.logprobs(sequences);
    for (const [i, tokens] of sequences.entries()) {
      const [single] = await shares.logprobs([tokens]);
      expect(scores[i]!.length).toBe(tokens.length);
      scores[i]!.forEach((lp, t) => expect(lp).toBeCloseTo(single![t]!, 4));
    }
  });

  it('come from evaluating as from a step that has not been taken', async () => {
    const e = await engine({ lora: { ...dropout, dropout: 0 }, tokensPerMicroBatch: 20 });
    const metrics = await e.evaluate(batch);
    expect(metrics['num_tokens']).toBe(65);
    const { metrics: stepped } = await e.trainStep(batch, sft, adam);
    for (const [name, value] of Object.entries(metrics)) expect(value, name).toBeCloseTo(stepped[name]!, 6);
    expect((await e.evaluate(batch))['loss']).toBeLessThan(metrics['loss']!);
  });

  it('come whatever stands at masked places', async () => {
    const adapter = randomAdapter(config, 5, ['q_proj', 'up_proj']);
    const e = await engine({ adapter });
    const objective = policyObjective('grpo', { beta: 0.1 });
    const fill = (value: number): TrainSequence[] =>
      batch.map((s) => {
        const filled = (values: ArrayLike<number>) =>
          Array.from(values, (x, t) => (t > 0 && s.lossMask[t] === 1 ? x : value));
        return {
          ...s,
          oldLogprobs: filled(s.oldLogprobs!),
          refLogprobs: filled(s.refLogprobs!),
          samplerLogprobs: filled(s.samplerLogprobs!),
        };
      });
    const high = await e.gradients(fill(1e4), objective);
    expect(await e.gradients(fill(-1e4), objective)).toEqual(high);
  });

  // Heads of 6 are read as vectors of two, of 12 as vectors of four; products of a width under 32 are not tiled.
  it.each([
    ['llama', { headDim: 6, hiddenSize: 20, intermediateSize: 22 }],
    ['qwen3', { headDim: 12, hiddenSize: 36 }],
  ] as const)('come from the kernels of real GPUs (%s)', async (family, widths) => {
    const shape = { ...randomConfig(family, 2), vocabSize: 101, ...widths };
    const options = { model: randomSource(shape, 2) };
    const sequences = randomBatch(shape, 2, [40, 33]);
    const [software, real] = [await engine(options), await engine(options)];
    // A software device that is told to be a real one compiles and runs the same programs as a real one.
    Object.assign(real.gpu.capabilities, { software: false, lanes: false });
    const expected = await software.gradients(sequences, sft);
    const actual = await real.gradients(sequences, sft);
    expect(actual.loss).toBeCloseTo(expected.loss, 5);
    expect(largestDifference(expected.gradients, actual.gradients)).toBeLessThan(2e-5);
  });
});

describe('a saved state', () => {
  it.each([
    ['LoRA with dropout', { lora: dropout }],
    ['all weights', {}],
  ])('continues bit for bit: %s', async (_, options) => {
    const whole = await engine(options);
    await whole.trainStep(batch, sft, adam);
    const files = await whole.saveState();
    await whole.trainStep(batch, sft, adam);
    const resumed = await engine({ ...options, seed: 0 });
    await resumed.loadState(files);
    expect(resumed.steps).toBe(1);
    await resumed.trainStep(batch, sft, adam);
    expect(await resumed.parametersByName()).toEqual(await whole.parametersByName());
    expect(await resumed.saveState()).toEqual(await whole.saveState());
  });

  it('is refused when it is torn, incomplete or of another model', async () => {
    const e = await engine({ lora: dropout });
    const files = await e.saveState();
    const torn = new Map(files);
    const bytes = files.get('state.safetensors')!.slice();
    bytes[bytes.length - 5]! ^= 1;
    torn.set('state.safetensors', bytes);
    await expect(e.loadState(torn)).rejects.toThrow(/torn/);
    torn.delete('state.safetensors');
    await expect(e.loadState(torn)).rejects.toThrow(/lacks state.safetensors/);
    const other = await engine({ lora: { ...dropout, r: 4 } });
    await expect(other.loadState(files)).rejects.toThrow(/another model or another LoRA/);
    await e.loadState(files);
  });
});

/** The model with its matrices rounded to f16. */
const roundedToF16: ModelSource = {
  ...model,
  read: async (name, start, end) => {
    const values = await model.read(name, start, end);
    return model.shape(name).length === 2 ? f16ToF32(f32ToF16(values)) : values;
  },
};

describe('weights', () => {
  it('in f16 give the logits of weights rounded to f16', async () => {
    const [half, single] = [
      await engine({ precision: 'f16' as const, frozen: true }),
      await engine({ model: roundedToF16 }),
    ];
    const sequences = batch.map((s) => s.tokens);
    expect(await half.logits(sequences)).toEqual(await single.logits(sequences));
  });

  it('in f16 are never merged with an adapter, which changes nothing but rounding', async () => {
    const adapter = randomAdapter(config, 5, ['q_proj', 'v_proj', 'up_proj', 'down_proj']);
    const half = await engine({ precision: 'f16', adapter });
    const single = await engine({ model: roundedToF16, adapter });
    const [unmerged, merged] = [await half.gradients(batch, sft), await single.gradients(batch, sft)];
    expect(unmerged.loss).toBeCloseTo(merged.loss, 5);
    expect(largestDifference(unmerged.gradients, merged.gradients)).toBeLessThan(2e-5);
    const requests = batch.slice(0, 2).map((s, i) => ({ prompt: s.tokens, seed: i }));
    const written = await half.generate(requests, { maxNewTokens: 5, stopTokens: [] });
    const scores = await half.logprobs(written.map((w, i) => [...requests[i]!.prompt, ...w.tokens]));
    written.forEach((w, i) =>
      w.logprobs.forEach((lp, t) => expect(lp).toBeCloseTo(scores[i]![requests[i]!.prompt.length + t]!, 4)),
    );
  });

  it('with a NaN are refused by name', async () => {
    const damaged: ModelSource = {
      ...model,
      read: async (name, start, end) => {
        const values = await model.read(name, start, end);
        if (name === 'model.layers.1.mlp.up_proj.weight') values[3] = NaN;
        return values;
      },
    };
    await expect(engine({ model: damaged })).rejects.toThrow(
      /model\.layers\.1\.mlp\.up_proj\.weight holds a NaN/,
    );
  });

  it('are left alone by a new LoRA, and by a step that is not finite', async () => {
    const e = await engine({ lora: dropout });
    const sequences = batch.map((s) => s.tokens);
    const base = await engine({ frozen: true });
    expect(await e.logits(sequences)).toEqual(await base.logits(sequences));
    const before = await e.parametersByName();
    const broken = batch.map((s) => ({ ...s, advantage: NaN }));
    await expect(e.trainStep(broken, policyObjective('grpo'), adam)).rejects.toThrow(
      /of optimizer step 1 is not/,
    );
    expect(await e.parametersByName()).toEqual(before);
    expect(e.steps).toBe(0);
    expect((await e.trainStep(batch, sft, adam)).metrics['loss']).toBeGreaterThan(0);
  });
});

describe('the reference', () => {
  it('stays where it was set while the policy moves', async () => {
    const e = await engine({ lora: dropout });
    const sequences = batch.map((s) => s.tokens);
    await e.trainStep(batch, sft, adam);
    await e.setReference('current');
    const files = await e.exportWeights();
    const then = await e.logprobs(sequences);
    await e.trainStep(batch, sft, adam);
    expect(await e.logprobs(sequences, { reference: true })).toEqual(then);
    expect(await e.logprobs(sequences)).not.toEqual(then);
    await e.setReference('base');
    expect(await e.logprobs(sequences, { reference: true })).not.toEqual(then);
    await e.setReference(files);
    expect(await e.logprobs(sequences, { reference: true })).toEqual(then);
    const reloaded = await engine({ adapter: await readPeftFiles(files, config) });
    expect(await reloaded.logprobs(sequences)).toEqual(then);
  });

  it('must be set when all weights are trained', async () => {
    const e = await engine();
    const sequences = batch.map((s) => s.tokens);
    await expect(e.logprobs(sequences, { reference: true })).rejects.toThrow(/Call setReference/);
    const base = await e.logprobs(sequences);
    await e.setReference('current');
    await e.trainStep(batch, sft, adam);
    expect(await e.logprobs(sequences, { reference: true })).toEqual(base);
    const files = await e.exportWeights();
    await e.setReference('base');
    expect(await e.logprobs(sequences, { reference: true })).toEqual(base);
    await e.setReference(files);
    expect(await e.logprobs(sequences, { reference: true })).toEqual(await e.logprobs(sequences));
  });
});

it('trains on and scores sequences without anything to learn', async () => {
  const e = await engine({ lora: dropout });
  const before = await e.parametersByName();
  const silent = [
    { tokens: [5], lossMask: [1] },
    { tokens: [1, 2, 3], lossMask: [1, 0, 0], advantage: 1 },
  ];
  for (const objective of [sft, policyObjective('grpo'), policyObjective('dapo')]) {
    const { metrics, tokens } = await e.trainStep(silent, objective, { learningRate: 1 });
    expect(metrics['loss']).toBe(0);
    expect(metrics['grad_norm']).toBe(0);
    expect(tokens.map((t) => t.logprobs.length)).toEqual([1, 3]);
  }
  expect(await e.parametersByName()).toEqual(before);
  expect(await e.logprobs([[5]])).toEqual([new Float32Array(1)]);
  expect(await e.logprobs([])).toEqual([]);
});

it('refuses batches that cannot be trained on, by number of the sequence', async () => {
  const e = await engine({ lora: dropout });
  const step = (b: TrainSequence[]) => e.trainStep(b, sft, adam);
  const long = Array.from({ length: 65 }, () => 1);
  await expect(step([])).rejects.toThrow(/is empty/);
  await expect(step([{ tokens: long, lossMask: long }])).rejects.toThrow(/Sequence 0 has 65 tokens.* 64/);
  await expect(step([...batch, { tokens: [1, 37], lossMask: [0, 1] }])).rejects.toThrow(
    /Sequence 6, position 1: token 37/,
  );
  await expect(step([{ tokens: [1, 2], lossMask: [1] }])).rejects.toThrow(/loss mask of 1/);
  await expect(createEngine({ device, model, precision: 'f16' })).rejects.toThrow(/keeps its weights in f32/);
});
