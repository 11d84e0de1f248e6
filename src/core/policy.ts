/**
 * @file `Policy`, the only door to the training engine: tokens in, tokens and numbers out.
 *
 * Every per-token array is aligned with its sequence's `tokens`: entry `t` speaks of `log p(tokens[t] | tokens[<t])`;
 * entry 0 has no context and is 0. T is a sequence's length.
 */
import type { PolicyObjective } from './loss/types.ts';

/** How to choose the next token. */
export interface SamplingOptions {
  maxNewTokens: number;
  /** Tokens that end a completion; the stop token itself is part of the completion. */
  stopTokens: readonly number[];
  /** 0 = greedy. Logits are divided by it before the softmax. Default 1. */
  temperature?: number;
  /** Keep the k most likely tokens; 0 or absent = all. */
  topK?: number;
  /** Keep the smallest set whose probability reaches p; 1 or absent = all. */
  topP?: number;
  /** Suppress stop tokens until this many tokens are written. */
  minNewTokens?: number;
  /** More than 1 = beam search (Hugging Face semantics, length penalty 1, no sampling). */
  numBeams?: number;
}

/** One completion to write. The same prompt and seed give the same completion whatever else shares the batch. */
export interface GenerateRequest {
  prompt: readonly number[];
  /** 32-bit seed of this request's own random stream. */
  seed: number;
}

/** A written completion. */
export interface Completion {
  /** New tokens, the stop token included when one was sampled. [n] */
  tokens: number[];
  /** Log-probability of each new token under the untruncated softmax at the sampling temperature (1 if greedy). [n] */
  logprobs: Float32Array;
  finishReason: 'stop' | 'length';
  /** Beam search only: all beams, best first (this completion is the first), with their length-normalised scores. */
  beams?: { tokens: number[]; score: number }[];
}

export interface GenerateOptions extends SamplingOptions {
  signal?: AbortSignal;
  /** Streaming: called with new tokens of request `index` as they are read back from the GPU. */
  onTokens?: (index: number, tokens: readonly number[]) => void;
}

/** One training sequence. Absent arrays are only needed by objectives that use them. */
export interface TrainSequence {
  /** [T] */
  tokens: readonly number[];
  /** 1 where token t is a target of the loss (a token the policy wrote, or a supervised one). [T], entry 0 is ignored. */
  lossMask: ArrayLike<number>;
  /** Advantage of the whole sequence. */
  advantage?: number;
  /** Advantage per token, in place of `advantage` (item-level credit). [T] */
  tokenAdvantages?: ArrayLike<number>;
  /** Log-probs when the rollout was made (default: the current ones, i.e. ratio 1). [T] */
  oldLogprobs?: ArrayLike<number>;
  /** Log-probs under the reference. [T] */
  refLogprobs?: ArrayLike<number>;
  /** Log-probs recorded by the sampler, for importance correction and the mismatch metric. [T] */
  samplerLogprobs?: ArrayLike<number>;
  /** Item number of each token for ratio level `item`. [T] */
  segmentIds?: ArrayLike<number>;
}

/** Supervised fine-tuning: summed cross-entropy over supervised tokens / number of them in the whole step. */
export interface SftObjective {
  kind: 'sft';
  /** `dft`: each token's loss is weighted by its own detached probability (Dynamic Fine-Tuning). Default `nll`. */
  loss?: 'nll' | 'dft';
}

export type Objective = SftObjective | PolicyObjective;

/** One AdamW step. */
export interface OptimizerOptions {
  learningRate: number;
  /** Clip the global gradient norm to this; 0 or absent = no clipping. `coef = max / (norm + 1e-6)`. */
  maxGradNorm?: number;
  /** Default (0.9, 0.999). */
  betas?: readonly [number, number];
  /** Default 1e-8. */
  eps?: number;
  /** Decoupled weight decay. Default 0. */
  weightDecay?: number;
}

/** What the update used for every token of one sequence; all arrays are [T]. */
export interface TokenReport {
  logprobs: Float32Array;
  entropies: Float32Array;
  /** Per-token loss before aggregation. Policy objectives only, as are the next three. */
  losses?: Float32Array;
  ratios?: Float32Array;
  /** Per-token KL estimate against the reference. */
  kls?: Float32Array;
  /** −1 clipped below, +1 clipped above, 0 free. */
  clipped?: Int8Array;
}

/** Result of a training step. */
export interface StepResult {
  /** TRL's metric names: loss, grad_norm, learning_rate, num_tokens, mean_token_accuracy, entropy, kl, clip_ratio/… */
  metrics: Record<string, number>;
  /** One report a sequence, in the batch's order. */
  tokens: TokenReport[];
}

/** A set of files by name: a PEFT adapter, a full model, or a full training state. */
export type PolicyFiles = Map<string, Uint8Array>;

/** The model in training: generate, score, train, save, load. */
export interface Policy {
  /** Most bytes of GPU memory ever allocated (`perf/peak_bytes`), where there is a GPU. */
  readonly peakBytes?: number;
  /** Write one completion per request, in order. Identical prompts share their prompt cache. */
  generate(requests: readonly GenerateRequest[], options: GenerateOptions): Promise<Completion[]>;
  /**
   * Log-probability of every token under the policy, or under the reference. [T] each, entry 0 = 0.
   * `temperature` divides the logits (default 1).
   */
  logprobs(
    sequences: readonly (readonly number[])[],
    options?: { reference?: boolean; temperature?: number },
  ): Promise<Float32Array[]>;
  /** One optimizer step on the whole batch; the result does not depend on how it is split into micro-batches. */
  trainStep(
    batch: readonly TrainSequence[],
    objective: Objective,
    optimizer: OptimizerOptions,
  ): Promise<StepResult>;
  /** Trained weights as files: a PEFT adapter, or `model.safetensors` when fully fine-tuned. */
  exportWeights(): Promise<PolicyFiles>;
  /** Full training state: trained weights, AdamW moments, step and dropout counters. */
  saveState(): Promise<PolicyFiles>;
  /** Restore what `saveState` gave. Throws `CheckpointError` when it belongs to another model or is torn. */
  loadState(files: PolicyFiles): Promise<void>;
  /** Make the current weights (`current`), the bare base model (`base`) or a PEFT adapter's files the reference. */
  setReference(reference: 'current' | 'base' | PolicyFiles): Promise<void>;
  /** Free the GPU memory. */
  destroy(): void;
}
