/**
 * @file The policy-gradient loss in float64: three independent settings (ratio level, clip rule, aggregation), then
 * off-policy mask → entropy mask → importance correction → + β·KL. Value and exact gradient with respect to the
 * log-probs. The same function in WGSL is `src/gpu/kernels/policy_loss.ts`; both meet the same golden values.
 */
import { aggregationWeight, stepTotals } from './aggregation.ts';
import { tokenLoss } from './clip_rules.ts';
import { klEstimate } from './kl.ts';
import { baseLogprobs, sequenceRatios } from './ratios.ts';
import type { LossInputs, LossOutputs, LossSequence, PolicyObjective, StepTotals } from './types.ts';

/** Value, gradient and per-token record of a policy objective. Throws `RangeError` when an array it needs is absent. */
export function policyLoss(inputs: LossInputs, objective: PolicyObjective): LossOutputs {
  const totals = inputs.totals ?? stepTotals(inputs.sequences, objective);
  const outputs: LossOutputs = { value: 0, gradients: [], losses: [], ratios: [], kls: [], clipped: [] };
  for (const sequence of inputs.sequences) {
    const one = sequenceLoss(sequence, objective, totals);
    outputs.value += one.value;
    outputs.gradients.push(one.gradient);
    outputs.losses.push(one.loss);
    outputs.ratios.push(one.ratio);
    outputs.kls.push(one.kl);
    outputs.clipped.push(one.clipped);
  }
  return outputs;
}

function sequenceLoss(sequence: LossSequence, objective: PolicyObjective, totals: StepTotals) {
  const { logprobs, advantage, ref, entropies } = sequence;
  const T = sequence.mask.length;
  const out = {
    value: 0,
    gradient: new Float64Array(T),
    loss: new Float64Array(T),
    ratio: new Float64Array(T).fill(1),
    kl: new Float64Array(T),
    clipped: new Int8Array(T),
  };
  const base = baseLogprobs(sequence, objective);
  const { groups, logWeight, correction, drift } = sequenceRatios(sequence, objective);
  const tokens = groups.reduce((n, group) => n + group.places.length, 0);
  const weight = aggregationWeight(objective.aggregation, tokens, totals);
  const drifted = objective.offPolicyMask !== undefined && drift > objective.offPolicyMask;
  const corrected = objective.clip.rule !== 'vespo';
  if (objective.entropyTopShare !== undefined && !entropies)
    throw new RangeError('The entropy mask needs the entropy of every token.');

  for (const { ratio, places } of groups) {
    let dRatio = 0;
    for (const t of places) {
      const A = typeof advantage === 'number' ? advantage : advantage[t]!;
      const token = tokenLoss(objective.clip, {
        ratio,
        advantage: A,
        logprob: logprobs[t]!,
        base: base[t]!,
        logSequenceWeight: logWeight,
      });
      let keep = corrected ? correction(t) : 1;
      if (drifted && A < 0) keep = 0;
      if (objective.entropyTopShare !== undefined && entropies![t]! < totals.entropyThreshold) keep = 0;

      let loss = keep * token.loss;
      let slope = keep * token.dLogprob;
      dRatio += keep * token.dRatio;
      if (ref) {
        const { kl, slope: klSlope } = klEstimate(objective.klEstimator, logprobs[t]!, ref[t]!);
        const factor = objective.klImportance ? ratio : 1;
        loss += objective.beta * factor * kl;
        slope += objective.beta * factor * klSlope;
        if (objective.klImportance) dRatio += objective.beta * kl;
        out.kl[t] = kl;
      }
      out.loss[t] = loss;
      out.ratio[t] = ratio;
      out.clipped[t] = token.clipped;
      out.value += weight * loss;
      out.gradient[t] = weight * slope;
    }
    // ∂r/∂lp of each of the group's tokens is r / (number of them).
    for (const t of places) out.gradient[t]! += (weight * dRatio * ratio) / places.length;
  }
  return out;
}
