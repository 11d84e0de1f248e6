import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { absoluteError } from '../../../tests/support/errors.ts';
import { deviceKinds, KernelBench, noise } from '../../../tests/support/kernel_bench.ts';
import type { AttentionShape } from './attention.ts';
import { recordAttention, recordAttentionBackward } from './attention.ts';

/** Lengths of packed sequences: one token, across teams and blocks, and filling of one token each, to a multiple of 4. */
const lengths = [1, 5, 23, 2, 40, 2, 1, 1];
/** Continuations of a shared prefix, in the middle of them. */
const shared = { prefix: 13, continuations: [9, 1, 14] };

/** The segments of the token axis as the kernels and as the reference want them. */
function layOut() {
  const starts: number[] = [];
  const prefixes: number[] = [];
  const ends: number[] = [];
  const put = (length: number, seenFor = length, prefix: readonly [number, number] = [0, 0]) => {
    const first = starts.length;
    for (let i = 0; i < length; i++) {
      starts.push(first);
      ends.push(first + seenFor);
      prefixes.push(...prefix);
    }
    return first;
  };
  lengths.forEach((length, i) => {
    put(length);
    if (i !== 3) return;
    const { prefix, continuations } = shared;
    const first = put(
      prefix,
      continuations.reduce((a, b) => a + b, prefix),
    );
    for (const own of continuations) put(own, own, [first, first + prefix]);
  });
  const range = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => from + i);
  const keysOf = starts.map((start, n) => [
    ...range(prefixes[2 * n]!, prefixes[2 * n + 1]!),
    ...range(start, n + 1),
  ]);
  const u32 = (values: number[]) => Uint32Array.from(values);
  return { starts: u32(starts), prefixes: u32(prefixes), ends: u32(ends), keysOf };
}

/** Attention in f64, one query at a time, with its backward pass. */
function reference(s: AttentionShape, qkv: Float32Array, dOut: Float32Array, keysOf: number[][]) {
  const { numHeads: H, numKvHeads: Kv, headDim: hd } = s;
  const N = keysOf.length;
  const width = (H + 2 * Kv) * hd;
  const out = new Float64Array(N * H * hd);
  const lse = new Float64Array(N * H);
  const dQkv = new Float64Array(N * width);
  const scale = 1 / Math.sqrt(hd);
  for (let h = 0; h < H; h++) {
    const key = (H + Math.floor((h * Kv) / H)) * hd;
    const value = key + Kv * hd;
    for (let n = 0; n < N; n++) {
      const at = n * width + h * hd;
      const to = (n * H + h) * hd;
      const keys = keysOf[n]!;
      const dot = (a: ArrayLike<number>, i: number, b: ArrayLike<number>, j: number) => {
        let sum = 0;
        for (let d = 0; d < hd; d++) sum += a[i + d]! * b[j + d]!;
        return sum;
      };
      const scores = keys.map((j) => scale * dot(qkv, at, qkv, j * width + key));
      const top = Math.max(...scores);
      lse[n * H + h] = top + Math.log(scores.reduce((sum, x) => sum + Math.exp(x - top), 0));
      const p = scores.map((x) => Math.exp(x - lse[n * H + h]!));
      keys.forEach((j, i) => {
        for (let d = 0; d < hd; d++) out[to + d]! += p[i]! * qkv[j * width + value + d]!;
      });
      const delta = dot(out, to, dOut, to);
      keys.forEach((j, i) => {
        const ds = p[i]! * (dot(dOut, to, qkv, j * width + value) - delta) * scale;
        for (let d = 0; d < hd; d++) {
          dQkv[at + d]! += ds * qkv[j * width + key + d]!;
          dQkv[j * width + key + d]! += ds * qkv[at + d]!;
          dQkv[j * width + value + d]! += p[i]! * dOut[to + d]!;
        }
      });
    }
  }
  return { out, lse, dQkv };
}

describe.each(deviceKinds)('attention of %s devices', (kind) => {
  let bench: KernelBench;
  beforeAll(async () => {
    bench = await KernelBench.open(kind);
  });
  afterAll(() => bench.close());

  it.each([
    { numHeads: 1, numKvHeads: 1, headDim: 2 },
    { numHeads: 6, numKvHeads: 2, headDim: 6 },
    { numHeads: 4, numKvHeads: 1, headDim: 20 },
  ])('agrees with float64, forward and backward: %o', async (shape) => {
    const { numHeads: H, numKvHeads: Kv, headDim: hd } = shape;
    const { starts, prefixes, ends, keysOf } = layOut();
    const N = starts.length;
    const width = (H + 2 * Kv) * hd;
    // Large scores too: a softmax that is nearly one-hot, and garbage outside the segment that would overflow.
    const qkv = noise(N * width, 1).map((x) => 6 * x);
    const dOut = noise(N * H * hd, 2);
    const tensors = {
      qkv: bench.input([N, width], qkv),
      dOut: bench.input([N, H * hd], dOut),
      starts: bench.input([N], starts),
      prefixes: bench.input([N, 2], prefixes),
      ends: bench.input([N], ends),
      out: bench.output([N, H * hd]),
      lse: bench.output([N, H]),
      delta: bench.output([N, H]),
      dQkv: bench.output([N, width]),
    };
    const [out, lse, dQkv] = await bench.run(
      (list) => {
        recordAttention(bench.gpu, list, shape, tensors);
        recordAttentionBackward(bench.gpu, list, shape, tensors);
      },
      tensors.out,
      tensors.lse,
      tensors.dQkv,
    );
    const expected = reference(shape, qkv, dOut, keysOf);
    expect(absoluteError(out!, expected.out)).toBeLessThan(2e-4);
    expect(absoluteError(lse!, expected.lse)).toBeLessThan(2e-4);
    expect(absoluteError(dQkv!, expected.dQkv)).toBeLessThan(2e-3);
  });
});
