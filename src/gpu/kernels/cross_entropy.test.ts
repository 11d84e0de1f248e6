import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { absoluteError } from '../../../tests/support/errors.ts';
import { deviceKinds, KernelBench, noise } from '../../../tests/support/kernel_bench.ts';
import { recordLogSoftmax, recordLogSoftmaxBackward } from './cross_entropy.ts';

describe.each(deviceKinds)('log-softmax of %s devices', (kind) => {
  let bench: KernelBench;
  beforeAll(async () => {
    bench = await KernelBench.open(kind);
  });
  afterAll(() => bench.close());

  it.each([
    [1, 3, 1],
    [5, 37, 0.7],
    [33, 301, 1.3],
  ])('agrees with float64 on %i rows of %i tokens at temperature %f', async (rows, V, temperature) => {
    const stride = Math.ceil(V / 4) * 4;
    // Huge logits overflow a softmax that forgets to subtract the maximum; the rows' filling must not count.
    const logits = noise(rows * stride, 1).map((x, i) => (i % stride >= V ? 1e30 : 300 * x));
    const targets = Uint32Array.from({ length: rows }, (_, r) => (r * 7) % V);
    const coefficients = noise(rows, 3);
    const tensors = {
      logits: bench.input([rows, stride], logits),
      targets: bench.input([rows], targets),
      settings: bench.input([1], Float32Array.of(temperature)),
      statistics: bench.output([rows, 4]),
      coefficients: bench.input([rows], coefficients),
    };
    const [statistics, gradient] = await bench.run(
      (list) => {
        recordLogSoftmax(bench.gpu, list, V, tensors);
        recordLogSoftmaxBackward(list, tensors);
      },
      tensors.statistics,
      tensors.logits,
    );
    for (let r = 0; r < rows; r++) {
      const z = Array.from(logits.subarray(r * stride, r * stride + V), (x) => x / temperature);
      const top = Math.max(...z);
      const lse = top + Math.log(z.reduce((sum, x) => sum + Math.exp(x - top), 0));
      const p = z.map((x) => Math.exp(x - lse));
      const target = targets[r]!;
      const entropy = lse - p.reduce((sum, x, i) => sum + x * z[i]!, 0);
      const expected = [z[target]! - lse, entropy, z[target] === top ? 1 : 0, lse];
      expect(absoluteError(statistics!.subarray(4 * r, 4 * r + 4), expected)).toBeLessThan(2e-4);
      const slope = p.map((x, i) => (coefficients[r]! / temperature) * ((i === target ? 1 : 0) - x));
      expect(absoluteError(gradient!.subarray(r * stride, r * stride + V), slope)).toBeLessThan(2e-4);
    }
  });
});
