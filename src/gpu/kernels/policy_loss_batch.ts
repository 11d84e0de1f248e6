/** @file What the host sends to the policy loss kernel: a micro-batch's tokens, its sequences, the objective's numbers. */
import { aggregationWeight, countLossTokens } from '../../core/loss/aggregation.ts';
import type { LossSequence, PolicyObjective, StepTotals } from '../../core/loss/types.ts';
import type { GpuContext } from '../runtime/context.ts';
import { createTensor, writeTensor } from '../runtime/tensor.ts';
import type { PolicyLossTensors } from './policy_loss.ts';

/** 32-bit words of a packed token: flags, segment, advantage, old, ref, sampler. */
export const tokenWords = 6;

/** Bits of a token's first word: it is in the loss; and which optional log-probs it has. */
export const flags = { loss: 1, old: 2, ref: 4, sampler: 8 } as const;

/** Numbers of an objective in the order of the `settings` buffer. */
export const settingNames = [
  'low',
  'high',
  'delta',
  'tauPositive',
  'tauNegative',
  'kPositive',
  'lambdaPositive',
  'kNegative',
  'lambdaNegative',
  'klTau',
  'beta',
  'importanceMin',
  'importanceMax',
  'driftLimit',
  'entropyThreshold',
] as const;
type SettingName = (typeof settingNames)[number];

/** A sequence of the batch without what the GPU computes itself. */
export type PolicyBatchSequence = Omit<LossSequence, 'logprobs' | 'entropies'>;

/** Stands for infinity in f32. */
const HUGE = 3e38;

/** The objective's numbers as the kernel reads them. */
export function packPolicySettings(objective: PolicyObjective, totals: StepTotals): Float32Array {
  const { clip, importance } = objective;
  const settings: Partial<Record<SettingName, number>> = {
    beta: objective.beta,
    importanceMin: importance?.min ?? 0,
    importanceMax: importance?.max ?? HUGE,
    driftLimit: objective.offPolicyMask ?? HUGE,
    entropyThreshold: Math.max(totals.entropyThreshold, -HUGE),
  };
  switch (clip.rule) {
    case 'clipped':
      Object.assign(settings, { low: 1 - clip.eLow, high: 1 + clip.eHigh, delta: clip.delta ?? HUGE });
      break;
    case 'cispo':
      settings.high = clip.eHigh;
      break;
    case 'dppo':
      Object.assign(settings, { low: clip.maskLow, high: clip.maskHigh, klTau: clip.klTau });
      break;
    case 'sapo':
      Object.assign(settings, { tauPositive: clip.tauPositive, tauNegative: clip.tauNegative });
      break;
    case 'vespo': {
      const { kPositive, lambdaPositive, kNegative, lambdaNegative } = clip;
      Object.assign(settings, { kPositive, lambdaPositive, kNegative, lambdaNegative });
      break;
    }
  }
  return Float32Array.from(settingNames, (name) => settings[name] ?? 0);
}

/**
 * Pack a micro-batch whose sequences lie at `starts` of the token axis (default: one after the other), for a kernel of
 * `capacity` sequences. `totals` are those of the whole optimizer step. tokens [N, 6], sequences [capacity, 4].
 * Throws `RangeError` when the sequences do not fit.
 */
export function packPolicyBatch(
  batch: readonly PolicyBatchSequence[],
  objective: PolicyObjective,
  totals: StepTotals,
  capacity: { tokens: number; sequences: number },
  starts?: readonly number[],
): { tokens: Uint32Array; sequences: Uint32Array } {
  const tokens = new Uint32Array(capacity.tokens * tokenWords);
  const sequences = new Uint32Array(capacity.sequences * 4);
  const numbers = new Float32Array(tokens.buffer);
  const sequenceNumbers = new Float32Array(sequences.buffer);
  let end = 0;
  if (batch.length > capacity.sequences)
    throw new RangeError(`${batch.length} sequences do not fit a kernel of ${capacity.sequences}.`);
  batch.forEach((sequence, b) => {
    const start = starts?.[b] ?? end;
    const { mask, advantage, old, ref, sampler, segments } = sequence;
    if (start < end || start + mask.length > capacity.tokens)
      throw new RangeError(
        `Sequence ${b} of ${mask.length} tokens does not fit at ${start} of ${capacity.tokens} tokens.`,
      );
    end = start + mask.length;
    const optional = (old ? flags.old : 0) | (ref ? flags.ref : 0) | (sampler ? flags.sampler : 0);
    for (let t = 0; t < mask.length; t++) {
      if (mask[t] === 0) continue;
      const at = (start + t) * tokenWords;
      tokens[at] = flags.loss | optional;
      tokens[at + 1] = segments?.[t] ?? 0;
      numbers[at + 2] = typeof advantage === 'number' ? advantage : advantage[t]!;
      numbers[at + 3] = old?.[t] ?? 0;
      numbers[at + 4] = ref?.[t] ?? 0;
      numbers[at + 5] = sampler?.[t] ?? 0;
    }
    const count = countLossTokens(mask);
    sequences[b * 4] = start;
    sequences[b * 4 + 1] = end;
    sequenceNumbers[b * 4 + 2] = count;
    sequenceNumbers[b * 4 + 3] = aggregationWeight(objective.aggregation, count, totals);
  });
  for (let b = batch.length; b < capacity.sequences; b++) sequences.set([end, end], b * 4);
  return { tokens, sequences };
}

/** Buffers for at most `tokens` packed tokens in at most `sequences` sequences; bring your own where the engine has them. */
export function createPolicyLossTensors(
  gpu: GpuContext,
  tokens: number,
  sequences: number,
  own: Partial<PolicyLossTensors> = {},
): PolicyLossTensors {
  return {
    logprobs: own.logprobs ?? createTensor(gpu, 'logprobs', [tokens]),
    entropies: own.entropies ?? createTensor(gpu, 'entropies', [tokens]),
    tokens: own.tokens ?? createTensor(gpu, 'policy_tokens', [tokens, tokenWords], 'u32'),
    sequences: own.sequences ?? createTensor(gpu, 'policy_sequences', [sequences, 4], 'u32'),
    settings: own.settings ?? createTensor(gpu, 'policy_settings', [settingNames.length]),
    gradients: own.gradients ?? createTensor(gpu, 'policy_gradients', [tokens]),
    report: own.report ?? createTensor(gpu, 'policy_report', [tokens, 4]),
    values: own.values ?? createTensor(gpu, 'policy_values', [sequences]),
  };
}

/** Write a micro-batch and the objective's numbers into the kernel's input buffers. */
export function uploadPolicyBatch(
  gpu: GpuContext,
  tensors: PolicyLossTensors,
  batch: readonly PolicyBatchSequence[],
  objective: PolicyObjective,
  totals: StepTotals,
  starts?: readonly number[],
): void {
  const capacity = { tokens: tensors.logprobs.shape[0]!, sequences: tensors.values.shape[0]! };
  const packed = packPolicyBatch(batch, objective, totals, capacity, starts);
  writeTensor(gpu, tensors.tokens, packed.tokens);
  writeTensor(gpu, tensors.sequences, packed.sequences);
  writeTensor(gpu, tensors.settings, packPolicySettings(objective, totals));
}
