import * as tf from '@tensorflow/tfjs';
import { expect, test } from 'vitest';
import { parameterShapes } from '../../src/gpu/formats/open_model.ts';
import { loraName } from '../../src/gpu/model/adapter.ts';
import { lossAndGradients } from '../../src/gpu/reference/training.ts';
import { loadReference, withAdapter } from '../../src/gpu/reference/parameters.ts';
import { GpuContext } from '../../src/gpu/runtime/context.ts';
import { families, randomAdapter, randomConfig, randomSource } from '../../tests/support/odd_models.ts';
import { releaseDawn, requestDawnDevice } from '../dawn.ts';
import { randomTokens, supervised } from './engine.ts';
import { noiseAt, noiseTensor } from './noise.ts';
import { tfjsObstacle, withTfjs } from './tfjs.ts';
import { tfjsTrainer } from './tfjs_trainer.ts';

test.each(families)('%s: its loss and the loss after its first steps', async (family) => {
  await tf.setBackend('cpu');
  const config = randomConfig(family, 3);
  const source = randomSource(config, 3);
  const modules = ['q_proj', 'v_proj', 'down_proj'] as const;
  const adapter = randomAdapter(config, 3, modules);
  const tokens = randomTokens(4, 3, 9, config.vocabSize);
  const start = new Map<string, Float32Array>();
  for (let layer = 0; layer < config.numLayers; layer++)
    for (const module of modules)
      for (const side of ['A', 'B'] as const) {
        const name = loraName(layer, module, side);
        start.set(name, adapter.tensors.get(name.replace('.default.weight', ''))!.data);
      }
  const base = await loadReference(source, parameterShapes(config).keys());
  const reference = lossAndGradients(withAdapter(base, adapter), supervised(tokens), { kind: 'sft' });
  const options = { model: source, lora: adapter.config, adapter: start, batch: tokens, learningRate: 1e-3 };
  const before = tf.memory().numTensors;
  const trainer = await tfjsTrainer(tf, options);
  const losses = [await trainer.step(), await trainer.step(), await trainer.step()];
  expect(Math.abs(losses[0]! - reference.value)).toBeLessThan(1e-5 * reference.value);
  expect(losses[2]).toBeLessThan(losses[1]!);
  expect(losses[1]).toBeLessThan(losses[0]!);
  trainer.dispose();
  expect(tf.memory().numTensors).toBe(before);
});

test('multiplies our buffers on our device', async () => {
  const device = await requestDawnDevice({ software: true });
  const gpu = new GpuContext(device);
  try {
    expect(await tfjsObstacle(device)).toBeNull();
    const [m, n, k] = [5, 11, 6];
    const [a, b] = [noiseTensor(gpu, 'a', [k, m], 1), noiseTensor(gpu, 'b', [k, n], 2)];
    await withTfjs(device, async (tfjs) => {
      const product = tfjs.product('TN', a, b);
      await product.run(3);
      let expected = 0;
      for (let t = 0; t < k; t++) expected += noiseAt(1, t * m + 4) * noiseAt(2, t * n + 7);
      expect((await product.entries([[4, 7]]))[0]).toBeCloseTo(expected, 6);
      await product.dispose();
    });
    // The device and our buffers are as they were.
    expect(new Float32Array(await gpu.read(a.buffer, 0, 4))[0]).toBe(noiseAt(1, 0));
    gpu.assertAlive();
  } finally {
    gpu.destroy();
    device.destroy();
    releaseDawn();
  }
});
