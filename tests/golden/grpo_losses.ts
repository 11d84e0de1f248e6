/**
 * @file The check values of `grpo_losses.json` as a list of checks: what each entry means, computed by `src/core/loss`.
 * The file's numbers are rounded (values to 12 digits, gradients to 8 decimals); each check carries the tolerance that
 * its rounding allows. The unit test and the golden suite both walk this list.
 */
import { entropyThreshold, stepTotals } from '../../src/core/loss/aggregation.ts';
import { adamWStep, clipCoefficient, createAdamWState, gradientNorm } from '../../src/core/loss/adamw.ts';
import {
  combineRewards,
  gdpoAdvantages,
  groupAdvantages,
  itemAdvantages,
} from '../../src/core/loss/advantages.ts';
import { maskedMean, policyMetrics } from '../../src/core/loss/metrics.ts';
import { policyLoss } from '../../src/core/loss/policy_loss.ts';
import { sequenceRatios } from '../../src/core/loss/ratios.ts';
import { sftLoss } from '../../src/core/loss/sft_loss.ts';
import { softOverlongPenalty } from '../../src/core/loss/soft_overlong.ts';
import { scheduleFactor } from '../../src/core/schedule.ts';
import type { GrpoLosses } from './grpo_losses_schema.ts';
import { base, clippedRule, lossCases, policyInputs } from './policy_loss_cases.ts';

/** One comparison: what came out, what should, and how far apart they may be. */
export interface Check {
  name: string;
  actual: readonly number[];
  expected: readonly number[];
  tolerance: number;
}

/** Rounding of the file's scalars; of its gradients (8 decimals). */
const SCALAR = 1e-9;
const GRADIENT = 6e-9;

/** Largest absolute difference; Infinity when the lengths differ. */
export function worstError({ actual, expected }: Check): number {
  if (actual.length !== expected.length) return Infinity;
  return actual.reduce(
    (worst, a, i) => Math.max(worst, Number.isNaN(a) ? Infinity : Math.abs(a - expected[i]!)),
    0,
  );
}

/** Every check of the file against the float64 functions. */
export function grpoLossChecks(g: GrpoLosses): Check[] {
  return [
    ...logprobChecks(g),
    ...advantageChecks(g),
    ...lossChecks(g),
    ...metricChecks(g),
    ...rankChecks(g),
    ...verlChecks(g),
    ...edgeChecks(g),
    ...sftChecks(g),
    ...optimizerChecks(g),
  ];
}

const check = (
  name: string,
  actual: readonly number[],
  expected: readonly number[],
  tolerance = SCALAR,
): Check => ({
  name,
  actual,
  expected,
  tolerance,
});
const scalar = (name: string, actual: number, expected: number): Check => check(name, [actual], [expected]);

/** log-softmax of logits/temperature, and the entropy of the distribution. */
function distribution(
  logits: readonly number[],
  temperature: number,
): { logprobs: number[]; entropy: number } {
  const scaled = logits.map((x) => x / temperature);
  const max = Math.max(...scaled);
  const norm = max + Math.log(scaled.reduce((a, x) => a + Math.exp(x - max), 0));
  const logprobs = scaled.map((x) => x - norm);
  return { logprobs, entropy: -logprobs.reduce((a, lp) => a + Math.exp(lp) * lp, 0) };
}

function logprobChecks({ inputs, logps, entropies }: GrpoLosses): Check[] {
  const all = inputs.logits.flatMap((row, b) =>
    row.map((logits, t) => ({
      ...distribution(logits, inputs.temperature),
      token: inputs.tokens[b]![t]!,
    })),
  );
  return [
    check(
      'logprobs',
      all.map((d) => d.logprobs[d.token]!),
      logps.flat(),
    ),
    check(
      'entropies',
      all.map((d) => d.entropy),
      entropies.flat(),
    ),
  ];
}

function advantageChecks(g: GrpoLosses): Check[] {
  const { rewards, reward_weights: weights } = g.inputs;
  const groups = [0, 0, 1, 1];
  const reward = combineRewards(rewards, weights);
  const trl = groupAdvantages(reward, groups);
  const expected = g.advantages;
  return [
    check('advantages/reward', reward, expected.reward),
    check('advantages/group_mean', trl.groupMeans, expected.group_mean),
    check('advantages/group_std_ddof1', trl.groupStds, expected.group_std_ddof1),
    check('advantages/trl_group', trl.advantages, expected.trl_group),
    ...(
      [
        ['trl_batch', { scale: 'batch' }],
        ['trl_none', { scale: 'none' }],
        ['verl_group', { eps: 1e-6 }],
        ['openrlhf_group_norm', { eps: 1e-9 }],
        ['ddof0_group', { ddof: 0 }],
        ['rloo', { baseline: 'leave_one_out', scale: 'none' }],
      ] as const
    ).map(([name, options]) =>
      check(`advantages/${name}`, groupAdvantages(reward, groups, options).advantages, expected[name]),
    ),
    check('advantages/trl_gdpo', gdpoAdvantages(rewards, weights, groups), expected.trl_gdpo),
    scalar('metrics/frac_reward_zero_std', trl.fractionZeroStd, g.metrics.frac_reward_zero_std),
    check(
      'advantages/nan_row_is_zero',
      groupAdvantages(g.edge_cases.rewards.map(Number), [0, 0, 1, 1, 2, 2]).advantages,
      g.edge_cases.advantages_nan_row_is_zero,
    ),
  ];
}

function lossChecks(g: GrpoLosses): Check[] {
  return lossCases(g).flatMap(({ name, inputs, objective, value, gradients }) => {
    const out = policyLoss(inputs, objective);
    const checks = [scalar(`${name}/value`, out.value, value)];
    if (gradients)
      checks.push(
        check(
          `${name}/gradient`,
          out.gradients.flatMap((x) => Array.from(x)),
          gradients.flat(),
          GRADIENT,
        ),
      );
    return checks;
  });
}

function metricChecks(g: GrpoLosses): Check[] {
  const { sequences } = policyInputs(g, { advantages: 'trl_group', reference: true });
  const out = policyLoss({ sequences }, { ...base, beta: 0.04 });
  const metrics = policyMetrics(
    sequences.map((s, i) => ({ ...s, kls: out.kls[i]!, clipped: out.clipped[i]! })),
  );
  const threshold = entropyThreshold(sequences, 0.2);
  const kept = sequences.flatMap((s, b) =>
    g.entropies[b]!.map((h, t) => (s.mask[t] === 1 && h >= threshold ? 1 : 0)),
  );
  return [
    ...(
      ['kl', 'entropy', 'clip_ratio/low_mean', 'clip_ratio/high_mean', 'clip_ratio/region_mean'] as const
    ).map((name) => scalar(`metrics/${name}`, metrics[name]!, g.metrics[name])),
    check('metrics/top_entropy_mask_rho_0.2', kept, g.metrics['top_entropy_mask_rho_0.2'].flat()),
  ];
}

function rankChecks({ rank_grpo: rank, ...g }: GrpoLosses): Check[] {
  const advantages = itemAdvantages(rank.item_rewards, [0, 0, 1, 1]);
  const ratios = g.logps.map((logprobs, b) => {
    const mask = g.inputs.completion_mask[b]!;
    const out = new Array<number>(mask.length).fill(0);
    const sequence = {
      logprobs,
      mask,
      advantage: 0,
      old: g.inputs.old_logps[b]!,
      segments: rank.seg_ids[b]!,
    };
    for (const { ratio, places } of sequenceRatios(sequence, { ...base, ratioLevel: 'item' }).groups)
      for (const t of places) out[t] = ratio;
    return out;
  });
  return [
    check('rank_grpo/adv_item', advantages.flat(), rank.adv_item.flat()),
    check('rank_grpo/item_ratio', ratios.flat(), rank.item_ratio.flat()),
  ];
}

function verlChecks(g: GrpoLosses): Check[] {
  const { sequences } = policyInputs(g, { advantages: 'verl_group', reference: true });
  const kl = (klEstimator: 'k1' | 'k2' | 'k3'): number => {
    const { kls } = policyLoss({ sequences }, { ...base, klEstimator });
    return maskedMean(sequences, (i, t) => kls[i]![t]!);
  };
  const sampled = policyInputs(g, { advantages: 'trl_none', sampler: true }).sequences;
  const dppo = policyLoss(
    { sequences: sampled },
    {
      ...base,
      clip: { rule: 'dppo', maskLow: 0.2, maskHigh: 0.2, klTau: 1e-3 },
      ratioBase: 'sampler',
    },
  );
  return [
    scalar('verl/k1', kl('k1'), g.verl.k1),
    scalar('verl/k2', kl('k2'), g.verl.k2),
    scalar('verl/k3', kl('k3'), g.verl.k3),
    scalar('learning2interact/kl', kl('k3'), g.learning2interact.kl),
    scalar(
      'prime_rl/masked_fraction',
      maskedMean(sampled, (i, t) => Math.abs(dppo.clipped[i]![t]!)),
      g.prime_rl.masked_fraction,
    ),
  ];
}

function edgeChecks(g: GrpoLosses): Check[] {
  const { sequences } = policyInputs(g, { advantages: 'trl_group', maskedRow: g.edge_cases.masked_row });
  const value = (aggregation: typeof base.aggregation): number =>
    policyLoss({ sequences }, { ...base, clip: clippedRule, aggregation }).value;
  const edge = g.edge_cases;
  return [
    scalar(
      'edge/trl_grpo_keeps_row_in_denominator',
      value({ rule: 'sequence_mean' }),
      edge.trl_grpo_keeps_row_in_denominator,
    ),
    scalar(
      'edge/verl_openrlhf_drop_row',
      value({ rule: 'sequence_mean', dropEmpty: true }),
      edge.verl_openrlhf_drop_row,
    ),
    scalar('edge/bnpo', value({ rule: 'token_mean' }), edge.bnpo),
    scalar('edge/dr_grpo', value({ rule: 'constant', length: g.inputs.max_completion_length }), edge.dr_grpo),
  ];
}

function sftChecks(g: GrpoLosses): Check[] {
  const rows = g.sft.labels.map((labels, b) => {
    const all = labels.map((label, t) => ({ label, ...distribution(g.inputs.logits[b]![t]!, 1) }));
    return {
      mask: labels.map((label) => (label === -100 ? 0 : 1)),
      logprobs: all.map((d) => (d.label === -100 ? 1e4 : d.logprobs[d.label]!)),
      correct: all.map((d) => (d.logprobs.indexOf(Math.max(...d.logprobs)) === d.label ? 1 : 0)),
    };
  });
  const { tokens } = stepTotals(rows);
  const halves = [rows.slice(0, 2), rows.slice(2)];
  const meanOfMeans = (sftLoss(halves[0]!).value + sftLoss(halves[1]!).value) / 2;
  return [
    scalar('sft/num_items', tokens, g.sft.num_items),
    scalar('sft/nll', sftLoss(rows).value, g.sft.nll),
    scalar('sft/dft', sftLoss(rows, 'dft').value, g.sft.dft),
    scalar(
      'sft/ga2_correct',
      halves.reduce((a, half) => a + sftLoss(half, 'nll', tokens).value, 0),
      g.sft.ga2_correct,
    ),
    scalar('sft/ga2_wrong_mean_of_means', meanOfMeans, g.sft.ga2_wrong_mean_of_means),
    scalar(
      'sft/mean_token_accuracy',
      maskedMean(rows, (i, t) => rows[i]!.correct[t]!),
      g.sft.mean_token_accuracy,
    ),
  ];
}

function optimizerChecks({ adamw, lr_schedules: schedules, soft_overlong: overlong }: GrpoLosses): Check[] {
  const weights = Float64Array.from(adamw.x0);
  const state = createAdamWState(weights.length);
  const checks: Check[] = [];
  adamw.steps.forEach((step, i) => {
    const gradient = [3, -4, 0.5].map((x) => x * (i + 1));
    const norm = gradientNorm([gradient]);
    const options = { learningRate: adamw.lr, weightDecay: adamw.weight_decay };
    adamWStep(weights, gradient, state, options, clipCoefficient(norm, adamw.max_norm));
    checks.push(check(`adamw/step_${i + 1}`, [norm, ...weights], [step.grad_norm_pre_clip, ...step.x]));
  });
  for (const name of ['linear', 'cosine', 'constant_with_warmup'] as const)
    checks.push(
      check(
        `lr_schedules/${name}`,
        schedules[name].map((_, step) => scheduleFactor(name, step, schedules.total, schedules.warmup)),
        schedules[name],
      ),
    );
  const lengths = Object.keys(overlong);
  checks.push(
    check(
      'soft_overlong',
      lengths.map((n) => softOverlongPenalty(Number(n), 20, 5)),
      lengths.map((n) => overlong[n]!),
    ),
  );
  return checks;
}
