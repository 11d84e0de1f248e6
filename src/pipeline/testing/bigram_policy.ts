/**
 * @file A `Policy` of one table for tests: `log p(next | previous) = log_softmax(W[previous] / temperature)`, with exact
 * gradients through the float64 loss and AdamW, seeded sampling that does not depend on the batch, a reference and a whole
 * training state. SFT and GRPO really learn with it, in milliseconds.
 */
import { CheckpointError } from '../../core/errors.ts';
import { policyLoss } from '../../core/loss/policy_loss.ts';
import type { PolicyObjective } from '../../core/loss/types.ts';
import type {
  Completion,
  GenerateOptions,
  GenerateRequest,
  Objective,
  OptimizerOptions,
  Policy,
  PolicyFiles,
  StepResult,
  TokenReport,
  TrainSequence,
} from '../../core/policy.ts';
import { Rng } from '../../core/random.ts';

interface State {
  weights: number[];
  m: number[];
  v: number[];
  step: number;
}

/** A bigram language model over `vocab` tokens. */
export class BigramPolicy implements Policy {
  weights: Float64Array;
  reference: Float64Array;
  private m: Float64Array;
  private v: Float64Array;
  private step = 0;
  /** How often the engine was called, for tests that count. */
  readonly calls = { generate: 0, logprobs: 0, trainStep: 0, saveState: 0 };
  /** Sizes of the generate calls. */
  readonly batches: number[] = [];

  constructor(
    readonly vocab: number,
    seed = 1,
    private readonly base = randomTable(vocab, seed),
  ) {
    this.weights = base.slice();
    this.reference = base.slice();
    this.m = new Float64Array(base.length);
    this.v = new Float64Array(base.length);
  }

  async generate(requests: readonly GenerateRequest[], options: GenerateOptions): Promise<Completion[]> {
    this.calls.generate++;
    this.batches.push(requests.length);
    options.signal?.throwIfAborted();
    return requests.map((request, index) => {
      const completion = this.complete(request, options);
      options.onTokens?.(index, completion.tokens);
      return completion;
    });
  }

  async logprobs(
    sequences: readonly (readonly number[])[],
    options: { reference?: boolean; temperature?: number } = {},
  ): Promise<Float32Array[]> {
    this.calls.logprobs++;
    const table = options.reference ? this.reference : this.weights;
    return sequences.map((s) => Float32Array.from(this.score(table, s, options.temperature ?? 1)));
  }

  async trainStep(
    batch: readonly TrainSequence[],
    objective: Objective,
    optimizer: OptimizerOptions,
  ): Promise<StepResult> {
    this.calls.trainStep++;
    const temperature = objective.kind === 'policy' ? objective.temperature : 1;
    const logprobs = batch.map((s) => this.score(this.weights, s.tokens, temperature));
    const loss =
      objective.kind === 'policy' ? reinforce(batch, logprobs, objective) : likelihood(batch, logprobs);
    const gradient = new Float64Array(this.weights.length);
    batch.forEach(({ tokens }, i) => {
      for (let t = 1; t < tokens.length; t++) {
        const g = loss.gradients[i]![t]! / temperature;
        if (g === 0) continue;
        const row = tokens[t - 1]! * this.vocab;
        const p = softmaxRow(this.weights, row, this.vocab, temperature);
        for (let k = 0; k < this.vocab; k++) gradient[row + k]! -= g * p[k]!;
        gradient[row + tokens[t]!]! += g;
      }
    });
    const norm = this.adamW(gradient, optimizer);
    const counted = batch.reduce(
      (n, s) => n + Array.from(s.lossMask).reduce((a, x, t) => (t ? a + x : a), 0),
      0,
    );
    return {
      metrics: {
        loss: loss.value,
        grad_norm: norm,
        learning_rate: optimizer.learningRate,
        num_tokens: counted,
      },
      tokens: logprobs.map((lp, i): TokenReport => loss.report(i, Float32Array.from(lp))),
    };
  }

  async exportWeights(): Promise<PolicyFiles> {
    return new Map([['table.json', encode([...this.weights])]]);
  }

  async saveState(): Promise<PolicyFiles> {
    this.calls.saveState++;
    const state: State = { weights: [...this.weights], m: [...this.m], v: [...this.v], step: this.step };
    return new Map([['policy/state.json', encode(state)]]);
  }

  async loadState(files: PolicyFiles): Promise<void> {
    const bytes = files.get('policy/state.json');
    if (!bytes) throw new CheckpointError('policy/state.json is missing.');
    const state = JSON.parse(new TextDecoder().decode(bytes)) as State;
    this.weights = Float64Array.from(state.weights);
    this.m = Float64Array.from(state.m);
    this.v = Float64Array.from(state.v);
    this.step = state.step;
  }

  async setReference(reference: 'current' | 'base' | PolicyFiles): Promise<void> {
    if (reference === 'current') this.reference = this.weights.slice();
    else if (reference === 'base') this.reference = this.base.slice();
    else this.reference = readTable(reference);
  }

  /** Start from exported weights, as a host does with `--model_path`. */
  loadWeights(files: PolicyFiles): void {
    this.weights = readTable(files);
  }

  destroy(): void {
    this.weights = new Float64Array(0);
  }

  private complete(request: GenerateRequest, options: GenerateOptions): Completion {
    const temperature = options.temperature ?? 1;
    const rng = new Rng(request.seed);
    const tokens: number[] = [];
    const logprobs: number[] = [];
    let previous = request.prompt.at(-1)!;
    while (tokens.length < options.maxNewTokens) {
      const p = softmaxRow(this.weights, previous * this.vocab, this.vocab, temperature || 1);
      const next = temperature === 0 ? p.indexOf(Math.max(...p)) : draw(p, rng.next());
      tokens.push(next);
      logprobs.push(Math.log(p[next]!));
      if (options.stopTokens.includes(next))
        return { tokens, logprobs: Float32Array.from(logprobs), finishReason: 'stop' };
      previous = next;
    }
    return { tokens, logprobs: Float32Array.from(logprobs), finishReason: 'length' };
  }

  private score(table: Float64Array, tokens: readonly number[], temperature: number): Float64Array {
    const out = new Float64Array(tokens.length);
    for (let t = 1; t < tokens.length; t++)
      out[t] = Math.log(softmaxRow(table, tokens[t - 1]! * this.vocab, this.vocab, temperature)[tokens[t]!]!);
    return out;
  }

  private adamW(gradient: Float64Array, o: OptimizerOptions): number {
    const norm = Math.hypot(...gradient.filter((g) => g !== 0));
    const scale = o.maxGradNorm && norm > o.maxGradNorm ? o.maxGradNorm / (norm + 1e-6) : 1;
    const [b1, b2] = o.betas ?? [0.9, 0.999];
    this.step++;
    for (let i = 0; i < gradient.length; i++) {
      const g = gradient[i]! * scale;
      this.m[i] = b1 * this.m[i]! + (1 - b1) * g;
      this.v[i] = b2 * this.v[i]! + (1 - b2) * g * g;
      const mHat = this.m[i]! / (1 - b1 ** this.step);
      const vHat = this.v[i]! / (1 - b2 ** this.step);
      this.weights[i]! -=
        o.learningRate *
        ((o.weightDecay ?? 0) * this.weights[i]! + mHat / (Math.sqrt(vHat) + (o.eps ?? 1e-8)));
    }
    return norm;
  }
}

interface LossOf {
  value: number;
  gradients: ArrayLike<number>[];
  report(i: number, logprobs: Float32Array): TokenReport;
}

function reinforce(
  batch: readonly TrainSequence[],
  logprobs: Float64Array[],
  objective: PolicyObjective,
): LossOf {
  const out = policyLoss(
    {
      sequences: batch.map((s, i) => ({
        mask: Array.from(s.lossMask, (m, t) => (t === 0 ? 0 : m)),
        logprobs: logprobs[i]!,
        advantage: s.tokenAdvantages ?? s.advantage ?? 0,
        ...(s.oldLogprobs ? { old: s.oldLogprobs } : {}),
        ...(s.refLogprobs ? { ref: s.refLogprobs } : {}),
        ...(s.samplerLogprobs ? { sampler: s.samplerLogprobs } : {}),
      })),
    },
    objective,
  );
  return {
    value: out.value,
    gradients: out.gradients,
    report: (i, lp) => ({
      logprobs: lp,
      entropies: new Float32Array(lp.length),
      losses: Float32Array.from(out.losses[i]!),
      ratios: Float32Array.from(out.ratios[i]!),
      kls: Float32Array.from(out.kls[i]!),
      clipped: Int8Array.from(out.clipped[i]!),
    }),
  };
}

function likelihood(batch: readonly TrainSequence[], logprobs: Float64Array[]): LossOf {
  let total = 0;
  let value = 0;
  batch.forEach((s, i) => {
    for (let t = 1; t < s.tokens.length; t++)
      if (s.lossMask[t]) {
        total++;
        value -= logprobs[i]![t]!;
      }
  });
  return {
    value: value / total,
    gradients: batch.map((s) => s.tokens.map((_, t) => (t > 0 && s.lossMask[t] ? -1 / total : 0))),
    report: (_, lp) => ({ logprobs: lp, entropies: new Float32Array(lp.length) }),
  };
}

function softmaxRow(table: Float64Array, row: number, width: number, temperature: number): Float64Array {
  const out = table.slice(row, row + width).map((x) => x / temperature);
  const max = out.reduce((a, b) => Math.max(a, b), -Infinity);
  let sum = 0;
  for (let k = 0; k < width; k++) sum += out[k] = Math.exp(out[k]! - max);
  return out.map((x) => x / sum);
}

function draw(p: Float64Array, u: number): number {
  let sum = 0;
  for (let k = 0; k < p.length; k++) if ((sum += p[k]!) > u) return k;
  return p.length - 1;
}

function randomTable(vocab: number, seed: number): Float64Array {
  const rng = new Rng(seed);
  return Float64Array.from({ length: vocab * vocab }, () => 0.2 * (rng.next() - 0.5));
}

const encode = (value: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(value));

function readTable(files: PolicyFiles): Float64Array {
  const bytes = files.get('table.json');
  if (!bytes) throw new CheckpointError('table.json is missing.');
  return Float64Array.from(JSON.parse(new TextDecoder().decode(bytes)) as number[]);
}
