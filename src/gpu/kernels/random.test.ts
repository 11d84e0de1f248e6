/** @file The GPU's random numbers are the CPU's, bit for bit. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { requestDawnDevice } from '../../../server/dawn.ts';
import { hash32, pcg32, toUnit } from '../../core/random.ts';
import { GpuContext } from '../runtime/context.ts';
import { DispatchList } from '../runtime/dispatch_list.ts';
import { createTensor, writeTensor } from '../runtime/tensor.ts';
import { randomWgsl } from './random.ts';

let gpu: GpuContext;
beforeAll(async () => {
  gpu = new GpuContext(await requestDawnDevice());
});
afterAll(() => gpu.device.destroy());

/** pcg32, hash2, hash3, unit's bits and exponential's bits of each triple. [n, 3] → [n, 5] */
async function onGpu(triples: Uint32Array): Promise<Uint32Array> {
  const n = triples.length / 3;
  const input = createTensor(gpu, 'triples', [n, 3], 'u32');
  const output = createTensor(gpu, 'random', [n, 5], 'u32');
  writeTensor(gpu, input, triples);
  const list = new DispatchList(gpu);
  list.add(
    {
      key: 'random-test',
      name: 'random_test',
      bindings: ['read', 'read_write'],
      wgsl: `${randomWgsl}
@group(0) @binding(0) var<storage, read> x: array<u32>;
@group(0) @binding(1) var<storage, read_write> y: array<u32>;
@compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let i = id.x;
  if (i * 3u >= arrayLength(&x)) { return; }
  let a = x[i * 3u]; let b = x[i * 3u + 1u]; let c = x[i * 3u + 2u];
  y[i * 5u] = pcg32(a);
  y[i * 5u + 1u] = hash2(a, b);
  y[i * 5u + 2u] = hash3(a, b, c);
  y[i * 5u + 3u] = bitcast<u32>(unit(a));
  y[i * 5u + 4u] = bitcast<u32>(exponential(a));
}`,
    },
    [input, output],
    [Math.ceil(n / 64)],
  );
  list.submit();
  return new Uint32Array(await gpu.read(output.buffer, 0, n * 20));
}

test('same bits as src/core/random.ts, edges included', async () => {
  const edges = [0, 1, 255, 256, 0x7fffffff, 0x80000000, 0xfffffeff, 0xffffff00, 0xffffffff];
  const triples = new Uint32Array(3 * 1000);
  for (let i = 0; i < triples.length; i++)
    triples[i] = i % 7 === 0 ? edges[(i / 7) % edges.length]! : hash32(91, i);
  const got = await onGpu(triples);
  const floats = new Float32Array(got.buffer);
  for (let i = 0; i < 1000; i++) {
    const [a, b, c] = [triples[i * 3]!, triples[i * 3 + 1]!, triples[i * 3 + 2]!];
    expect(got[i * 5]).toBe(pcg32(a));
    expect(got[i * 5 + 1]).toBe(hash32(a, b));
    expect(got[i * 5 + 2]).toBe(hash32(a, b, c));
    expect(floats[i * 5 + 3]).toBe(Math.fround(toUnit(a)));
    // v is rounded to f32, and WGSL's log has its own error: both far below what a race could feel.
    const rest = Math.max(1 - (a + 0.5) / 2 ** 32, 2 ** -25);
    const exponential = -Math.log1p(-Math.min((a + 0.5) / 2 ** 32, 1 - 2 ** -25));
    const tolerance = 2e-5 * exponential + 2 ** -24 / rest;
    expect(Math.abs(floats[i * 5 + 4]! - exponential)).toBeLessThan(
      exponential < 0.1 ? 1e-6 * exponential : tolerance,
    );
    expect(floats[i * 5 + 4]).toBeGreaterThan(0);
  }
});
