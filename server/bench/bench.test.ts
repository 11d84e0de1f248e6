import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import * as v from 'valibot';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { configToJson } from '../../src/gpu/formats/config.ts';
import { randomConfig } from '../../tests/support/odd_models.ts';
import { noiseAt, noiseModel, noiseTensor } from './noise.ts';
import { productsOf } from './matmul.ts';
import { lineSchema, median, measurementSchema, type Measurement } from './report.ts';
import { timeInTurns } from './timing.ts';
import { GpuContext } from '../../src/gpu/runtime/context.ts';
import { f16ToF32 } from '../../src/gpu/formats/half.ts';
import { releaseDawn, requestDawnDevice } from '../dawn.ts';

const tart = fileURLToPath(new URL('../tart.mjs', import.meta.url));
let folder = '';
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'tart-bench-'));
  const config = { ...randomConfig('qwen3', 5), vocabSize: 37 };
  writeFileSync(join(folder, 'config.json'), JSON.stringify(configToJson(config)));
});
afterAll(() => rmSync(folder, { recursive: true }));

function bench(...flags: string[]): Promise<{ code: number | null; out: string; err: string }> {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, [tart, 'bench', '--software_gpu', ...flags]);
    let [out, err] = ['', ''];
    child.stdout.setEncoding('utf8').on('data', (chunk: string) => (out += chunk));
    child.stderr.setEncoding('utf8').on('data', (chunk: string) => (err += chunk));
    child.on('close', (code) => resolve({ code, out, err }));
  });
}

describe('tart bench', () => {
  const small = ['--batch_size=2', '--seq_len=12', '--rollouts=3', '--new_tokens=5', '--repeats=3'];

  test('every line is a whole measurement of the folder’s shape, and the exit code is 0', async () => {
    const { code, out, err } = await bench(`--model=${folder}`, '--compare_tfjs=false', ...small);
    expect(err).toBe('');
    expect(code).toBe(0);
    const lines = out
      .trim()
      .split('\n')
      .map((line) => v.parse(measurementSchema, JSON.parse(line)));
    const named = (name: string): Measurement[] => lines.filter((line) => line.bench === name);
    const once = ['dispatch', 'dispatch_host', 'sft', 'rollout', 'rollout_prefill', 'rollout_decode'];
    for (const name of once) expect(named(name), name).toHaveLength(1);
    expect(named('matmul')).toHaveLength(17);
    expect(named('peak_bytes').map((line) => line.shape.after)).toEqual(['load', 'sft', 'rollout']);
    for (const line of lines) {
      expect(line.model).toBe(folder);
      expect(line.software).toBe(true);
      expect(line.architecture).toBe('swiftshader');
      expect(line.min).toBeLessThanOrEqual(line.median);
      expect(line.median).toBeLessThanOrEqual(line.max);
      expect(line.repeats).toBe(line.bench === 'peak_bytes' ? 1 : 3);
      expect(line.median).toBeGreaterThan(0);
    }
    const bytes = named('peak_bytes').map((line) => line.median);
    expect(bytes).toEqual([...bytes].sort((a, b) => a - b));
  }, 120_000);

  test('a wrong shape or measurement is wrong usage and is named', async () => {
    const [shape, only, long, prompt] = await Promise.all([
      bench('--model=llama-9'),
      bench(`--model=${folder}`, '--only=matmull'),
      bench(`--model=${folder}`, '--seq_len=97'),
      bench(`--model=${folder}`, '--seq_len=60', '--new_tokens=37', '--only=rollout'),
    ]);
    expect([shape, only, long, prompt].map((run) => run.code)).toEqual([2, 2, 2, 2]);
    expect(shape.err).toMatch(/--model llama-9.*qwen3-8b/s);
    expect(only.err).toMatch(/matmull.*train_step/s);
    expect(long.err).toMatch(/--seq_len.*97.*96 positions/s);
    expect(prompt.err).toMatch(/--prompt_len.*97.*96 positions/s);
    expect(shape.out + only.out + long.out).toBe('');
  }, 60_000);
});

describe('operands', () => {
  test('the GPU’s noise is the host’s, in f32 and f16', async () => {
    const device = await requestDawnDevice({ software: true });
    const gpu = new GpuContext(device);
    try {
      const expected = Float32Array.from({ length: 7 * 9 }, (_, i) => noiseAt(3, i));
      const f32 = noiseTensor(gpu, 'f32', [7, 9], 3);
      expect(new Float32Array(await gpu.read(f32.buffer, 0, 63 * 4))).toEqual(expected);
      const f16 = noiseTensor(gpu, 'f16', [7, 9], 3, 'f16');
      expect(f16ToF32(new Uint16Array(await gpu.read(f16.buffer, 0, 63 * 2)))).toEqual(expected);
      expect(new Set(expected).size).toBeGreaterThan(30);
    } finally {
      gpu.destroy();
      device.destroy();
      releaseDawn();
    }
  });

  test('a model of noise gives the same weights in whatever pieces they are read', async () => {
    const model = noiseModel(randomConfig('llama', 2), 7);
    const name = 'model.embed_tokens.weight';
    const whole = await model.read(name);
    const width = model.shape(name)[1]!;
    expect(await model.read(name, 3, 9)).toEqual(whole.slice(3 * width, 9 * width));
    const spread = Math.sqrt(whole.reduce((sum, x) => sum + x * x, 0) / whole.length);
    expect(spread).toBeGreaterThan(0.018);
    expect(spread).toBeLessThan(0.022);
    expect(new Set(await model.read('model.norm.weight'))).toEqual(new Set([1]));
  });

  test('products of a layer are one product and its two gradients', () => {
    const config = randomConfig('llama', 2);
    const products = productsOf(config, 40, 1 << 20, 64).filter((p) => p.layer === 'gate_up');
    const [F, D] = [config.intermediateSize, config.hiddenSize];
    expect(products.map(({ kind, m, n, k }) => [kind, m, n, k])).toEqual([
      ['NT', 40, 2 * F, D],
      ['NN', 40, D, 2 * F],
      ['TN', 2 * F, D, 40],
    ]);
  });
});

describe('timing', () => {
  test('warms up, then takes turns', async () => {
    const runs: string[] = [];
    const subject = (name: string) => ({
      run: async (times: number) => {
        runs.push(`${name}${times > 0 ? '' : '!'}`);
        await new Promise((resolve) => setTimeout(resolve, 2));
      },
    });
    const samples = await timeInTurns([subject('a'), subject('b')], { repeats: 3, warmUpMs: 0, sampleMs: 0 });
    expect(samples.map((s) => s.length)).toEqual([3, 3]);
    expect(samples.flat().every((s) => s > 0)).toBe(true);
    expect(runs.join('')).toBe('aabb' + 'ababab');
  });

  test('the median of odd and even numbers of values', () => {
    expect(median([5, 1, 3])).toBe(3);
    expect(median([4, 1, 3, 2])).toBe(2.5);
  });

  test('a line of something else is refused', () => {
    expect(v.safeParse(lineSchema, { bench: 'sft', unit: 'tokens/s' }).success).toBe(false);
  });
});
