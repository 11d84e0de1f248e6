/**
 * @file The golden suite: every check that a golden folder allows, on any host. What is checked follows from what the
 * folder holds; a missing or broken file is a failed check that names it.
 */
import { InputError } from '../../src/core/errors.ts';
import type { FileSource } from '../../src/gpu/formats/model_source.ts';
import { openModel } from '../../src/gpu/formats/open_model.ts';
import type { Adapter } from '../../src/gpu/formats/peft.ts';
import { subFolder } from '../../src/gpu/formats/sub_folder.ts';
import type { ModelConfig } from '../../src/gpu/model/config.ts';
import type { CheckResult } from './check.ts';
import { failure } from './check.ts';
import type { EngineUnderTest, Trained } from './engine_under_test.ts';
import { logitsCheck, logprobChecks, readAdapter } from './forward_checks.ts';
import { fullChecks } from './full_checks.ts';
import { generationChecks } from './generation_checks.ts';
import type { GoldenModel } from './golden_model.ts';
import { openGolden, readBatch } from './golden_model.ts';
import { gpuLossChecks } from './gpu_loss_checks.ts';
import { grpoChecks } from './grpo_checks.ts';
import { float64LossChecks, lossFile, readLosses } from './loss_checks.ts';
import { engineOpener } from './open_engine.ts';
import { sftChecks } from './sft_checks.ts';
import { textChecks } from './text_checks.ts';
import type { Precision, Tolerances } from './tolerances.ts';
import { tolerances } from './tolerances.ts';

type Checks = AsyncGenerator<CheckResult>;

export interface SuiteOptions {
  device: GPUDevice;
  /** The golden folder. */
  files: FileSource;
  precision: Precision;
  /** Whether a folder without `grpo_losses.json` is incomplete (the project's own), or only holds models. */
  lossesRequired: boolean;
}

/** Run every check, one after another. Never throws for what a folder holds: that is a failed check. */
export async function* goldenSuite(options: SuiteOptions): Checks {
  const { device, files, precision, lossesRequired } = options;
  const tolerance = tolerances[precision];
  if (precision === 'f16' && !device.features.has('shader-f16')) {
    yield failure(
      'golden suite',
      'precision f16',
      'This device has no shader-f16: run it on one that has, or in f32.',
    );
    return;
  }
  const paths = await files.list();
  if (paths.includes(lossFile) || lossesRequired)
    yield* guarded(lossFile, 'loss values', async function* () {
      const losses = await readLosses(files);
      yield* float64LossChecks(losses);
      yield* gpuLossChecks(losses, device, tolerance);
    });
  for (const name of modelFolders(paths)) {
    const folder = subFolder(files, name);
    yield* guarded(name, 'golden files', async function* () {
      const golden = await openGolden(folder, name);
      yield* guarded(name, 'text', () => textChecks(golden));
      yield* modelChecks(golden, device, precision, tolerance);
    });
  }
}

/** Folders directly inside the golden folder that look like a model: they hold a configuration, weights or golden values. */
export const modelFolders = (paths: readonly string[]): string[] =>
  [
    ...new Set(
      paths.flatMap(
        (p) => /^([^./][^/]*)\/(?:config\.json|golden\.json|[^/]*\.safetensors)$/.exec(p)?.[1] ?? [],
      ),
    ),
  ].sort();

async function* modelChecks(
  golden: GoldenModel,
  device: GPUDevice,
  precision: Precision,
  tolerance: Tolerances,
): Checks {
  const { name } = golden;
  const model = await openModel(golden.files);
  const { config } = model;
  const batch = await readBatch(golden);
  const open = engineOpener(device, model, precision);

  const withEngine = (what: string, trained: Trained, checks: (engine: EngineUnderTest) => Checks) =>
    guarded(name, what, async function* () {
      const engine = await open(trained);
      try {
        yield* checks(engine);
      } finally {
        engine.destroy();
      }
    });

  yield* withEngine('bare model', 'nothing', async function* (engine) {
    yield await logitsCheck(golden, 'base', engine, batch, tolerance);
    yield* guarded(name, 'generate', () => generationChecks(golden, engine, tolerance));
  });
  // Full fine-tuning computes in f32 at any precision.
  yield* withEngine('full', 'full', (engine) => fullChecks(golden, engine, batch, tolerances.f32));
  for (const section of golden.sft.keys())
    yield* guarded(name, section, () => sftChecks(golden, section, open, config, batch, tolerance));
  yield* guarded(name, 'grpo', async function* () {
    const adapter = await grpoAdapter(golden, config);
    yield* withEngine('grpo', adapter, async function* (engine) {
      yield* logprobChecks(golden, engine, batch, tolerance);
      yield* grpoChecks(golden, engine, batch, tolerance);
    });
  });
}

/** The adapter that the GRPO values were made with: the one whose matrices their gradients name. */
async function grpoAdapter(golden: GoldenModel, config: ModelConfig): Promise<Adapter> {
  const matrices = new Set<string>();
  for (const tensor of golden.tensors.tensors.keys()) {
    const matrix = /^grpo\..*\.grad\.(.*)\.default\.weight$/.exec(tensor)?.[1];
    if (matrix) matrices.add(matrix);
  }
  for (const section of golden.sft.keys()) {
    const adapter = await readAdapter(golden, section, config);
    if (
      adapter.tensors.size === matrices.size &&
      [...adapter.tensors.keys()].every((key) => matrices.has(key))
    )
      return adapter;
  }
  throw new InputError(
    `No adapter of ${golden.name} has the matrices that the gradients grpo.*.grad.* name.`,
    'Make the golden files again.',
  );
}

/** Turn an exception into a failed check, so that the rest still runs. */
async function* guarded(group: string, what: string, checks: () => Checks): Checks {
  try {
    yield* checks();
  } catch (cause) {
    yield failure(group, what, cause);
  }
}
