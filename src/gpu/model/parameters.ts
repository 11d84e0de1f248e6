/**
 * @file Trainable parameters: every tensor in one flat f32 buffer, so that the optimizer, gradient norm, saving and
 * copying are a few operations whatever the model looks like.
 */
import type { GpuContext } from '../runtime/context.ts';
import type { Tensor } from '../runtime/tensor.ts';
import { createTensor, sizeOf } from '../runtime/tensor.ts';

/** Tensors begin at multiples of this many floats: 256 bytes, the alignment of a binding. */
const alignment = 64;

/** One named tensor in the flat buffer. */
export interface ParameterEntry {
  /** Hugging Face name, or PEFT's for LoRA: `model.layers.0.self_attn.q_proj.lora_A.default.weight`. */
  name: string;
  shape: readonly number[];
  /** First float. */
  offset: number;
}

/** Where each parameter lies. */
export class ParameterLayout {
  readonly entries: ParameterEntry[] = [];
  private readonly byName = new Map<string, ParameterEntry>();
  /** Floats of the flat buffer, gaps of the alignment included (they stay 0). */
  size = 0;

  /** Add tensors that lie one after another without a gap: the rows of one fused matrix. */
  add(...tensors: readonly { name: string; shape: readonly number[] }[]): void {
    this.size = Math.ceil(this.size / alignment) * alignment;
    for (const { name, shape } of tensors) {
      const entry = { name, shape, offset: this.size };
      this.entries.push(entry);
      this.byName.set(name, entry);
      this.size += sizeOf(shape);
    }
  }

  find(name: string): ParameterEntry | undefined {
    return this.byName.get(name);
  }

  /** Number of parameters, without gaps. */
  get count(): number {
    return this.entries.reduce((sum, e) => sum + sizeOf(e.shape), 0);
  }
}

/** A flat buffer under a layout: parameters, their gradients, or a moment of AdamW. */
export class FlatTensors {
  /** The whole buffer, [size]. */
  readonly flat: Tensor;
  constructor(
    gpu: GpuContext,
    readonly layout: ParameterLayout,
    label: string,
  ) {
    this.flat = createTensor(gpu, label, [layout.size]);
  }

  /** A view that begins at a named tensor. `shape` may span the fused tensors that follow it. */
  view(name: string, shape?: readonly number[]): Tensor {
    const entry = this.layout.find(name);
    if (!entry) throw new RangeError(`There is no parameter ${name}.`);
    return { buffer: this.flat.buffer, offset: entry.offset * 4, shape: shape ?? entry.shape, dtype: 'f32' };
  }
}
