/**
 * @file Every policy loss of `grpo_losses.json` as arguments of our own function: inputs, objective, expected value and
 * gradient. Shared by the float64 test, the GPU test and the golden suite.
 */
import { itemAdvantages } from '../../src/core/loss/advantages.ts';
import { stepTotals } from '../../src/core/loss/aggregation.ts';
import { policyObjective } from '../../src/core/loss/loss_types.ts';
import type { LossInputs, LossSequence, PolicyObjective } from '../../src/core/loss/types.ts';
import type { GrpoLosses } from './grpo_losses_schema.ts';

export interface LossCase {
  name: string;
  inputs: LossInputs;
  objective: PolicyObjective;
  value: number;
  /** Absent where the file gives the value only. */
  gradients?: readonly (readonly number[])[];
}

/** The clip range of the file. */
export const clippedRule = { rule: 'clipped', eLow: 0.2, eHigh: 0.28 } as const;

/** Token ratios, clipped, token mean, no KL. */
export const base: PolicyObjective = {
  kind: 'policy',
  ratioLevel: 'token',
  clip: clippedRule,
  aggregation: { rule: 'token_mean' },
  beta: 0,
  klEstimator: 'k3',
  temperature: 0.9,
};

/** The file's sequences with a choice of advantages and optional arrays. Masked places hold ±1e4: they must not matter. */
export function policyInputs(
  g: GrpoLosses,
  options: {
    advantages: 'trl_group' | 'trl_none' | 'verl_group';
    reference?: boolean;
    sampler?: boolean;
    maskedRow?: number;
  },
): LossInputs {
  const { inputs } = g;
  const sequences = inputs.loss_mask.map((row, b): LossSequence => {
    const mask = options.maskedRow === b ? row.map(() => 0) : row;
    const hide = (values: readonly number[], filler: number): number[] =>
      values.map((x, t) => (mask[t] === 1 ? x : filler));
    return {
      mask,
      logprobs: hide(g.logps[b]!, 1e4),
      old: hide(inputs.old_logps[b]!, -1e4),
      entropies: hide(g.entropies[b]!, 1e4),
      advantage: g.advantages[options.advantages][b]!,
      ...(options.reference ? { ref: hide(inputs.ref_logps[b]!, 1e4) } : {}),
      ...(options.sampler ? { sampler: hide(inputs.sampling_logps[b]!, -1e4) } : {}),
    };
  });
  return { sequences };
}

/** All cases of the file. */
export function lossCases(g: GrpoLosses): LossCase[] {
  return [...namedLosses(g), ...libraryLosses(g), rankLoss(g)];
}

/** TRL's losses. */
function namedLosses(g: GrpoLosses): LossCase[] {
  return Object.entries(g.losses).map(([name, { config, value, grad_logps }]) => {
    const { sequences } = policyInputs(g, {
      advantages: 'trl_group',
      reference: config.beta !== undefined,
      sampler: config.tis !== undefined,
    });
    const objective = policyObjective(config.kind, {
      eLow: config.kind === 'cispo' ? undefined : g.inputs.epsilon,
      eHigh: config.kind === 'cispo' ? g.inputs.cispo_epsilon_high : g.inputs.epsilon_high,
      delta: config.delta,
      beta: config.beta,
      klImportance: config.bias_kl,
      temperature: g.inputs.temperature,
      ratioLevel: config.level,
      maxCompletionLength: g.inputs.max_completion_length,
      offPolicyMask: config.opsm,
      importance:
        config.tis === 'token_truncate_small'
          ? { level: 'token', mode: 'truncate', max: 1.05 }
          : config.tis === 'sequence_mask_small'
            ? { level: 'sequence', mode: 'mask', max: 1.05 }
            : undefined,
    });
    // Two accumulation steps: this is half of a step with twice the sequences.
    const totals = stepTotals(sequences, objective);
    if (config.ga) totals.sequences *= config.ga;
    if (config.n_items) totals.tokens = config.n_items;
    return { name: `losses/${name}`, inputs: { sequences, totals }, objective, value, gradients: grad_logps };
  });
}

/** verl's aggregations, the original system's objective, prime-rl's default loss. */
function libraryLosses(g: GrpoLosses): LossCase[] {
  const verl = policyInputs(g, { advantages: 'verl_group', reference: true });
  const of = (
    name: string,
    value: number,
    objective: Partial<PolicyObjective>,
    inputs: LossInputs = verl,
  ): LossCase => ({
    name,
    inputs,
    objective: { ...base, ...objective },
    value,
  });
  const original = {
    eLow: g.inputs.epsilon,
    eHigh: g.inputs.epsilon_high,
    temperature: g.inputs.temperature,
  };
  return [
    of('verl/token_mean', g.verl.token_mean, {}),
    of('verl/seq_mean_token_sum', g.verl.seq_mean_token_sum, { aggregation: { rule: 'sequence_sum' } }),
    of('verl/seq_mean_token_mean', g.verl.seq_mean_token_mean, { aggregation: { rule: 'sequence_mean' } }),
    of('verl/seq_mean_token_sum_norm', g.verl.seq_mean_token_sum_norm, {
      aggregation: { rule: 'sum_over_length', length: g.inputs.loss_mask[0]!.length },
    }),
    of('learning2interact/pg', g.learning2interact.pg, policyObjective('learning2interact', original)),
    of(
      'learning2interact/total',
      g.learning2interact.total,
      policyObjective('learning2interact', { ...original, beta: 0.1 }),
    ),
    of(
      'prime_rl/loss',
      g.prime_rl.loss,
      policyObjective('dppo'),
      policyInputs(g, { advantages: 'trl_none', sampler: true }),
    ),
  ];
}

/** Rank-GRPO: item ratios and item advantages over the whole completion, with its own clip range. */
function rankLoss({ rank_grpo: rank, inputs, logps }: GrpoLosses): LossCase {
  const advantages = itemAdvantages(rank.item_rewards, [0, 0, 1, 1]);
  const sequences = inputs.completion_mask.map((mask, b): LossSequence => ({
    mask,
    logprobs: logps[b]!,
    old: inputs.old_logps[b]!,
    segments: rank.seg_ids[b]!,
    advantage: rank.seg_ids[b]!.map((item) => advantages[b]![item]!),
  }));
  return {
    name: 'rank_grpo/loss_grpo',
    inputs: { sequences },
    objective: policyObjective('rank_grpo'),
    value: rank.loss_grpo,
  };
}
