/** @file Sampling and top-k against float64 on the CPU. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { requestDawnDevice } from '../../../server/dawn.ts';
import { hash32, Rng } from '../../core/random.ts';
import { GpuContext } from '../runtime/context.ts';
import { DispatchList } from '../runtime/dispatch_list.ts';
import { createTensor, writeTensor } from '../runtime/tensor.ts';
import { idle } from './kv_cache.ts';
import type { RowSampling } from './sampling.ts';
import { outputWords, packRowSampling, recordSampling, samplingWords } from './sampling.ts';
import { recordTopK } from './top_k.ts';

let gpu: GpuContext;
beforeAll(async () => {
  gpu = new GpuContext(await requestDawnDevice());
});
afterAll(() => gpu.device.destroy());

const window = 4;
const plain: RowSampling = {
  seed: 1,
  temperature: 1,
  topK: 0,
  topP: 1,
  minNewTokens: 0,
  maxNewTokens: 1000,
  logitsRow: 0,
};

interface Sampled {
  token: number;
  logprob: number;
  count: number;
  done: boolean;
  position: number;
}

/** One sampling step for rows that have written `counts` tokens so far. */
async function sample(
  logits: Float32Array,
  vocabSize: number,
  rows: readonly RowSampling[],
  options: { stops?: number[]; counts?: number[]; truncated?: boolean } = {},
): Promise<Sampled[]> {
  const R = rows.length;
  const { stops = [], counts = rows.map(() => 0), truncated = false } = options;
  const columns = outputWords(window);
  const tensors = {
    logits: createTensor(gpu, 'logits', [logits.length / vocabSize, vocabSize]),
    settings: createTensor(gpu, 'settings', [R, samplingWords], 'u32'),
    stopTokens: createTensor(gpu, 'stops', [1 + stops.length], 'u32'),
    tokens: createTensor(gpu, 'tokens', [R], 'u32'),
    places: createTensor(gpu, 'places', [R, 4], 'u32'),
    output: createTensor(gpu, 'output', [R, columns], 'u32'),
  };
  writeTensor(gpu, tensors.logits, logits);
  const settings = new Uint32Array(R * samplingWords);
  rows.forEach((row, r) => packRowSampling(settings, r * samplingWords, row));
  writeTensor(gpu, tensors.settings, settings);
  writeTensor(gpu, tensors.stopTokens, new Uint32Array([stops.length, ...stops]));
  writeTensor(gpu, tensors.places, new Uint32Array(rows.flatMap(() => [0, 0, 0, 10])));
  const poison = new Uint32Array(R * columns).fill(0xdeadbeef);
  for (let r = 0; r < R; r++) poison.set([counts[r]!, 0], r * columns + 2 * window);
  writeTensor(gpu, tensors.output, poison);
  const list = new DispatchList(gpu);
  recordSampling(gpu, list, tensors, truncated);
  list.submit();
  const out = new Uint32Array(await gpu.read(tensors.output.buffer, 0, R * columns * 4));
  const floats = new Float32Array(out.buffer);
  const places = new Uint32Array(await gpu.read(tensors.places.buffer, 0, R * 16));
  const next = new Uint32Array(await gpu.read(tensors.tokens.buffer, 0, R * 4));
  for (const t of Object.values(tensors)) gpu.destroyBuffer(t.buffer);
  return rows.map((_, r) => {
    const at = r * columns + (counts[r]! % window);
    expect(next[r]).toBe(out[at]);
    return {
      token: out[at]!,
      logprob: floats[at + window]!,
      count: out[r * columns + 2 * window]!,
      done: out[r * columns + 2 * window + 1] === 1,
      position: places[r * 4 + 3]!,
    };
  });
}

const randomLogits = (seed: number, rows: number, vocabSize: number, scale: number): Float32Array => {
  const rng = new Rng(seed);
  return Float32Array.from(
    { length: rows * vocabSize },
    () => (rng.next() + rng.next() + rng.next() - 1.5) * scale,
  );
};

/** log-softmax of one row over a temperature, in float64. */
function logSoftmax(row: Float32Array, temperature: number): number[] {
  const x = Array.from(row, (v) => v / temperature);
  const top = Math.max(...x);
  const total = Math.log(x.reduce((s, v) => s + Math.exp(v - top), 0));
  return x.map((v) => v - top - total);
}

/** The tokens that Hugging Face's top-k, then top-p, leave. */
function support(row: Float32Array, temperature: number, topK: number, topP: number): Set<number> {
  const lp = logSoftmax(row, temperature);
  let ids = [...lp.keys()].sort((a, b) => lp[b]! - lp[a]! || a - b);
  if (topK > 0 && topK < ids.length) ids = ids.filter((i) => lp[i]! >= lp[ids[topK - 1]!]!);
  if (topP < 1) {
    const total = ids.reduce((s, i) => s + Math.exp(lp[i]!), 0);
    let above = 0;
    ids = ids.filter((i, rank) => {
      const keep = rank === 0 || above < topP;
      above += Math.exp(lp[i]!) / total;
      return keep;
    });
  }
  return new Set(ids);
}

describe.each([[3], [61], [700], [5001]])('a vocabulary of %i', (V) => {
  const P = 3;
  const logits = randomLogits(V, P, V, 6);

  test('greedy takes the most likely token, log-probs are those of the full softmax', async () => {
    const rows = [0, 1, 2, 1].map((logitsRow) => ({ ...plain, temperature: 0, logitsRow }));
    for (const [r, got] of (await sample(logits, V, rows)).entries()) {
      const row = logits.subarray(rows[r]!.logitsRow * V, (rows[r]!.logitsRow + 1) * V);
      expect(got.token).toBe(row.indexOf(Math.max(...row)));
      expect(got.logprob).toBeCloseTo(logSoftmax(row, 1)[got.token]!, 5);
      expect(got).toMatchObject({ count: 1, done: false, position: 11 });
    }
  });

  test('a draw depends on seed, token number and row alone; its log-prob is at the sampling temperature', async () => {
    const rows = [0, 1, 2, 0, 0].map((logitsRow, i) => ({
      ...plain,
      logitsRow,
      temperature: 0.7,
      seed: i < 4 ? 7 : 8,
    }));
    const counts = [5, 5, 5, 5, 6];
    const together = await sample(logits, V, rows, { counts });
    expect(together[3]).toEqual(together[0]);
    for (const [r, row] of rows.entries()) {
      expect((await sample(logits, V, [row], { counts: [counts[r]!] }))[0]).toEqual(together[r]);
      const lp = logSoftmax(logits.subarray(row.logitsRow * V, (row.logitsRow + 1) * V), 0.7);
      expect(together[r]!.logprob).toBeCloseTo(lp[together[r]!.token]!, 5);
    }
  });

  test('top-k and top-p draw from their support, all of it', async () => {
    for (const [topK, topP] of [
      [5, 1],
      [0, 0.6],
      [20, 0.35],
      [0, 0],
      [1, 1],
      [V + 3, 0.999],
    ] as const) {
      const row = logits.subarray(0, V);
      const temperature = 2.5;
      const allowed = support(row, temperature, topK, topP);
      const draws = Math.min(V > 1000 ? 200 : 1000, 60 * allowed.size);
      const rows = Array.from({ length: draws }, (_, i) => ({
        ...plain,
        temperature,
        topK,
        topP,
        seed: hash32(i),
      }));
      const seen = new Set((await sample(row, V, rows, { truncated: true })).map((s) => s.token));
      for (const token of seen) expect(allowed.has(token)).toBe(true);
      if (allowed.size <= 6) expect(seen.size).toBe(allowed.size);
      else expect(seen.size).toBeGreaterThan(5);
    }
  });

  test('top-k of log-probs, in order', async () => {
    const k = Math.min(V, 20);
    const input = createTensor(gpu, 'logits', [P, V]);
    const output = createTensor(gpu, 'top', [P, 2 * k], 'u32');
    writeTensor(gpu, input, logits);
    writeTensor(gpu, output, new Uint32Array(P * 2 * k).fill(0xdeadbeef));
    const list = new DispatchList(gpu);
    recordTopK(gpu, list, input, output);
    list.submit();
    const bits = await gpu.read(output.buffer, 0, P * 2 * k * 4);
    for (let r = 0; r < P; r++) {
      const row = logits.subarray(r * V, (r + 1) * V);
      const lp = logSoftmax(row, 1);
      const order = [...row.keys()].sort((a, b) => row[b]! - row[a]! || a - b).slice(0, k);
      expect([...new Uint32Array(bits, r * 8 * k, k)]).toEqual(order);
      const got = new Float32Array(bits, r * 8 * k + 4 * k, k);
      order.forEach((id, i) => expect(got[i]).toBeCloseTo(lp[id]!, 5));
    }
  });
});

test.each([
  ['plain', 1, 0, 1],
  ['temperature 0.5', 0.5, 0, 1],
  ['top-k 6', 1.5, 6, 1],
  ['top-p 0.8', 1.5, 0, 0.8],
  ['top-k 7 and top-p 0.7', 2, 7, 0.7],
])('%s: frequencies are the softmax of the support (chi-square)', async (_, temperature, topK, topP) => {
  const V = 10;
  const logits = randomLogits(5, 1, V, 3);
  const draws = 20_000;
  const rows = Array.from({ length: draws }, (_, i) => ({ ...plain, temperature, topK, topP, seed: i }));
  const counts = new Array<number>(V).fill(0);
  for (const { token } of await sample(logits, V, rows, { truncated: topK > 0 || topP < 1 }))
    counts[token]!++;
  const kept = [...support(logits, temperature, topK, topP)];
  const lp = logSoftmax(logits, temperature);
  const total = kept.reduce((s, i) => s + Math.exp(lp[i]!), 0);
  let chi2 = 0;
  for (const id of kept) {
    const expected = (draws * Math.exp(lp[id]!)) / total;
    chi2 += (counts[id]! - expected) ** 2 / expected;
  }
  expect(counts.reduce((s, c, id) => s + (kept.includes(id) ? c : 0), 0)).toBe(draws);
  // The 99.99 % point of chi-square with 9 degrees of freedom is 33.7.
  expect(chi2).toBeLessThan(33.7);
});

test('ties: top-k keeps all of the k-th, top-p the fewest, lower ids first; greedy takes the first', async () => {
  const V = 300;
  const flat = new Float32Array(V).fill(1.25);
  const draw = async (topK: number, topP: number) => {
    const rows = Array.from({ length: 3000 }, (_, i) => ({ ...plain, topK, topP, seed: i }));
    return new Set((await sample(flat, V, rows, { truncated: true })).map((s) => s.token));
  };
  expect((await draw(2, 1)).size).toBeGreaterThan(250);
  const half = await draw(0, 0.1);
  expect([...half].sort((a, b) => a - b)).toEqual(Array.from({ length: 30 }, (_, i) => i));
  expect((await sample(flat, V, [{ ...plain, temperature: 0 }]))[0]!.token).toBe(0);
});

test('stop tokens end a row, unless it has not its minimum; a done row is left alone', async () => {
  const V = 50;
  const logits = new Float32Array(V);
  logits[7] = 100; // a stop token beside which everything else vanishes in f32
  logits[9] = 2;
  const rows = [0, 3].flatMap((minNewTokens) =>
    [0, 1].map((temperature) => ({ ...plain, temperature, minNewTokens })),
  );
  const stops = [7, 11];
  const free = await sample(logits, V, rows, { stops, counts: [2, 2, 2, 2] });
  expect(free[0]).toMatchObject({ token: 7, done: true, count: 3, position: idle });
  expect(free[1]).toMatchObject({ token: 7, done: true, count: 3, position: idle });
  expect(free[2]).toMatchObject({ token: 9, done: false, count: 3, position: 11 });
  expect(stops).not.toContain(free[3]!.token);
  const many = Array.from({ length: 2000 }, (_, seed) => ({ ...plain, minNewTokens: 1, seed }));
  const seen = new Set((await sample(logits, V, many, { stops })).map((s) => s.token));
  expect(seen.size).toBe(V - stops.length);
  const [last] = await sample(logits, V, [{ ...plain, temperature: 0, minNewTokens: 9, maxNewTokens: 4 }], {
    counts: [3],
    stops,
  });
  expect(last).toMatchObject({ token: 9, done: true, count: 4, position: idle });
});
