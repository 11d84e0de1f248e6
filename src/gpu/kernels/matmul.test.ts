import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { requestDawnDevice, releaseDawn } from '../../../server/dawn.ts';
import { hash32, toUnit } from '../../core/random.ts';
import { GpuContext } from '../runtime/context.ts';
import { DispatchList } from '../runtime/dispatch_list.ts';
import { createTensor, readTensor, writeTensor } from '../runtime/tensor.ts';
import { f32ToF16 } from '../formats/half.ts';
import type { MatmulKind, MatmulShape, MatmulVariant } from './matmul.ts';
import { recordMatmul } from './matmul.ts';

let gpu: GpuContext;
beforeAll(async () => {
  gpu = new GpuContext(await requestDawnDevice());
});
afterAll(() => {
  gpu.destroy();
  gpu.device.destroy();
  releaseDawn();
});

const noise = (n: number, seed: number) =>
  Float32Array.from({ length: n }, (_, i) => toUnit(hash32(seed, i)) * 2 - 1);
const poison = 1e30;

/** Run one product with a poisoned output and compare it with f64. Returns the worst error; checks untouched elements. */
async function check(
  shape: MatmulShape,
  variant: MatmulVariant,
  options: { bias?: boolean; add?: boolean; f16?: boolean } = {},
) {
  const { kind, m, n, k } = shape;
  const lda = shape.lda ?? (kind === 'TN' ? m : k);
  const ldb = shape.ldb ?? (kind === 'NT' ? k : n);
  const ldc = shape.ldc ?? n;
  const [aOffset, bOffset, cOffset] = [shape.aOffset ?? 0, shape.bOffset ?? 0, shape.cOffset ?? 0];
  const rowsA = kind === 'TN' ? k : m;
  const rowsB = kind === 'NT' ? n : k;
  const a = noise(aOffset + rowsA * lda, 1);
  const b = noise(bOffset + rowsB * ldb, 2).map((x) => (options.f16 ? Math.round(x * 64) / 64 : x));
  const c = new Float32Array(cOffset + m * ldc).fill(shape.accumulate ? 3 : poison);
  const [bias, add] = [noise(n, 3), noise(cOffset + m * ldc, 4)];
  const upload = (label: string, data: Float32Array) => {
    const t = createTensor(gpu, label, [data.length]);
    writeTensor(gpu, t, data);
    return t;
  };
  const tb = options.f16 ? createTensor(gpu, 'b', [b.length], 'f16') : upload('b', b);
  if (options.f16) writeTensor(gpu, tb, f32ToF16(b));
  const tc = upload('c', c);
  const list = new DispatchList(gpu);
  recordMatmul(
    gpu,
    list,
    shape,
    {
      a: upload('a', a),
      b: tb,
      c: tc,
      bias: options.bias ? upload('bias', bias) : null,
      add: options.add ? upload('add', add) : null,
    },
    variant,
  );
  list.submit();
  const got = await readTensor(gpu, tc);
  let worst = 0;
  const expected = Float64Array.from(c);
  for (let i = 0; i < m; i++)
    for (let j = 0; j < n; j++) {
      let sum = 0;
      for (let t = 0; t < k; t++) {
        const x = a[aOffset + (kind === 'TN' ? t * lda + i : i * lda + t)]!;
        const y = b[bOffset + (kind === 'NT' ? j * ldb + t : t * ldb + j)]!;
        sum += x * y;
      }
      const at = i * ldc + j;
      const before = shape.accumulate ? 3 : 0;
      expected[cOffset + at] =
        (shape.alpha ?? 1) * sum +
        (options.bias ? bias[j]! : 0) +
        (options.add ? add[cOffset + at]! : 0) +
        before;
    }
  for (let i = 0; i < got.length; i++)
    worst = Math.max(worst, Math.abs(got[i]! - expected[i]!) / Math.max(1, Math.abs(expected[i]!)));
  return worst;
}

const kinds: MatmulKind[] = ['NT', 'NN', 'TN'];
/** Compiling the tiled kernel takes a software device a second, so that it gets fewer shapes. */
const sizes: [number, number, number][] = [
  [1, 1, 1],
  [1, 130, 33],
  [3, 5, 7],
  [8, 8, 64],
  [12, 44, 19],
  [13, 21, 34],
  [64, 96, 32],
  [66, 70, 18],
  [130, 132, 37],
];

describe.each(['direct', 'tiled', 'lanes'] as const)('%s matmul', (variant) => {
  for (const kind of kinds)
    it(`${kind} agrees with float64 on odd and even shapes`, async () => {
      for (const [m, n, k] of variant === 'tiled' ? sizes.slice(4) : sizes)
        expect(await check({ kind, m, n, k }, variant), `${m}x${n}x${k}`).toBeLessThan(2e-5);
    });
  for (const kind of kinds)
    it(`${kind} with views, bias, residual, alpha and accumulation leaves its surroundings alone`, async () => {
      for (const pad of variant === 'tiled' ? [1] : [1, 4]) {
        const [m, n, k] = [17, 20, 12];
        const shape: MatmulShape = { kind, m, n, k, alpha: 0.25, accumulate: true };
        Object.assign(shape, {
          lda: (kind === 'TN' ? m : k) + pad,
          ldb: (kind === 'NT' ? k : n) + pad,
          ldc: n + pad,
          aOffset: pad,
          bOffset: 2 * pad,
          cOffset: 3 * pad,
        });
        expect(await check(shape, variant, { bias: true, add: true })).toBeLessThan(2e-5);
      }
    });
  for (const kind of kinds)
    it(`${kind} reads f16 weights`, async () => {
      for (const [m, n, k] of variant === 'tiled' ? sizes.slice(5, 6) : sizes.slice(3, 6))
        expect(await check({ kind, m, n, k }, variant, { f16: true }), `${m}x${n}x${k}`).toBeLessThan(2e-5);
    });
});

it('gives a row the same bits however many rows share the product', async () => {
  const [n, k] = [70, 50];
  const a = noise(40 * k, 5);
  const rows = async (m: number) => {
    const [ta, tb, tc] = [
      createTensor(gpu, 'a', [m, k]),
      createTensor(gpu, 'b', [n, k]),
      createTensor(gpu, 'c', [m, n]),
    ];
    writeTensor(gpu, ta, a.subarray(0, m * k));
    writeTensor(gpu, tb, noise(n * k, 6));
    const list = new DispatchList(gpu);
    recordMatmul(gpu, list, { kind: 'NT', m, n, k }, { a: ta, b: tb, c: tc });
    list.submit();
    return (await readTensor(gpu, tc)).subarray(0, n);
  };
  const alone = await rows(1);
  for (const m of [2, 7, 40]) expect(await rows(m)).toEqual(alone);
});
