/**
 * @file The names people know (`--loss_type`) as triples of ratio level, clip rule and aggregation, with the values their
 * papers or libraries use. A name chooses defaults; every setting can still be given.
 */
import { UsageError } from '../errors.ts';
import type { AdvantageOptions } from './advantages.ts';
import type { Aggregation, ClipRule, KlEstimator, PolicyObjective, RatioLevel } from './types.ts';

/** Settings a user may give; absent ones take the loss type's own value. */
export interface LossSettings {
  /** Lower clip range e_low. */
  eLow?: number;
  /** Upper clip range e_high (of `cispo`: the largest ratio itself). */
  eHigh?: number;
  /** Upper bound of the ratio on the unclipped side. */
  delta?: number;
  /** Weight of the KL term. Default 0. */
  beta?: number;
  klEstimator?: KlEstimator;
  klImportance?: boolean;
  temperature?: number;
  ratioLevel?: RatioLevel;
  /** Needed by `dr_grpo`: the constant it divides by. */
  maxCompletionLength?: number;
  offPolicyMask?: number;
  entropyTopShare?: number;
  importance?: PolicyObjective['importance'];
}

/** A named loss. */
export interface LossType {
  /** One line for `--help` and the studio. */
  about: string;
  ratioLevel: RatioLevel;
  clip: (settings: LossSettings) => ClipRule;
  aggregation: (settings: LossSettings) => Aggregation;
  ratioBase?: 'sampler';
  /** How this loss wants its advantages where that differs from group mean and deviation. */
  advantages?: Partial<AdvantageOptions>;
}

const clipped =
  (eLow: number, eHigh: number) =>
  (s: LossSettings): ClipRule => ({
    rule: 'clipped',
    eLow: s.eLow ?? eLow,
    eHigh: s.eHigh ?? eHigh,
    ...(s.delta === undefined ? {} : { delta: s.delta }),
  });
const rule = (aggregation: Aggregation) => (): Aggregation => aggregation;

const types = {
  grpo: {
    about: 'clipped token ratios, mean of sequence means (DeepSeekMath, TRL grpo)',
    ratioLevel: 'token',
    clip: clipped(0.2, 0.28),
    aggregation: rule({ rule: 'sequence_mean' }),
  },
  bnpo: {
    about: 'clipped token ratios, mean over the tokens of the mini-batch',
    ratioLevel: 'token',
    clip: clipped(0.2, 0.28),
    aggregation: rule({ rule: 'token_mean' }),
  },
  learning2interact: {
    about:
      "the original system's objective: masked_mean(clipped) + β·masked_mean(k3), advantages with eps 1e-6",
    ratioLevel: 'token',
    clip: clipped(0.2, 0.28),
    aggregation: rule({ rule: 'token_mean' }),
    advantages: { eps: 1e-6 },
  },
  dr_grpo: {
    about: 'clipped token ratios, sum over a constant length; advantages without deviation (Dr. GRPO)',
    ratioLevel: 'token',
    clip: clipped(0.2, 0.28),
    aggregation: (s) => {
      if (s.maxCompletionLength === undefined)
        throw new UsageError(
          'loss_type dr_grpo divides by the longest possible completion, which is not set.',
          'Give --max_new_tokens (and --turn_num), or choose another --loss_type.',
        );
      return { rule: 'constant', length: s.maxCompletionLength };
    },
    advantages: { scale: 'none' },
  },
  dapo: {
    about: 'clipped token ratios, mean over the tokens of the whole optimizer step (DAPO)',
    ratioLevel: 'token',
    clip: clipped(0.2, 0.28),
    aggregation: rule({ rule: 'step_tokens' }),
  },
  cispo: {
    about: 'detached, capped importance weights on log-probs; no token is dropped (MiniMax-M1)',
    ratioLevel: 'token',
    clip: (s) => ({ rule: 'cispo', eHigh: s.eHigh ?? 5 }),
    aggregation: rule({ rule: 'step_tokens' }),
  },
  sapo: {
    about: 'a soft sigmoid gate in place of the hard clip (SAPO)',
    ratioLevel: 'token',
    clip: () => ({ rule: 'sapo', tauPositive: 1, tauNegative: 1.05 }),
    aggregation: rule({ rule: 'sequence_mean' }),
  },
  vespo: {
    about: 'gamma-shaped weights of whole-sequence ratios (VESPO)',
    ratioLevel: 'token',
    clip: () => ({ rule: 'vespo', kPositive: 2, lambdaPositive: 3, kNegative: 3, lambdaNegative: 2 }),
    aggregation: rule({ rule: 'step_tokens' }),
  },
  gspo: {
    about: 'clipped sequence ratios, narrow range (GSPO)',
    ratioLevel: 'sequence',
    clip: clipped(3e-4, 4e-4),
    aggregation: rule({ rule: 'sequence_mean' }),
  },
  luspo: {
    about: 'clipped sequence ratios, not divided by the length of the sequence (LUSPO)',
    ratioLevel: 'sequence',
    clip: clipped(2e-3, 2.5e-3),
    aggregation: rule({ rule: 'sequence_sum' }),
  },
  rank_grpo: {
    about: 'clipped ratios and advantages of every recommended item (Rank-GRPO)',
    ratioLevel: 'item',
    clip: clipped(0.06, 0.08),
    aggregation: rule({ rule: 'sequence_mean' }),
  },
  dppo: {
    about: "probability-difference mask and squared log ratio against the sampler (prime-rl's default)",
    ratioLevel: 'token',
    clip: (s) => ({ rule: 'dppo', maskLow: s.eLow ?? 0.2, maskHigh: s.eHigh ?? 0.2, klTau: 1e-3 }),
    aggregation: rule({ rule: 'step_tokens' }),
    ratioBase: 'sampler',
    advantages: { scale: 'none' },
  },
} as const satisfies Record<string, LossType>;

export type LossTypeName = keyof typeof types;

/** Every loss by name. */
export const lossTypes: Readonly<Record<LossTypeName, LossType>> = types;
export const lossTypeNames = Object.keys(types) as LossTypeName[];

/** The objective of a named loss. Throws `UsageError` when a setting it cannot do without is missing or out of range. */
export function policyObjective(name: LossTypeName, settings: LossSettings = {}): PolicyObjective {
  const type = lossTypes[name];
  const { temperature = 1, entropyTopShare } = settings;
  if (!(temperature > 0))
    throw new UsageError(`temperature is ${temperature}.`, 'Training needs a temperature above 0.');
  if (entropyTopShare !== undefined && !(entropyTopShare > 0 && entropyTopShare <= 1))
    throw new UsageError(`The share of high-entropy tokens is ${entropyTopShare}.`, 'Choose it in (0, 1].');
  return {
    kind: 'policy',
    ratioLevel: settings.ratioLevel ?? type.ratioLevel,
    clip: type.clip(settings),
    aggregation: type.aggregation(settings),
    beta: settings.beta ?? 0,
    klEstimator: settings.klEstimator ?? 'k3',
    temperature,
    ...(settings.klImportance ? { klImportance: true } : {}),
    ...(type.ratioBase ? { ratioBase: type.ratioBase } : {}),
    ...(settings.offPolicyMask === undefined ? {} : { offPolicyMask: settings.offPolicyMask }),
    ...(entropyTopShare === undefined || entropyTopShare === 1 ? {} : { entropyTopShare }),
    ...(settings.importance ? { importance: settings.importance } : {}),
  };
}
