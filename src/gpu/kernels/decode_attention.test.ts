/** @file The cached path from projections to attention output, against float64 on the CPU. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { requestDawnDevice } from '../../../server/dawn.ts';
import { Rng } from '../../core/random.ts';
import { GpuContext } from '../runtime/context.ts';
import { DispatchList } from '../runtime/dispatch_list.ts';
import type { Tensor } from '../runtime/tensor.ts';
import { createTensor, readTensor, writeTensor } from '../runtime/tensor.ts';
import { recordDecodeAttention, shareGroups, tokensPerGroup } from './decode_attention.ts';
import { idle, recordRotateAndStore } from './kv_cache.ts';

let gpu: GpuContext;
beforeAll(async () => {
  gpu = new GpuContext(await requestDawnDevice());
});
afterAll(() => gpu.device.destroy());

const randoms = (seed: number, n: number, scale = 1): Float32Array => {
  const rng = new Rng(seed);
  return Float32Array.from({ length: n }, () => (rng.next() * 2 - 1) * scale);
};
function upload(label: string, shape: number[], data: Float32Array | Uint32Array): Tensor {
  const t = createTensor(gpu, label, shape, data instanceof Float32Array ? 'f32' : 'u32');
  writeTensor(gpu, t, data);
  return t;
}
const poison = 1e30;

/** out [N, H·hd] of queries over entries listed per token, in float64. */
function reference(
  q: Float32Array,
  k: Float32Array,
  v: Float32Array,
  entries: readonly (readonly number[])[],
  [H, KV, HD]: readonly [number, number, number],
): number[] {
  return entries.flatMap((list, n) =>
    Array.from({ length: H }, (_, h) => {
      const head = Math.floor(h / (H / KV));
      const row = (pool: Float32Array, e: number) =>
        pool.subarray((e * KV + head) * HD, (e * KV + head + 1) * HD);
      const query = q.subarray((n * H + h) * HD, (n * H + h + 1) * HD);
      const scores = list.map((e) => row(k, e).reduce((s, x, i) => s + x * query[i]!, 0) / Math.sqrt(HD));
      const top = Math.max(...scores);
      const weights = scores.map((s) => Math.exp(s - top));
      const total = weights.reduce((a, b) => a + b, 0);
      return Array.from({ length: HD }, (_, d) =>
        list.reduce((s, e, t) => s + (weights[t]! / total) * row(v, e)[d]!, 0),
      );
    }).flat(),
  );
}

async function attend(
  q: Float32Array,
  pools: { k: Tensor; v: Tensor },
  places: readonly (readonly number[])[],
  [H, KV, HD]: readonly [number, number, number],
  ownEntries?: Tensor,
  M = 1,
  variant?: 'lanes' | 'workgroup',
): Promise<Float32Array> {
  const N = places.length;
  const prefixes = places.map(([start]) => start!);
  const out = upload('out', [N, H * HD], new Float32Array(N * H * HD).fill(poison));
  const list = new DispatchList(gpu);
  recordDecodeAttention(
    gpu,
    list,
    { numHeads: H, numKvHeads: KV, headDim: HD },
    {
      q: upload('q', [N, H * HD], q),
      kPool: pools.k,
      vPool: pools.v,
      places: upload('places', [N, 4], new Uint32Array(places.flat())),
      groups: upload('groups', [N, M], shareGroups(prefixes, M, N)),
      out,
      ownEntries,
    },
    variant,
  );
  list.submit();
  return readTensor(gpu, out);
}

describe.each([
  [4, 2, 16],
  [3, 3, 6],
  [14, 2, 64],
  [5, 1, 10],
  [2, 1, 1],
  [8, 8, 128],
] as const)('%i heads over %i of width %i', (...shape) => {
  const [H, KV, HD] = shape;
  const pool = 1500;
  const k = randoms(1, pool * KV * HD, 3);
  const v = randoms(2, pool * KV * HD);
  // prefixStart, prefixLength, ownStart, position: a prefix alone, one that continues, no prefix, and long ones.
  const places = [
    [7, 9, 0, 4],
    [7, 9, 40, 20],
    [0, 0, 100, 0],
    [200, 600, 900, 1150],
    [200, 600, 900, 512],
    [200, 600, 900, idle],
    [200, 600, 900, 30],
    [200, 600, 1250, 700],
    [0, 0, 0, idle],
    [3, 1, 60, 64],
  ];
  const entries = places.map(([prefix, length, own, position]) =>
    position === idle
      ? []
      : Array.from({ length: position! + 1 }, (_, t) => (t < length! ? prefix! + t : own! + t - length!)),
  );
  const q = randoms(3, places.length * H * HD, 2);

  test('the softmax average of the cached values; idle tokens are left alone', async () => {
    const pools = { k: upload('k', [pool, KV * HD], k), v: upload('v', [pool, KV * HD], v) };
    const M = tokensPerGroup(gpu, { numHeads: H, numKvHeads: KV, headDim: HD }, places.length);
    const got = await attend(q, pools, places, shape, undefined, M);
    const want = reference(q, k, v, entries, shape);
    let worst = 0;
    entries.forEach((list, n) => {
      for (let i = n * H * HD; i < (n + 1) * H * HD; i++)
        if (list.length === 0) expect(got[i]).toBe(Math.fround(poison));
        else worst = Math.max(worst, Math.abs(got[i]! - want[i]!));
    });
    expect(worst).toBeLessThan(3e-5);
  });

  test('a token alone, elsewhere in the cache and through a table of entries gives the same bits', async () => {
    const pools = { k: upload('k', [pool, KV * HD], k), v: upload('v', [pool, KV * HD], v) };
    const n = 3;
    const [, prefix] = places[n]!;
    const mine = entries[n]!;
    // The same history elsewhere: the prefix moved, what follows scattered backwards and found through a table.
    const other = { k: new Float32Array(k.length).fill(poison), v: new Float32Array(v.length).fill(poison) };
    const table = new Uint32Array(5 + mine.length).fill(pool - 1);
    mine.forEach((entry, t) => {
      const to = t < prefix! ? 20 + t : pool - 1 - (t - prefix!);
      if (t >= prefix!) table[5 + t - prefix!] = to;
      other.k.set(k.subarray(entry * KV * HD, (entry + 1) * KV * HD), to * KV * HD);
      other.v.set(v.subarray(entry * KV * HD, (entry + 1) * KV * HD), to * KV * HD);
    });
    const alone = await attend(
      q.subarray(n * H * HD, (n + 1) * H * HD),
      { k: upload('k', [pool, KV * HD], other.k), v: upload('v', [pool, KV * HD], other.v) },
      [[20, prefix!, 5, mine.length - 1]],
      shape,
      upload('table', [table.length], table),
    );
    const most = tokensPerGroup(gpu, { numHeads: H, numKvHeads: KV, headDim: HD }, 1000);
    for (const M of new Set([1, most])) {
      const together = await attend(q, pools, places, shape, undefined, M);
      expect([...alone]).toEqual([...together.subarray(n * H * HD, (n + 1) * H * HD)]);
    }
  });
});

test.each([
  [4, 2, 8],
  [3, 1, 6],
  [2, 2, 32],
] as const)('the workgroup variant: %i heads over %i of width %i', async (...shape) => {
  const [H, KV, HD] = shape;
  const k = randoms(1, 400 * KV * HD, 3);
  const v = randoms(2, 400 * KV * HD);
  const pools = { k: upload('k', [400, KV * HD], k), v: upload('v', [400, KV * HD], v) };
  const places = [
    [10, 140, 200, 139],
    [10, 140, 200, 180],
    [10, 140, 250, 31],
    [0, 3, 300, 90],
  ];
  const entries = places.map(([prefix, length, own, position]) =>
    Array.from({ length: position! + 1 }, (_, t) => (t < length! ? prefix! + t : own! + t - length!)),
  );
  const q = randoms(3, places.length * H * HD, 2);
  const want = reference(q, k, v, entries, shape);
  const alone = await attend(q, pools, places, shape, undefined, 1, 'workgroup');
  const grouped = await attend(q, pools, places, shape, undefined, 2, 'workgroup');
  expect(grouped).toEqual(alone);
  want.forEach((x, i) => expect(Math.abs(alone[i]! - x)).toBeLessThan(3e-5));
});

test.each([
  [4, 2, 16, true, false],
  [5, 1, 10, false, true],
  [3, 3, 2, true, true],
] as const)(
  'rotate and store: %i heads over %i of width %i, norms %s, table %s',
  async (H, KV, HD, normed, indirect) => {
    const N = 5;
    const half = HD / 2;
    const width = (H + 2 * KV) * HD;
    const raw = randoms(1, N * width, 2);
    const weights = { q: randoms(2, HD), k: randoms(3, HD) };
    const positions = [0, 3, 11, idle, 6];
    const table = randoms(4, 12 * HD);
    // Own entries from 20 on, prefix of 4 from 50 on; the table of entries turns own slots round.
    const places = positions.map((p, n) => [50, 4, 20 + 10 * n, p]);
    const own = new Uint32Array(80).map((_, i) => 99 - i);
    const pools = {
      k: upload('k', [120, KV * HD], new Float32Array(120 * KV * HD).fill(poison)),
      v: upload('v', [120, KV * HD], new Float32Array(120 * KV * HD).fill(poison)),
    };
    const q = upload('q', [N, H * HD], new Float32Array(N * H * HD).fill(poison));
    const list = new DispatchList(gpu);
    const eps = 1e-5;
    recordRotateAndStore(
      gpu,
      list,
      { numHeads: H, numKvHeads: KV, headDim: HD, rmsNormEps: eps },
      {
        raw: upload('raw', [N, width], raw),
        table: upload('table', [12, HD], table),
        norms: normed ? { q: upload('qn', [HD], weights.q), k: upload('kn', [HD], weights.k) } : null,
        places: upload('places', [N, 4], new Uint32Array(places.flat())),
        ownEntries: indirect ? upload('own', [80], own) : null,
        q,
        kPool: pools.k,
        vPool: pools.v,
      },
    );
    list.submit();
    const got = {
      q: await readTensor(gpu, q),
      k: await readTensor(gpu, pools.k),
      v: await readTensor(gpu, pools.v),
    };
    const want = {
      q: new Float32Array(N * H * HD).fill(poison),
      k: new Float32Array(120 * KV * HD).fill(poison),
      v: new Float32Array(120 * KV * HD).fill(poison),
    };
    positions.forEach((position, n) => {
      if (position === idle) return;
      const slot = 20 + 10 * n + position - 4;
      const entry = position < 4 ? 50 + position : indirect ? own[slot]! : slot;
      for (let head = 0; head < H + 2 * KV; head++) {
        const x = raw.subarray(n * width + head * HD, n * width + (head + 1) * HD);
        const at = head < H ? (n * H + head) * HD : (entry * KV + ((head - H) % KV)) * HD;
        const target = head < H ? want.q : head < H + KV ? want.k : want.v;
        if (head >= H + KV) {
          target.set(x, at);
          continue;
        }
        const weight = head < H ? weights.q : weights.k;
        const rstd = 1 / Math.sqrt(x.reduce((s, y) => s + y * y, 0) / HD + eps);
        const y = Array.from(x, (e, i) => (normed ? e * rstd * weight[i]! : e));
        for (let i = 0; i < half; i++) {
          const [c, s] = [table[position * HD + i]!, table[position * HD + half + i]!];
          target[at + i] = y[i]! * c - y[i + half]! * s;
          target[at + i + half] = y[i + half]! * c + y[i]! * s;
        }
      }
    });
    for (const name of ['q', 'k', 'v'] as const)
      want[name].forEach((x, i) => {
        if (x === Math.fround(poison)) expect(got[name][i]).toBe(x);
        else expect(Math.abs(got[name][i]! - x)).toBeLessThan(2e-6);
      });
  },
);
