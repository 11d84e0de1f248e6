import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { absoluteError } from '../../../tests/support/errors.ts';
import { KernelBench, noise } from '../../../tests/support/kernel_bench.ts';
import { adamWStep, clipCoefficient, createAdamWState, gradientNorm } from '../../core/loss/adamw.ts';
import { normPartials, packSettings, recordAdamW, recordGradientNorm } from './adamw.ts';

describe('AdamW on the GPU', () => {
  let bench: KernelBench;
  beforeAll(async () => {
    bench = await KernelBench.open('software');
  });
  afterAll(() => bench.close());

  const count = 2 * normPartials + 64;
  const options = { learningRate: 1e-2, betas: [0.8, 0.95] as const, eps: 1e-6, weightDecay: 0.1 };
  const upload = (data: Float32Array) => bench.input([data.length], data);
  const settingsOf = (step: number) =>
    packSettings({ ...options, beta1: options.betas[0], beta2: options.betas[1], maxGradNorm: 5, step });

  it('agrees with float64 over several clipped steps', async () => {
    const weights = noise(count, 1);
    const expected = Float64Array.from(weights);
    const state = createAdamWState(count);
    const [parameters, m, v] = [
      upload(weights),
      upload(new Float32Array(count)),
      upload(new Float32Array(count)),
    ];
    for (let step = 1; step <= 3; step++) {
      const gradient = noise(count, 10 + step);
      const tensors = {
        parameters,
        m,
        v,
        grads: upload(gradient),
        settings: upload(settingsOf(step)),
        partials: bench.output([normPartials]),
        result: bench.output([3]),
      };
      const [result] = await bench.run((list) => {
        recordGradientNorm(list, tensors);
        recordAdamW(list, tensors);
      }, tensors.result);
      const norm = gradientNorm([gradient]);
      adamWStep(expected, gradient, state, options, clipCoefficient(norm, 5));
      expect(result![0]! / norm).toBeCloseTo(1, 6);
      expect(result![2]).toBe(1);
    }
    const [now] = await bench.run(() => undefined, parameters);
    expect(absoluteError(now!, expected)).toBeLessThan(1e-5);
  });

  it.each([NaN, Infinity, 1e30])('touches nothing when a gradient is %f', async (bad) => {
    const weights = noise(count, 1);
    const gradient = noise(count, 2);
    gradient[count - 3] = bad;
    const tensors = {
      parameters: upload(weights),
      m: upload(new Float32Array(count)),
      v: upload(new Float32Array(count)),
      grads: upload(gradient),
      settings: upload(settingsOf(1)),
      partials: bench.output([normPartials]),
      result: bench.output([3]),
    };
    const [parameters, m, result] = await bench.run(
      (list) => {
        recordGradientNorm(list, tensors);
        recordAdamW(list, tensors);
      },
      tensors.parameters,
      tensors.m,
      tensors.result,
    );
    expect(result![2]).toBe(0);
    expect(parameters).toEqual(weights);
    expect(m).toEqual(new Float32Array(count));
  });
});
