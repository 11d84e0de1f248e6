/** @file Our engine behind the face that the golden suite asks for. */
import { createEngine } from '../../src/gpu/engine.ts';
import type { ModelSource } from '../../src/gpu/formats/model_source.ts';
import type { OpenEngine } from './engine_under_test.ts';
import type { Precision } from './tolerances.ts';

/** Opens a model on a device. Full fine-tuning keeps its weights in f32 at any precision. */
export function engineOpener(device: GPUDevice, model: ModelSource, precision: Precision): OpenEngine {
  return async (trained) => {
    const engine = await createEngine({
      device,
      model,
      precision: trained === 'full' ? 'f32' : precision,
      ...(trained === 'full' ? {} : trained === 'nothing' ? { frozen: true } : { adapter: trained }),
    });
    return {
      policy: engine,
      logits: (sequences) => engine.logits(sequences),
      gradients: (batch, objective) => engine.gradients(batch, objective),
      destroy: () => engine.destroy(),
    };
  };
}
