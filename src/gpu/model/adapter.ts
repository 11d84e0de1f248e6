/**
 * @file LoRA on the GPU: `W' = W + (alpha/r)·B·A`, all matrices in one flat buffer. The same buffer serves training and
 * sampling; a second one, frozen, is the reference.
 */
import { hash32, Rng } from '../../core/random.ts';
import type { Adapter } from '../formats/peft.ts';
import { adapterKey } from '../formats/peft.ts';
import type { GpuContext } from '../runtime/context.ts';
import type { Tensor } from '../runtime/tensor.ts';
import { readTensor, sizeOf, writeTensor } from '../runtime/tensor.ts';
import type { LinearModule, LoraConfig, ModelConfig } from './config.ts';
import { linearModules, linearShape } from './config.ts';
import { FlatTensors, ParameterLayout } from './parameters.ts';

/** The two matrices of one adapted layer. */
export interface LoraPair {
  /** [r, in] */
  a: Tensor;
  /** [out, r] */
  b: Tensor;
  /** Names in the layout (the gradients have the same). */
  names: { a: string; b: string };
}

/** PEFT's name of an adapter's matrix while it trains. */
export const loraName = (layer: number, module: LinearModule, side: 'A' | 'B'): string =>
  `${adapterKey(layer, module, side)}.default.weight`;

/** Where a LoRA's matrices lie. */
export function loraLayout(config: ModelConfig, lora: LoraConfig): ParameterLayout {
  const layout = new ParameterLayout();
  for (let layer = 0; layer < config.numLayers; layer++)
    for (const module of linearModules) {
      if (!lora.targetModules.includes(module)) continue;
      const [out, width] = linearShape(config, module);
      layout.add({ name: loraName(layer, module, 'A'), shape: [lora.r, width] });
      layout.add({ name: loraName(layer, module, 'B'), shape: [out, lora.r] });
    }
  return layout;
}

/** A LoRA whose matrices live on the GPU. */
export class LoraAdapter {
  readonly tensors: FlatTensors;
  /** Adapted modules of each layer. */
  readonly layers: Partial<Record<LinearModule, LoraPair>>[] = [];
  /** alpha / r */
  readonly scale: number;

  constructor(
    private readonly gpu: GpuContext,
    readonly model: ModelConfig,
    readonly config: LoraConfig,
    label = 'lora',
  ) {
    this.scale = config.alpha / config.r;
    this.tensors = new FlatTensors(gpu, loraLayout(model, config), label);
    for (let layer = 0; layer < model.numLayers; layer++) {
      const pairs: Partial<Record<LinearModule, LoraPair>> = {};
      for (const module of linearModules) {
        if (!config.targetModules.includes(module)) continue;
        const names = { a: loraName(layer, module, 'A'), b: loraName(layer, module, 'B') };
        pairs[module] = { a: this.tensors.view(names.a), b: this.tensors.view(names.b), names };
      }
      this.layers.push(pairs);
    }
  }

  /** A ~ U(±1/√in) (PEFT's Kaiming initialisation), B = 0: the model is unchanged until it learns. */
  initialise(seed: number): void {
    const { layout } = this.tensors;
    const values = new Float32Array(layout.size);
    layout.entries.forEach(({ name, shape, offset }, index) => {
      if (!name.includes('lora_A')) return;
      const rng = new Rng(hash32(seed, index));
      const bound = 1 / Math.sqrt(shape[1]!);
      for (let i = 0; i < sizeOf(shape); i++) values[offset + i] = (2 * rng.next() - 1) * bound;
    });
    writeTensor(this.gpu, this.tensors.flat, values);
  }

  /** Take the matrices of an adapter in memory; its configuration must fit this one's shapes. */
  upload(adapter: Adapter): void {
    const { layout } = this.tensors;
    const values = new Float32Array(layout.size);
    for (const { name, offset } of layout.entries)
      values.set(adapter.tensors.get(name.replace('.default.weight', ''))!.data, offset);
    writeTensor(this.gpu, this.tensors.flat, values);
  }

  /** The matrices as they are now. */
  async download(): Promise<Adapter> {
    const values = await readTensor(this.gpu, this.tensors.flat);
    const tensors: Adapter['tensors'] = new Map();
    for (const { name, shape, offset } of this.tensors.layout.entries)
      tensors.set(name.replace('.default.weight', ''), {
        shape: shape as readonly [number, number],
        data: values.slice(offset, offset + sizeOf(shape)),
      });
    return { config: this.config, tensors };
  }

  destroy(): void {
    this.gpu.destroyBuffer(this.tensors.flat.buffer);
  }
}
