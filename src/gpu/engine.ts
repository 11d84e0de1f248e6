/**
 * @file `createEngine`: the face of the training engine. Tokens in, tokens and numbers out; it implements `Policy` and adds what
 * tests, tools and benchmarks ask for.
 */
import { UsageError } from '../core/errors.ts';
import type {
  Completion,
  GenerateOptions,
  GenerateRequest,
  Objective,
  OptimizerOptions,
  Policy,
  PolicyFiles,
  StepResult,
  TrainSequence,
} from '../core/policy.ts';
import type { ModelSource } from './formats/model_source.ts';
import type { Adapter } from './formats/peft.ts';
import { writePeft } from './formats/peft.ts';
import type { GeneratorOptions } from './generate/generator.ts';
import { Generator } from './generate/generator.ts';
import { LoraAdapter } from './model/adapter.ts';
import { defaultChunkBytes } from './model/head.ts';
import type { LoraConfig, ModelConfig } from './model/config.ts';
import { MergedWeights } from './model/merged.ts';
import { FlatTensors } from './model/parameters.ts';
import { PassBuffers } from './model/pass_buffers.ts';
import { ModelRunner } from './model/runner.ts';
import type { ModelWeights } from './model/weights.ts';
import { createWeights, fullLayout, loadWeights } from './model/weights.ts';
import { GpuContext } from './runtime/context.ts';
import { readTensor, sizeOf } from './runtime/tensor.ts';
import { Reference } from './train/reference.ts';
import { evaluateBatch, scoreSequences, sequenceLogits } from './train/scoring.ts';
import { checkSequences } from './train/packing.ts';
import { readState, writeFullWeights, writeState } from './train/state.ts';
import { recordMetrics } from './train/step_record.ts';
import { Trainer } from './train/trainer.ts';

/** What `createEngine` takes. */
export interface EngineOptions {
  /** Requested by the host, see `engineDeviceDescriptor`. It stays the host's. */
  device: GPUDevice;
  /** Configuration and weights, see `openModel` and `randomModel`. */
  model: ModelSource;
  /**
   * What is trained: a new LoRA of this configuration, or a copy of `adapter`. With neither, all weights are trained, unless
   * `frozen`.
   */
  lora?: LoraConfig;
  adapter?: Adapter;
  /** Nothing is trained: generate and score only. */
  frozen?: boolean;
  /** Storage of frozen weights. `f16` halves their memory; sums stay f32. Default `f32`. */
  precision?: 'f32' | 'f16';
  /** Seed of the adapter's initial values and of dropout. Default 0. */
  seed?: number;
  /** Most tokens computed at once in training and scoring. Default 4096, on a software device 2048. */
  tokensPerMicroBatch?: number;
  /** Compute what the sequences of a training step begin with in common once. Default true; off, for comparison. */
  sharePrefixes?: boolean;
  /** Keep only block inputs for the backward pass and compute blocks twice: less memory, a third slower. */
  checkpointing?: boolean;
  /** Bytes of the largest chunk of logits. Default 256 MiB, on a software device 64 MiB. */
  logitsBytes?: number;
  /** Longest sequence. Default the model's `maxPositionEmbeddings`. */
  maxPositions?: number;
  generation?: GeneratorOptions;
}

/** Value and gradients of an objective, without a step. */
export interface GradientResult {
  loss: number;
  metrics: Record<string, number>;
  /** By Hugging Face's or PEFT's parameter name. */
  gradients: Map<string, Float32Array>;
}

/** A model on the GPU, its trainable parameters, and everything that can be done with them. */
export class Engine implements Policy {
  readonly gpu: GpuContext;
  private readonly forwardBuffers: PassBuffers;
  private readonly runner: ModelRunner;
  private readonly generator: Generator;
  private readonly reference: Reference;
  /** Weights with the adapter folded in, where a copy is cheap. */
  private readonly merged: MergedWeights | null;
  private trainer: Trainer | null = null;
  /** One thing at a time: calls wait for each other. */
  private queue: Promise<unknown> = Promise.resolve();

  /** Use `createEngine`. */
  constructor(
    gpu: GpuContext,
    private readonly options: EngineOptions,
    private readonly weights: ModelWeights,
    private readonly adapter: LoraAdapter | null,
    /** Trainable parameters: the adapter's, or all weights; null when frozen. */
    private readonly parameters: FlatTensors | null,
  ) {
    this.gpu = gpu;
    const chunkBytes = options.logitsBytes ?? defaultChunkBytes(gpu.capabilities);
    this.forwardBuffers = new PassBuffers(gpu, weights.config, { mode: 'forward', full: false, chunkBytes });
    this.merged = MergedWeights.of(gpu, weights, adapter);
    const sampled = this.merged ? { weights: this.merged.weights, adapter: null } : { weights, adapter };
    this.runner = new ModelRunner(this.forwardBuffers, sampled.weights, sampled.adapter);
    this.generator = new Generator(gpu, sampled, options.generation);
    this.reference = new Reference(
      gpu,
      options.model,
      weights,
      adapter,
      adapter ? null : parameters,
      this.forwardBuffers,
    );
  }

  get config(): ModelConfig {
    return this.weights.config;
  }

  /** The LoRA's configuration; null when all weights are trained or none. */
  get lora(): LoraConfig | null {
    return this.adapter?.config ?? null;
  }

  /** Longest sequence. */
  get maxPositions(): number {
    return this.weights.rope.shape[0]!;
  }

  /** Most bytes of GPU memory ever allocated. */
  get peakBytes(): number {
    return this.gpu.peakBytes;
  }

  /** Optimizer steps taken. */
  get steps(): number {
    return this.trainer?.optimizer.step ?? 0;
  }

  generate(requests: readonly GenerateRequest[], options: GenerateOptions): Promise<Completion[]> {
    return this.exclusive(() => this.generator.generate(requests, options));
  }

  logprobs(
    sequences: readonly (readonly number[])[],
    options: { reference?: boolean; temperature?: number } = {},
  ): Promise<Float32Array[]> {
    return this.exclusive(async () => {
      checkSequences(sequences, this);
      const runner = options.reference ? this.reference.runner() : this.runner;
      return scoreSequences(runner, sequences, this.tokenBudget, options.temperature ?? 1);
    });
  }

  /** Logits of every position, `[T, V]` a sequence. For tests and tools: the whole result is held on the host. */
  logits(
    sequences: readonly (readonly number[])[],
    options: { reference?: boolean } = {},
  ): Promise<Float32Array[]> {
    return this.exclusive(async () => {
      checkSequences(sequences, this);
      const runner = options.reference ? this.reference.runner() : this.runner;
      return sequenceLogits(runner, sequences, this.tokenBudget);
    });
  }

  /** `loss` (cross-entropy), `mean_token_accuracy`, `entropy` and `num_tokens` of a batch; no gradient, no dropout. */
  evaluate(batch: readonly TrainSequence[]): Promise<Record<string, number>> {
    return this.exclusive(() => {
      this.checkBatch(batch);
      return evaluateBatch(this.runner, batch, this.tokenBudget);
    });
  }

  trainStep(
    batch: readonly TrainSequence[],
    objective: Objective,
    optimizer: OptimizerOptions,
  ): Promise<StepResult> {
    return this.exclusive(() => {
      this.checkBatch(batch);
      return this.training().step(batch, objective, optimizer);
    });
  }

  /** Loss, metrics and gradients of a batch; nothing is updated. Dropout applies as it would in the next step. */
  gradients(batch: readonly TrainSequence[], objective: Objective): Promise<GradientResult> {
    return this.exclusive(async () => {
      this.checkBatch(batch);
      const trainer = this.training();
      const record = await trainer.accumulate(batch, objective);
      return {
        loss: record.loss,
        metrics: recordMetrics(record),
        gradients: await this.named(trainer.optimizer.grads),
      };
    });
  }

  /** The trainable parameters as they are now, by name. */
  parametersByName(): Promise<Map<string, Float32Array>> {
    return this.exclusive(() => this.named(this.trainable()));
  }

  exportWeights(): Promise<PolicyFiles> {
    return this.exclusive(async () => {
      if (this.adapter) return writePeft(await this.adapter.download(), this.options.model.name);
      return writeFullWeights(this.gpu, this.trainable());
    });
  }

  saveState(): Promise<PolicyFiles> {
    return this.exclusive(() =>
      writeState(this.gpu, this.identity(), this.trainable(), this.trainer?.optimizer ?? null),
    );
  }

  loadState(files: PolicyFiles): Promise<void> {
    return this.exclusive(async () => {
      await readState(this.gpu, this.identity(), this.trainable(), files, () => this.training().optimizer);
      this.merged?.invalidate();
    });
  }

  setReference(reference: 'current' | 'base' | PolicyFiles): Promise<void> {
    return this.exclusive(() => this.reference.set(reference));
  }

  destroy(): void {
    this.generator.destroy();
    this.gpu.destroy();
  }

  private get tokenBudget(): number {
    return this.options.tokensPerMicroBatch ?? (this.gpu.capabilities.software ? 2048 : 4096);
  }

  /** What sequences are checked against. */
  get vocabSize(): number {
    return this.config.vocabSize;
  }

  private checkBatch(batch: readonly TrainSequence[]): void {
    checkSequences(
      batch.map((s) => s.tokens),
      this,
    );
  }

  private trainable(): FlatTensors {
    if (!this.parameters)
      throw new UsageError(
        'This engine is frozen: it has nothing to train or to save.',
        'Create it with `lora`.',
      );
    return this.parameters;
  }

  /** The trainer, made when it is first needed: its buffers are the larger part of the memory. */
  private training(): Trainer {
    const { options } = this;
    return (this.trainer ??= new Trainer(
      this.gpu,
      this.weights,
      this.adapter,
      this.merged,
      this.trainable(),
      {
        full: this.adapter === null,
        checkpointing: options.checkpointing ?? false,
        sharePrefixes: options.sharePrefixes ?? true,
        tokensPerMicroBatch: this.tokenBudget,
        chunkBytes: options.logitsBytes ?? defaultChunkBytes(this.gpu.capabilities),
        seed: options.seed ?? 0,
      },
    ));
  }

  /** What a saved state must agree with. */
  private identity() {
    const { config, lora } = this;
    return {
      config,
      lora: lora && { r: lora.r, alpha: lora.alpha, targetModules: [...lora.targetModules].sort() },
    };
  }

  private async named(tensors: FlatTensors): Promise<Map<string, Float32Array>> {
    const values = await readTensor(this.gpu, tensors.flat);
    return new Map(
      tensors.layout.entries.map(({ name, shape, offset }) => [
        name,
        values.slice(offset, offset + sizeOf(shape)),
      ]),
    );
  }

  private exclusive<T>(call: () => T | Promise<T>): Promise<T> {
    const result = this.queue.then(() => {
      this.gpu.assertAlive();
      this.merged?.refresh();
      return call();
    });
    this.queue = result.catch(() => undefined);
    return result;
  }
}

/** Load a model onto a device. Throws `InputError` for a damaged checkpoint, `DeviceError` when it does not fit. */
export async function createEngine(options: EngineOptions): Promise<Engine> {
  const { device, model, adapter: initial, precision } = options;
  const lora = options.lora ?? initial?.config;
  if (options.maxPositions !== undefined && options.maxPositions > model.config.maxPositionEmbeddings)
    throw new UsageError(
      `maxPositions is ${options.maxPositions}, the model has ${model.config.maxPositionEmbeddings}.`,
      'Give a smaller number.',
    );
  const gpu = new GpuContext(device);
  try {
    const full = !lora && !options.frozen;
    if (full && precision === 'f16')
      throw new UsageError(
        'Full fine-tuning keeps its weights in f32.',
        'Train a LoRA, or leave precision out.',
      );
    const flat = full ? new FlatTensors(gpu, fullLayout(model.config), 'weights') : undefined;
    const rope = options.maxPositions;
    const weights = createWeights(gpu, model.config, { precision, flat, rope });
    await loadWeights(gpu, weights, model);
    const adapter = lora ? new LoraAdapter(gpu, model.config, lora) : null;
    if (adapter && initial) adapter.upload(initial);
    else adapter?.initialise(options.seed ?? 0);
    const parameters = options.frozen ? null : (adapter?.tensors ?? flat ?? null);
    return new Engine(gpu, options, weights, adapter, parameters);
  } catch (error) {
    gpu.destroy();
    throw error;
  }
}
