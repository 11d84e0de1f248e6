/** @file What the golden suite asks of an engine; `open_engine.ts` puts ours behind it. */
import type { Objective, Policy, TrainSequence } from '../../src/core/policy.ts';
import type { Adapter } from '../../src/gpu/formats/peft.ts';

/** What is trained: the given LoRA, every weight of the model, or nothing (generate and score only). */
export type Trained = Adapter | 'full' | 'nothing';

export interface EngineUnderTest {
  policy: Policy;
  /** Logits of every position, [T · V] a sequence. */
  logits(sequences: readonly (readonly number[])[]): Promise<Float32Array[]>;
  /** Loss of a batch and its gradient with respect to every trained tensor, by PEFT's or transformers' name; no step. */
  gradients(
    batch: readonly TrainSequence[],
    objective: Objective,
  ): Promise<{ loss: number; gradients: Map<string, Float32Array> }>;
  destroy(): void;
}

/** Open the model of a golden folder. */
export type OpenEngine = (trained: Trained) => Promise<EngineUnderTest>;
