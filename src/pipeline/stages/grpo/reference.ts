/**
 * @file The reference of the KL term is the SFT adapter, and that is asserted by what it computes: on a few probe sequences
 * the reference and the policy must agree before the first step, and after a resume the reference must give the numbers it
 * gave when the run began.
 */
import { CheckpointError, UsageError } from '../../../core/errors.ts';
import type { Policy } from '../../../core/policy.ts';

/** Largest difference of two log-probs that counts as the same model (f16 storage and other batch shapes included). */
const tolerance = 5e-3;

/** Log-probs of the reference on the probe, all tokens in a row. */
export async function probeReference(policy: Policy, probe: readonly number[][]): Promise<number[]> {
  const scores = await policy.logprobs(probe, { reference: true });
  return scores.flatMap((s) => [...s]);
}

/** Throw `UsageError` unless the policy, not yet trained, is the reference. */
export async function assertPolicyIsReference(
  policy: Policy,
  probe: readonly number[][],
  reference: readonly number[],
): Promise<void> {
  const current = (await policy.logprobs(probe)).flatMap((s) => [...s]);
  const worst = largestDifference(current, reference);
  if (worst > tolerance)
    throw new UsageError(
      `The reference is not the model that training starts from: log-probs differ by up to ${worst.toPrecision(3)}.`,
      'The reference has to be the SFT adapter: give the same folder as --model_path and --ref_path, or continue an earlier run with --resume or --resume_start.',
    );
}

/** Throw `CheckpointError` unless the reference still gives the recorded numbers. */
export function assertSameReference(now: readonly number[], recorded: readonly number[]): void {
  const worst = largestDifference(now, recorded);
  if (worst > tolerance)
    throw new CheckpointError(
      `The reference differs from the one this run began with (log-probs by up to ${worst.toPrecision(3)}).`,
      'Continue with the same --model_name and the same SFT adapter.',
    );
}

function largestDifference(a: readonly number[], b: readonly number[]): number {
  if (a.length !== b.length) return Infinity;
  return a.reduce((worst, x, i) => Math.max(worst, Math.abs(x - b[i]!)), 0);
}
