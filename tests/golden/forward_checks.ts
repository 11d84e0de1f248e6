/** @file Logits and log-probs of a golden model, bare and with its adapters. */
import { readPeft } from '../../src/gpu/formats/peft.ts';
import type { Adapter } from '../../src/gpu/formats/peft.ts';
import { subFolder } from '../../src/gpu/formats/sub_folder.ts';
import type { ModelConfig } from '../../src/gpu/model/config.ts';
import type { CheckResult } from './check.ts';
import { absolute, maxDifference } from './check.ts';
import type { EngineUnderTest } from './engine_under_test.ts';
import type { GoldenBatch, GoldenModel } from './golden_model.ts';
import { readRows } from './golden_model.ts';
import type { Tolerances } from './tolerances.ts';

/** The adapter of a golden section, e.g. `qv`. */
export const readAdapter = ({ files }: GoldenModel, section: string, config: ModelConfig): Promise<Adapter> =>
  readPeft(subFolder(files, `adapter_${section}`), config);

/** Logits against `<section>.logits` at every position that is not padding. */
export async function logitsCheck(
  golden: GoldenModel,
  section: string,
  engine: EngineUnderTest,
  batch: GoldenBatch,
  tolerance: Tolerances,
): Promise<CheckResult> {
  const expected = await golden.tensors.read(`${section}.logits`);
  const vocabulary = golden.tensors.entry(`${section}.logits`).shape[2]!;
  const actual = await engine.logits(batch.tokens);
  const worst = batch.tokens.map((row, b) => {
    const start = b * batch.T * vocabulary;
    return maxDifference(actual[b]!, expected.subarray(start, start + row.length * vocabulary));
  });
  return absolute(golden.name, `${section}: logits`, Math.max(...worst), tolerance.logits);
}

/** Log-probs of the policy and of its reference (the bare model) at the completion's tokens. */
export async function* logprobChecks(
  golden: GoldenModel,
  engine: EngineUnderTest,
  batch: GoldenBatch,
  tolerance: Tolerances,
): AsyncGenerator<CheckResult> {
  const mask = await readRows(golden, 'grpo.completion_mask', batch, 1);
  for (const [name, tensor, reference] of [
    ['log-probs', 'grpo.logprobs', false],
    ['log-probs of the reference', 'grpo.ref_logprobs', true],
  ] as const) {
    const expected = await readRows(golden, tensor, batch, 1);
    const actual = await engine.policy.logprobs(batch.tokens, { reference });
    const masked = (rows: readonly ArrayLike<number>[]) =>
      rows.flatMap((row, b) => Array.from(row).filter((_, t) => mask[b]![t] === 1));
    yield absolute(
      golden.name,
      `grpo: ${name}`,
      maxDifference(masked(actual), masked(expected)),
      tolerance.logprobs,
    );
  }
}
