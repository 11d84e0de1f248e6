/** @file How per-token losses become one number: every aggregation is a weight a sequence, `Σ_i w_i · Σ_t m·l`. */
import { quantile } from './statistics.ts';
import type { Aggregation, LossSequence, PolicyObjective, StepTotals } from './types.ts';

/** Loss tokens of a sequence: n = Σ m. */
export function countLossTokens(mask: ArrayLike<number>): number {
  let n = 0;
  for (let t = 0; t < mask.length; t++) if (mask[t] !== 0) n++;
  return n;
}

/** The weight of every loss token of a sequence with `tokens` of them. */
export function aggregationWeight(aggregation: Aggregation, tokens: number, totals: StepTotals): number {
  const atLeastOne = (n: number): number => Math.max(n, 1);
  switch (aggregation.rule) {
    case 'sequence_mean':
      return (
        1 /
        atLeastOne(tokens) /
        atLeastOne(aggregation.dropEmpty ? totals.nonEmptySequences : totals.sequences)
      );
    case 'token_mean':
    case 'step_tokens':
      return 1 / atLeastOne(totals.tokens);
    case 'constant':
      return 1 / (atLeastOne(totals.sequences) * aggregation.length);
    case 'sequence_sum':
      return 1 / atLeastOne(totals.sequences);
    case 'sum_over_length':
      return 1 / aggregation.length;
  }
}

/**
 * The totals of a step made of exactly these sequences. Give each micro-batch the totals of its whole step and the
 * micro-batches' losses and gradients add up to the step's, however it is split.
 */
export function stepTotals(
  sequences: readonly Pick<LossSequence, 'mask' | 'entropies'>[],
  objective?: Pick<PolicyObjective, 'entropyTopShare'>,
): StepTotals {
  const counts = sequences.map((s) => countLossTokens(s.mask));
  return {
    sequences: sequences.length,
    nonEmptySequences: counts.filter((n) => n > 0).length,
    tokens: counts.reduce((a, b) => a + b, 0),
    entropyThreshold:
      objective?.entropyTopShare === undefined
        ? -Infinity
        : entropyThreshold(sequences, objective.entropyTopShare),
  };
}

/**
 * Entropy at or above which a token belongs to the `share` (ρ) most uncertain loss tokens: the (1 − ρ) quantile, with
 * linear interpolation ("Beyond the 80/20 rule", 2025). −∞ when there is no loss token.
 */
export function entropyThreshold(
  sequences: readonly Pick<LossSequence, 'mask' | 'entropies'>[],
  share: number,
): number {
  const values: number[] = [];
  for (const { mask, entropies } of sequences) {
    if (!entropies) throw new RangeError('The entropy mask needs the entropy of every token.');
    for (let t = 0; t < mask.length; t++) if (mask[t] !== 0) values.push(entropies[t]!);
  }
  return values.length === 0 ? -Infinity : quantile(values, 1 - share);
}
