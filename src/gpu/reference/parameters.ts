/**
 * @file Weights and gradients of the float64 reference by Hugging Face name (`model.layers.0.mlp.up_proj.weight`), LoRA
 * matrices by the name of their layer (`model.layers.0.self_attn.q_proj.lora_A`).
 */
import type { Adapter } from '../formats/peft.ts';
import type { ModelSource } from '../formats/model_source.ts';
import type { LoraConfig, ModelConfig } from '../model/config.ts';

/** A model in float64: configuration, weights, what is trained, and the gradients of the last backward pass. */
export interface ReferenceModel {
  config: ModelConfig;
  weights: Map<string, Float64Array>;
  /** The LoRA in use; null = the bare base model. */
  lora: LoraConfig | null;
  /** Names that receive gradients. */
  trainable: ReadonlySet<string>;
  gradients: Map<string, Float64Array>;
}

/** The weight of a name. Throws `RangeError` when the model has none. */
export function weight(model: ReferenceModel, name: string): Float64Array {
  const found = model.weights.get(name);
  if (!found) throw new RangeError(`The reference model has no ${name}.`);
  return found;
}

/** Where the gradient of a weight is added up; null when the weight is frozen. */
export function gradient(model: ReferenceModel, name: string): Float64Array | null {
  if (!model.trainable.has(name)) return null;
  let found = model.gradients.get(name);
  if (!found) model.gradients.set(name, (found = new Float64Array(weight(model, name).length)));
  return found;
}

/** Load a model. With an adapter its matrices are trained, without one every weight is. */
export async function loadReference(
  source: ModelSource,
  names: Iterable<string>,
  adapter?: Adapter,
): Promise<ReferenceModel> {
  const weights = new Map<string, Float64Array>();
  for (const name of names) weights.set(name, Float64Array.from(await source.read(name)));
  const model: ReferenceModel = {
    config: source.config,
    weights,
    lora: null,
    trainable: new Set(weights.keys()),
    gradients: new Map(),
  };
  return adapter ? withAdapter(model, adapter) : model;
}

/** The same base weights with a LoRA on top, which is what trains. Base arrays are shared, LoRA arrays are copies. */
export function withAdapter(base: ReferenceModel, adapter: Adapter): ReferenceModel {
  const weights = new Map(base.weights);
  for (const [name, { data }] of adapter.tensors) weights.set(name, Float64Array.from(data));
  return {
    config: base.config,
    weights,
    lora: adapter.config,
    trainable: new Set(adapter.tensors.keys()),
    gradients: new Map(),
  };
}

/** The base model alone (adapter off), sharing the arrays. */
export const withoutAdapter = (model: ReferenceModel): ReferenceModel => ({
  ...model,
  lora: null,
  trainable: new Set(),
  gradients: new Map(),
});
