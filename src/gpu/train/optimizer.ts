/** @file AdamW over the flat parameter buffer: moments, gradient, and the recorded update. */
import { InputError } from '../../core/errors.ts';
import type { OptimizerOptions } from '../../core/policy.ts';
import {
  normPartials,
  packSettings,
  recordAdamW,
  recordGradientNorm,
  settingsWidth,
} from '../kernels/adamw.ts';
import { FlatTensors } from '../model/parameters.ts';
import type { GpuContext } from '../runtime/context.ts';
import { DispatchList } from '../runtime/dispatch_list.ts';
import type { Tensor } from '../runtime/tensor.ts';
import { createTensor, writeTensor } from '../runtime/tensor.ts';

/** The optimizer of a set of parameters. */
export class AdamW {
  readonly grads: FlatTensors;
  readonly m: FlatTensors;
  readonly v: FlatTensors;
  /** Steps taken. */
  step = 0;
  private readonly settings: Tensor;
  private readonly partials: Tensor;
  private readonly result: Tensor;
  private readonly list: DispatchList;

  constructor(
    private readonly gpu: GpuContext,
    parameters: FlatTensors,
  ) {
    const { layout } = parameters;
    this.grads = new FlatTensors(gpu, layout, 'gradients');
    this.m = new FlatTensors(gpu, layout, 'first moments');
    this.v = new FlatTensors(gpu, layout, 'second moments');
    this.settings = createTensor(gpu, 'optimizer settings', [settingsWidth]);
    this.partials = createTensor(gpu, 'norm partials', [normPartials]);
    this.result = createTensor(gpu, 'norm result', [3]);
    const tensors = {
      parameters: parameters.flat,
      grads: this.grads.flat,
      m: this.m.flat,
      v: this.v.flat,
      settings: this.settings,
      partials: this.partials,
      result: this.result,
    };
    this.list = new DispatchList(gpu);
    recordGradientNorm(this.list, tensors);
    recordAdamW(this.list, tensors);
  }

  /** Set all gradients to 0. */
  zeroGradients(): void {
    const encoder = this.gpu.device.createCommandEncoder();
    encoder.clearBuffer(this.grads.flat.buffer);
    this.gpu.device.queue.submit([encoder.finish()]);
  }

  /**
   * Clip and update; resolves to the gradient norm before clipping. Throws `InputError` naming the step when the gradient
   * is not finite; parameters and moments are then as they were.
   */
  async update(options: OptimizerOptions): Promise<number> {
    const [beta1, beta2] = options.betas ?? [0.9, 0.999];
    const step = this.step + 1;
    const settings = packSettings({
      learningRate: options.learningRate,
      beta1,
      beta2,
      eps: options.eps ?? 1e-8,
      weightDecay: options.weightDecay ?? 0,
      maxGradNorm: options.maxGradNorm ?? 0,
      step,
    });
    writeTensor(this.gpu, this.settings, settings);
    this.list.submit();
    const [norm, , finite] = new Float32Array(await this.gpu.read(this.result.buffer, 0, 12));
    if (finite === 0) throw notFinite('gradient', step);
    this.step = step;
    return norm!;
  }

  destroy(): void {
    for (const t of [this.grads.flat, this.m.flat, this.v.flat, this.settings, this.partials, this.result])
      this.gpu.destroyBuffer(t.buffer);
  }
}

/** The error of a step whose loss or gradient is a NaN or an infinity. */
export const notFinite = (what: 'loss' | 'gradient', step: number): InputError =>
  new InputError(
    `The ${what} of optimizer step ${step} is not a finite number; the parameters were left as they were.`,
    'Lower the learning rate or the clipping norm, and look at the batch for log-probs or advantages that are not finite.',
  );
