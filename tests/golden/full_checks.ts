/** @file Full fine-tuning of a golden model: loss and the gradient of every weight. Its engine also serves bare logits. */
import type { CheckResult } from './check.ts';
import { relative, relativeError } from './check.ts';
import type { EngineUnderTest } from './engine_under_test.ts';
import type { GoldenBatch, GoldenModel } from './golden_model.ts';
import { readGroup } from './golden_model.ts';
import { gradientChecks, sftBatch, sftObjective } from './sft_checks.ts';
import type { Tolerances } from './tolerances.ts';

/** The labels of every section are the same ones, which the gradient of the bare model uses too. */
export async function* fullChecks(
  golden: GoldenModel,
  engine: EngineUnderTest,
  batch: GoldenBatch,
  tolerance: Tolerances,
): AsyncGenerator<CheckResult> {
  const [section] = golden.sft.keys();
  const sequences = await sftBatch(golden, section!, batch);
  const { loss, gradients } = await engine.gradients(sequences, sftObjective);
  yield relative(golden.name, 'full: loss', relativeError([loss], [golden.json.full.loss]), tolerance.loss);
  const expected = await readGroup(golden, 'full.grad.');
  yield* gradientChecks(golden.name, 'full: gradient', gradients, expected, tolerance.gradient);
}
