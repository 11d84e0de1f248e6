/** @file `grpo_losses.json` against the float64 functions of `src/core/loss`. */
import type { FileSource } from '../../src/gpu/formats/model_source.ts';
import { readText } from '../../src/gpu/formats/text_files.ts';
import type { CheckResult } from './check.ts';
import { absolute } from './check.ts';
import { grpoLossChecks, worstError } from './grpo_losses.ts';
import type { GrpoLosses } from './grpo_losses_schema.ts';
import { parseGrpoLosses } from './grpo_losses_schema.ts';

export const lossFile = 'grpo_losses.json';

/** Read and check the file. */
export async function readLosses(files: FileSource): Promise<GrpoLosses> {
  return parseGrpoLosses(await readText(files, lossFile));
}

export function* float64LossChecks(losses: GrpoLosses): Generator<CheckResult> {
  for (const check of grpoLossChecks(losses))
    yield absolute(lossFile, `f64 ${check.name}`, worstError(check), check.tolerance);
}
