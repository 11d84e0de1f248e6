/** @file GRPO on a golden model: losses, KL, entropy, clip fractions and gradients of every variant. */
import type { TrainSequence } from '../../src/core/policy.ts';
import type { Aggregation, PolicyObjective } from '../../src/core/loss/types.ts';
import type { CheckResult } from './check.ts';
import { absolute, relative, relativeError } from './check.ts';
import type { EngineUnderTest } from './engine_under_test.ts';
import type { GoldenBatch, GoldenModel, GoldenVariant } from './golden_model.ts';
import { readGroup, readRows } from './golden_model.ts';
import { gradientChecks } from './sft_checks.ts';
import type { Tolerances } from './tolerances.ts';

export function objectiveOf(variant: GoldenVariant): PolicyObjective {
  const aggregation: Record<GoldenVariant['norm'], Aggregation> = {
    token: { rule: 'token_mean' },
    seq: { rule: 'sequence_mean' },
    const: { rule: 'constant', length: variant.const_len },
  };
  return {
    kind: 'policy',
    ratioLevel: 'token',
    clip: { rule: 'clipped', eLow: variant.e_low, eHigh: variant.hi },
    aggregation: aggregation[variant.norm],
    beta: variant.beta,
    klEstimator: 'k3',
    temperature: 1,
  };
}

/** The golden batch with its advantages and recorded log-probs. */
export async function grpoBatch(golden: GoldenModel, batch: GoldenBatch): Promise<TrainSequence[]> {
  const [mask, old, ref] = await Promise.all(
    ['completion_mask', 'old_logprobs', 'ref_logprobs'].map((n) => readRows(golden, `grpo.${n}`, batch, 1)),
  );
  const advantages = await golden.tensors.read('grpo.advantages');
  return batch.tokens.map((tokens, b) => ({
    tokens,
    lossMask: mask![b]!,
    oldLogprobs: old![b]!,
    refLogprobs: ref![b]!,
    advantage: advantages[b]!,
  }));
}

/** Which tokens have a golden ratio so close to a bound of the clip range that log-probs within tolerance may cross it. */
function nearBound(
  variant: GoldenVariant,
  sequences: readonly TrainSequence[],
  current: readonly Float64Array[],
  tolerance: number,
): (b: number, t: number) => boolean {
  const bounds = [Math.log(1 - variant.e_low), Math.log(1 + variant.hi)];
  return (b, t) => {
    const logRatio = current[b]![t]! - sequences[b]!.oldLogprobs![t]!;
    return bounds.some((bound) => Math.abs(logRatio - bound) <= tolerance);
  };
}

/**
 * Checks of every variant. One optimizer step with learning rate 0 gives the metrics and the per-token record without
 * moving the weights.
 */
export async function* grpoChecks(
  golden: GoldenModel,
  engine: EngineUnderTest,
  batch: GoldenBatch,
  tolerance: Tolerances,
): AsyncGenerator<CheckResult> {
  const { name, json } = golden;
  const sequences = await grpoBatch(golden, batch);
  const current = await readRows(golden, 'grpo.logprobs', batch, 1);
  for (const [key, variant] of Object.entries(json.grpo)) {
    const objective = objectiveOf(variant);
    const label = (what: string) => `grpo ${key}: ${what}`;
    const { loss, gradients } = await engine.gradients(sequences, objective);
    const { tokens } = await engine.policy.trainStep(sequences, objective, { learningRate: 0 });
    /** Mean of a per-token record over the loss tokens of the batch. */
    const mean = (value: (b: number, t: number) => number): number => {
      let sum = 0;
      let n = 0;
      sequences.forEach(({ lossMask }, b) => {
        for (let t = 0; t < lossMask.length; t++)
          if (lossMask[t] !== 0) {
            sum += value(b, t);
            n++;
          }
      });
      return sum / n;
    };
    const kl = (b: number, t: number) => tokens[b]!.kls?.[t] ?? NaN;
    const policyLoss = mean(
      (b, t) => (tokens[b]!.losses?.[t] ?? NaN) - (variant.beta ? variant.beta * kl(b, t) : 0),
    );
    const clipped = (sign: number) => mean((b, t) => (tokens[b]!.clipped?.[t] === sign ? 1 : 0));

    yield relative(name, label('loss'), relativeError([loss], [variant.loss]), tolerance.loss);
    yield relative(
      name,
      label('loss without KL, token mean'),
      relativeError([policyLoss], [variant.pg]),
      tolerance.loss,
    );
    if (variant.beta !== 0)
      yield absolute(name, label('KL'), Math.abs(mean(kl) - variant.kl_k3), tolerance.logprobs);
    yield absolute(
      name,
      label('entropy'),
      Math.abs(mean((b, t) => tokens[b]!.entropies[t]!) - variant.entropy),
      tolerance.logprobs,
    );
    const near = nearBound(variant, sequences, current, tolerance.logprobs);
    const share = mean((b, t) => (near(b, t) ? 1 : 0));
    const off = Math.max(Math.abs(clipped(-1) - variant.clip_low), Math.abs(clipped(1) - variant.clip_high));
    const flipped = off > 1e-9;
    const note =
      flipped && off <= share
        ? 'a token within rounding of the clip range fell on its other side'
        : undefined;
    yield absolute(name, label('clip fractions'), off, 1e-9 + share, note);
    const expected = await readGroup(golden, `grpo.${key}.grad.`);
    // A token that fell on the other side of the range has another gradient: nothing can be compared then.
    if (expected.size > 0 && !note)
      yield* gradientChecks(name, label('gradient'), gradients, expected, tolerance.gradient);
  }
}
