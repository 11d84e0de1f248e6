/** @file The policy losses of `grpo_losses.json` through the WGSL kernel. */
import { policyLossOnGpu } from '../../src/gpu/kernels/policy_loss_run.ts';
import { GpuContext } from '../../src/gpu/runtime/context.ts';
import type { CheckResult } from './check.ts';
import { absolute, maxDifference } from './check.ts';
import type { GrpoLosses } from './grpo_losses_schema.ts';
import { lossFile } from './loss_checks.ts';
import { lossCases } from './policy_loss_cases.ts';
import type { Tolerances } from './tolerances.ts';

export async function* gpuLossChecks(
  losses: GrpoLosses,
  device: GPUDevice,
  tolerance: Tolerances,
): AsyncGenerator<CheckResult> {
  const gpu = new GpuContext(device);
  try {
    for (const { name, inputs, objective, value, gradients } of lossCases(losses)) {
      const out = await policyLossOnGpu(gpu, inputs, objective);
      yield absolute(lossFile, `GPU ${name}/value`, Math.abs(out.value - value), tolerance.policyLoss);
      if (!gradients) continue;
      const actual = out.gradients.flatMap((row) => Array.from(row));
      yield absolute(
        lossFile,
        `GPU ${name}/gradient`,
        maxDifference(actual, gradients.flat()),
        tolerance.policyLoss,
      );
    }
  } finally {
    gpu.destroy();
  }
}
