import type { ModelSource } from '../../src/gpu/formats/model_source.ts';
import type { OpenEngine } from './engine_under_test.ts';
import type { Precision } from './tolerances.ts';
export function engineOpener(_d: GPUDevice, _m: ModelSource, _p: Precision): OpenEngine {
  return async () => {
    throw new Error('no engine');
  };
}
