/** @file Training steps of the reference: losses of `src/core/loss`, backward through the model, clipping, AdamW. */
import { stepTotals } from '../../core/loss/aggregation.ts';
import type { AdamWState } from '../../core/loss/adamw.ts';
import { adamWStep, clipCoefficient, createAdamWState, gradientNorm } from '../../core/loss/adamw.ts';
import { policyLoss } from '../../core/loss/policy_loss.ts';
import { sftLoss } from '../../core/loss/sft_loss.ts';
import type { LossOutputs, LossSequence } from '../../core/loss/types.ts';
import type { Objective, OptimizerOptions, TrainSequence } from '../../core/policy.ts';
import type { LoraInputMask } from './linear.ts';
import type { TokenScores } from './logprobs.ts';
import { scoreTokens } from './logprobs.ts';
import type { ForwardPass } from './model.ts';
import { forward } from './model.ts';
import type { ReferenceModel } from './parameters.ts';
import { weight } from './parameters.ts';

/** Loss of a batch and everything about its tokens. `model.gradients` holds the gradients. */
export interface ReferenceLoss {
  value: number;
  scores: TokenScores[];
  /** Policy objectives only. */
  outputs?: LossOutputs;
}

/** Value of the objective on a batch; gradients of all trainable weights replace `model.gradients`. */
export function lossAndGradients(
  model: ReferenceModel,
  batch: readonly TrainSequence[],
  objective: Objective,
  mask?: (sequence: number) => LoraInputMask,
): ReferenceLoss {
  model.gradients = new Map();
  const temperature = objective.kind === 'policy' ? objective.temperature : 1;
  const passes = batch.map((s, i): { pass: ForwardPass; scores: TokenScores } => {
    const pass = forward(model, s.tokens, mask?.(i));
    return { pass, scores: scoreTokens(pass.logits, s.tokens, temperature) };
  });
  const scores = passes.map((p) => p.scores);
  const sequences = batch.map((s, i) => toLossSequence(s, scores[i]!));
  let value: number;
  let gradients: Float64Array[];
  let outputs: LossOutputs | undefined;
  if (objective.kind === 'policy') {
    outputs = policyLoss({ sequences, totals: stepTotals(sequences, objective) }, objective);
    ({ value, gradients } = outputs);
  } else ({ value, gradients } = sftLoss(sequences, objective.loss));
  passes.forEach(({ pass, scores: s }, i) => pass.backward(s.backward(gradients[i]!)));
  return { value, scores, ...(outputs ? { outputs } : {}) };
}

/** A training sequence as the loss wants it; its first token has no context and is never in the loss. */
function toLossSequence(s: TrainSequence, { logprobs, entropies }: TokenScores): LossSequence {
  return {
    logprobs,
    entropies,
    mask: Array.from(s.lossMask, (m, t) => (t === 0 ? 0 : m)),
    advantage: s.tokenAdvantages ?? s.advantage ?? 0,
    ...(s.oldLogprobs ? { old: s.oldLogprobs } : {}),
    ...(s.refLogprobs ? { ref: s.refLogprobs } : {}),
    ...(s.samplerLogprobs ? { sampler: s.samplerLogprobs } : {}),
    ...(s.segmentIds ? { segments: s.segmentIds } : {}),
  };
}

/** AdamW over a model's trainable weights. */
export class ReferenceOptimizer {
  private readonly states = new Map<string, AdamWState>();
  constructor(private readonly model: ReferenceModel) {}

  /** Apply `model.gradients` (absent = 0); returns the global norm before clipping. */
  step(options: OptimizerOptions): number {
    const norm = gradientNorm(this.model.gradients.values());
    const scale = clipCoefficient(norm, options.maxGradNorm);
    for (const name of this.model.trainable) {
      const values = weight(this.model, name);
      let state = this.states.get(name);
      if (!state) this.states.set(name, (state = createAdamWState(values.length)));
      const g = this.model.gradients.get(name) ?? new Float64Array(values.length);
      adamWStep(values, g, state, options, scale);
    }
    return norm;
  }
}
