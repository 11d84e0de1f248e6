/** @file Generation with the cache against the float64 reference, and its independence of the batch. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { requestDawnDevice } from '../../../server/dawn.ts';
import { oddConfig, randomModel } from '../../../tests/support/random_model.ts';
import { InputError, UsageError } from '../../core/errors.ts';
import type { GenerateOptions } from '../../core/policy.ts';
import { Rng } from '../../core/random.ts';
import { parameterShapes } from '../formats/open_model.ts';
import type { LoraConfig, ModelConfig } from '../model/config.ts';
import { LoraAdapter } from '../model/adapter.ts';
import { createWeights, loadWeights } from '../model/weights.ts';
import { logSoftmax } from '../reference/logprobs.ts';
import { row } from '../reference/matrix.ts';
import { forward } from '../reference/model.ts';
import type { ReferenceModel } from '../reference/parameters.ts';
import { loadReference, withAdapter } from '../reference/parameters.ts';
import { GpuContext } from '../runtime/context.ts';
import { beamSearch } from './beam_search.ts';
import type { GeneratorOptions } from './generator.ts';
import { Generator } from './generator.ts';

let gpu: GpuContext;
beforeAll(async () => {
  gpu = new GpuContext(await requestDawnDevice());
});
afterAll(() => gpu.device.destroy());

const lora: LoraConfig = { r: 3, alpha: 6, dropout: 0.1, targetModules: ['q_proj', 'v_proj', 'down_proj'] };
const configs: Record<string, ModelConfig> = {
  llama: oddConfig,
  qwen2: {
    ...oddConfig,
    family: 'qwen2',
    attentionBias: true,
    tieWordEmbeddings: true,
    headDim: 8,
    numKvHeads: 3,
  },
  qwen3: {
    ...oddConfig,
    family: 'qwen3',
    qkNorm: true,
    headDim: 12,
    numHeads: 5,
    numKvHeads: 1,
    vocabSize: 120,
  },
};

interface Subject {
  reference: ReferenceModel;
  make: (options?: GeneratorOptions) => Generator;
}
const subjects = new Map<string, Subject>();

/** A random model with a LoRA whose B is not zero, on the GPU and in float64. */
async function subject(name: string): Promise<Subject> {
  const found = subjects.get(name);
  if (found) return found;
  const source = randomModel(configs[name], 5, 1.5);
  const weights = createWeights(gpu, source.config);
  await loadWeights(gpu, weights, source);
  const adapter = new LoraAdapter(gpu, source.config, lora);
  adapter.initialise(3);
  const values = await adapter.download();
  const rng = new Rng(9);
  for (const [key, { data }] of values.tensors)
    if (key.includes('lora_B')) data.forEach((_, i) => (data[i] = rng.next() - 0.5));
  adapter.upload(values);
  const base = await loadReference(source, parameterShapes(source.config).keys());
  const made: Subject = {
    reference: withAdapter(base, values),
    make: (options) => new Generator(gpu, { weights, adapter }, options),
  };
  subjects.set(name, made);
  return made;
}

/** Log-probs of the next token after a prefix, in float64. [V] */
const nextLogprobs = (model: ReferenceModel, tokens: readonly number[], temperature = 1): Float64Array =>
  logSoftmax(row(forward(model, tokens).logits, tokens.length - 1), temperature);

const promptOf = (seed: number, length: number, vocabSize: number): number[] => {
  const rng = new Rng(seed);
  return Array.from({ length }, () => rng.int(vocabSize));
};

describe.each(Object.keys(configs))('%s', (name) => {
  const V = configs[name]!.vocabSize;
  const prompts = [promptOf(1, 7, V), promptOf(2, 1, V), promptOf(3, 30, V)];

  test('greedy is the float64 reference, ragged prompts in one batch', async () => {
    const { reference, make } = await subject(name);
    const requests = prompts.map((prompt) => ({ prompt, seed: 0 }));
    const generator = make({ prefillTokens: 8, window: 3 });
    const got = await generator.generate(requests, { maxNewTokens: 10, stopTokens: [], temperature: 0 });
    got.forEach(({ tokens, logprobs, finishReason }, i) => {
      const written = [...prompts[i]!];
      for (const [t, token] of tokens.entries()) {
        const lp = nextLogprobs(reference, written);
        expect(token).toBe(lp.indexOf(Math.max(...lp)));
        expect(Math.abs(logprobs[t]! - lp[token]!)).toBeLessThan(2e-4);
        written.push(token);
      }
      expect(tokens.length).toBe(10);
      expect(finishReason).toBe('length');
    });
    generator.destroy();
  });

  test('log-probs recorded while sampling are the reference’s at the sampling temperature', async () => {
    const { reference, make } = await subject(name);
    const requests = [0, 1, 2, 0].map((p, i) => ({ prompt: prompts[p]!, seed: 100 + i }));
    const options = { maxNewTokens: 9, stopTokens: [], temperature: 0.8, topK: 30, topP: 0.95 };
    const generator = make();
    const got = await generator.generate(requests, options);
    expect(got[0]!.tokens).not.toEqual(got[3]!.tokens);
    got.forEach(({ tokens, logprobs }, i) =>
      tokens.forEach((token, t) => {
        const lp = nextLogprobs(reference, [...requests[i]!.prompt, ...tokens.slice(0, t)], 0.8);
        expect(Math.abs(logprobs[t]! - lp[token]!)).toBeLessThan(2e-4);
        expect([...lp].filter((other) => other > lp[token]!).length).toBeLessThan(30);
      }),
    );
    generator.destroy();
  });

  test('beam search is the one of the reference’s log-probs', async () => {
    const { reference, make } = await subject(name);
    const generator = make({ prefillTokens: 16, maxRows: 9 });
    for (const stopTokens of [[], [3, 17, 40]]) {
      const options = { maxNewTokens: 6, stopTokens, numBeams: 4, minNewTokens: 2 };
      const requests = [...prompts, prompts[0]!].map((prompt) => ({ prompt, seed: 0 }));
      const got = await generator.generate(requests, options);
      requests.forEach(({ prompt }, i) => {
        const want = beamSearch(options, (prefixes) =>
          prefixes.map((p) => nextLogprobs(reference, [...prompt, ...p])),
        );
        expect(got[i]!.beams!.map((b) => b.tokens)).toEqual(want.map((b) => b.tokens));
        expect(got[i]!.tokens).toEqual(want[0]!.tokens);
        want.forEach((b, rank) => expect(Math.abs(got[i]!.beams![rank]!.score - b.score)).toBeLessThan(2e-4));
        want[0]!.logprobs.forEach((lp, t) => expect(Math.abs(got[i]!.logprobs[t]! - lp)).toBeLessThan(2e-4));
      });
    }
    generator.destroy();
  });
});

describe('batches', () => {
  const V = oddConfig.vocabSize;
  const requests = Array.from({ length: 23 }, (_, i) => ({
    prompt: promptOf(i % 9, 1 + (((i % 9) * 7) % 40), V),
    seed: i,
  }));
  const options: GenerateOptions = {
    maxNewTokens: 24,
    stopTokens: [5, 6, 7, 8, 9, 10],
    temperature: 1.3,
    topP: 0.98,
  };

  test('a request alone, in a batch, with few rows, little cache and small windows: the same bits', async () => {
    const { make } = await subject('llama');
    const wide = make();
    const all = await wide.generate(requests, options);
    expect(new Set(all.map((c) => c.finishReason))).toEqual(new Set(['stop', 'length']));
    // The cache holds hardly more than the longest request; a row is 320 bytes a layer.
    const entry = oddConfig.numLayers * 2 * oddConfig.numKvHeads * oddConfig.headDim * 4;
    const narrow = make({ maxRows: 3, kvCacheBytes: 75 * entry, prefillTokens: 4, window: 2 });
    expect(await narrow.generate(requests, options)).toEqual(all);
    for (const i of [0, 4, 8, 22]) expect((await wide.generate([requests[i]!], options))[0]).toEqual(all[i]);
    expect(await wide.generate([...requests].reverse(), options)).toEqual([...all].reverse());
    wide.destroy();
    narrow.destroy();
  });

  test('streams what it returns', async () => {
    const { make } = await subject('llama');
    const generator = make({ maxRows: 5 });
    const streamed = requests.map((): number[] => []);
    const onTokens = (index: number, tokens: readonly number[]): void =>
      void streamed[index]!.push(...tokens);
    const got = await generator.generate(requests, { ...options, onTokens });
    expect(streamed).toEqual(got.map((c) => c.tokens));
    generator.destroy();
  });

  test('stop tokens end a completion and are its last token; not before the minimum', async () => {
    const { make } = await subject('llama');
    const generator = make();
    for (const { tokens, finishReason } of await generator.generate(requests, {
      ...options,
      minNewTokens: 5,
    })) {
      const stop = tokens.findIndex((t) => options.stopTokens.includes(t));
      if (finishReason === 'stop') expect(stop).toBe(tokens.length - 1);
      else expect([stop, tokens.length]).toEqual([-1, 24]);
      expect(tokens.length).toBeGreaterThan(5);
    }
    generator.destroy();
  });

  test('abort ends a call with the signal’s reason, and the next call is as ever', async () => {
    const { make } = await subject('llama');
    const generator = make({ maxRows: 4 });
    const controller = new AbortController();
    const aborted = generator.generate(requests, {
      ...options,
      signal: controller.signal,
      onTokens: () => controller.abort(new Error('enough')),
    });
    await expect(aborted).rejects.toThrow('enough');
    const again = await generator.generate(requests.slice(0, 6), options);
    const fresh = make();
    expect(again).toEqual(await fresh.generate(requests.slice(0, 6), options));
    generator.destroy();
    fresh.destroy();
  });

  test('one new token, and none asked', async () => {
    const { make } = await subject('llama');
    const generator = make();
    const one = { maxNewTokens: 1, stopTokens: [] };
    const [sampled] = await generator.generate([requests[0]!], one);
    expect(sampled!.tokens).toHaveLength(1);
    const [beams] = await generator.generate([requests[0]!], { ...one, numBeams: 3 });
    expect(beams!.beams!.map((b) => b.tokens.length)).toEqual([1, 1, 1]);
    expect(await generator.generate([], one)).toEqual([]);
    generator.destroy();
  });

  test('requests that cannot run are refused by name', async () => {
    const { make } = await subject('llama');
    const generator = make({ kvCacheBytes: 12_000 });
    const run = (prompt: number[], more: Partial<GenerateOptions> = {}) =>
      generator.generate([requests[0]!, { prompt, seed: 0 }], { maxNewTokens: 4, stopTokens: [], ...more });
    await expect(run([])).rejects.toThrow(InputError);
    await expect(run([])).rejects.toThrow('prompt of request 1 is empty');
    await expect(run([3, V])).rejects.toThrow(`token ${V}`);
    await expect(run(promptOf(1, 157, V))).rejects.toThrow('160 positions');
    await expect(run([1], { temperature: -1 })).rejects.toThrow(UsageError);
    await expect(run([1], { topP: 1.5 })).rejects.toThrow('topP is 1.5');
    await expect(run([1], { maxNewTokens: 0 })).rejects.toThrow('maxNewTokens is 0');
    await expect(run(promptOf(1, 30, V))).rejects.toThrow('key/value cache entries');
  });
});
