/**
 * @file The reference policy: the same base weights with another, frozen adapter (or none). Under full fine-tuning, a frozen
 * copy of all weights.
 */
import { UsageError } from '../../core/errors.ts';
import type { PolicyFiles } from '../../core/policy.ts';
import { mapFiles } from '../formats/memory_files.ts';
import type { ModelSource } from '../formats/model_source.ts';
import { singleFile } from '../formats/open_model.ts';
import { readPeftFiles } from '../formats/peft.ts';
import { openSafetensors } from '../formats/safetensors.ts';
import { LoraAdapter } from '../model/adapter.ts';
import { MergedWeights } from '../model/merged.ts';
import { FlatTensors } from '../model/parameters.ts';
import type { PassBuffers } from '../model/pass_buffers.ts';
import { ModelRunner } from '../model/runner.ts';
import type { ModelWeights } from '../model/weights.ts';
import { createWeights, loadWeights } from '../model/weights.ts';
import type { GpuContext } from '../runtime/context.ts';

/** Holds the reference and its programs. Until one is set, a LoRA's reference is the bare base model. */
export class Reference {
  private current: ModelRunner | null = null;
  private frozenAdapter: LoraAdapter | null = null;
  private merged: MergedWeights | null = null;
  private frozenFlat: FlatTensors | null = null;

  constructor(
    private readonly gpu: GpuContext,
    private readonly source: ModelSource,
    private readonly weights: ModelWeights,
    private readonly adapter: LoraAdapter | null,
    /** All weights, under full fine-tuning. */
    private readonly flat: FlatTensors | null,
    private readonly buffers: PassBuffers,
  ) {
    if (!flat) this.current = new ModelRunner(buffers, weights, null);
  }

  /** Throws `UsageError` when full fine-tuning has set no reference yet. */
  runner(): ModelRunner {
    if (!this.current)
      throw new UsageError(
        'There is no reference: all weights are trained, so the base model is not there any more.',
        "Call setReference('current') before training, or setReference('base').",
      );
    return this.current;
  }

  async set(reference: 'current' | 'base' | PolicyFiles): Promise<void> {
    if (this.flat) await this.setWeights(reference, this.flat);
    else await this.setAdapter(reference);
  }

  private async setAdapter(reference: 'current' | 'base' | PolicyFiles): Promise<void> {
    const { gpu, weights, adapter } = this;
    let next: LoraAdapter | null = null;
    if (reference === 'current' && adapter) {
      next = new LoraAdapter(gpu, weights.config, adapter.config, 'reference lora');
      copy(gpu, adapter.tensors, next.tensors);
    } else if (typeof reference !== 'string') {
      const files = await readPeftFiles(reference, weights.config, 'reference');
      next = new LoraAdapter(gpu, weights.config, files.config, 'reference lora');
      next.upload(files);
    }
    this.merged?.destroy();
    this.merged = MergedWeights.of(gpu, weights, next);
    this.merged?.refresh();
    this.frozenAdapter?.destroy();
    this.frozenAdapter = next;
    this.current = this.merged
      ? new ModelRunner(this.buffers, this.merged.weights, null)
      : new ModelRunner(this.buffers, weights, next);
  }

  private async setWeights(reference: 'current' | 'base' | PolicyFiles, flat: FlatTensors): Promise<void> {
    const { gpu, weights } = this;
    const frozen = (this.frozenFlat ??= new FlatTensors(gpu, flat.layout, 'reference weights'));
    const copied = createWeights(gpu, weights.config, { flat: frozen, rope: weights.rope });
    if (reference === 'current') copy(gpu, flat, frozen);
    else
      await loadWeights(
        gpu,
        copied,
        reference === 'base' ? this.source : await sourceOf(reference, this.source),
      );
    this.current = new ModelRunner(this.buffers, copied, null);
  }
}

function copy(gpu: GpuContext, from: FlatTensors, to: FlatTensors): void {
  const encoder = gpu.device.createCommandEncoder();
  encoder.copyBufferToBuffer(from.flat.buffer, 0, to.flat.buffer, 0, from.layout.size * 4);
  gpu.device.queue.submit([encoder.finish()]);
}

/** Full weights exported by the engine, as a source of the same model. */
async function sourceOf(files: PolicyFiles, model: ModelSource): Promise<ModelSource> {
  const file = await openSafetensors(mapFiles('reference', files), singleFile);
  return { ...model, name: 'reference', read: (tensor, start, end) => file.read(tensor, start, end) };
}
