/**
 * @file Supervised fine-tuning of a golden model: loss and gradients, five AdamW steps, resuming in the middle, and the
 * exported adapter.
 */
import type { OptimizerOptions, Policy, SftObjective, TrainSequence } from '../../src/core/policy.ts';
import type { Adapter } from '../../src/gpu/formats/peft.ts';
import { readPeftFiles } from '../../src/gpu/formats/peft.ts';
import type { ModelConfig } from '../../src/gpu/model/config.ts';
import { judgeAdamW } from './adamw_judge.ts';
import type { CheckResult } from './check.ts';
import { absolute, failure, identical, maxDifference, relative, relativeError } from './check.ts';
import type { EngineUnderTest, OpenEngine } from './engine_under_test.ts';
import { logitsCheck, readAdapter } from './forward_checks.ts';
import type { GoldenBatch, GoldenModel, GoldenSft } from './golden_model.ts';
import { readGroup, readRows } from './golden_model.ts';
import type { Tolerances } from './tolerances.ts';

export const sftObjective: SftObjective = { kind: 'sft' };

/** The golden batch with the supervised tokens of a section. */
export async function sftBatch(
  golden: GoldenModel,
  section: string,
  batch: GoldenBatch,
): Promise<TrainSequence[]> {
  const labels = await readRows(golden, `${section}.labels`, batch, 0);
  return batch.tokens.map((tokens, b) => ({
    tokens,
    lossMask: labels[b]!.map((label) => (label === -100 ? 0 : 1)),
  }));
}

/** Every gradient tensor against the golden ones; a tensor missing on either side is a failure by name. */
export function* gradientChecks(
  group: string,
  name: string,
  actual: ReadonlyMap<string, Float32Array>,
  expected: ReadonlyMap<string, Float32Array>,
  tolerance: number,
): Generator<CheckResult> {
  for (const [tensor, values] of expected) {
    const found = actual.get(tensor);
    yield found
      ? relative(group, `${name} ${tensor}`, relativeError(found, values), tolerance)
      : failure(group, `${name} ${tensor}`, `The engine gave no gradient of this name.`);
  }
  for (const tensor of actual.keys())
    if (!expected.has(tensor))
      yield failure(group, `${name} ${tensor}`, 'golden.safetensors has no such gradient.');
}

export async function* sftChecks(
  golden: GoldenModel,
  section: string,
  open: OpenEngine,
  config: ModelConfig,
  batch: GoldenBatch,
  tolerance: Tolerances,
): AsyncGenerator<CheckResult> {
  const { name } = golden;
  const values = golden.sft.get(section)!;
  const adapter = await readAdapter(golden, section, config);
  const sequences = await sftBatch(golden, section, batch);
  const golden1 = await readGroup(golden, `${section}.grad.`);
  const engine = await open(adapter);
  try {
    yield await logitsCheck(golden, section, engine, batch, tolerance);
    const { loss, gradients } = await engine.gradients(sequences, sftObjective);
    yield relative(name, `${section}: loss`, relativeError([loss], [values.loss[0]!]), tolerance.loss);
    yield* gradientChecks(name, `${section}: gradient`, gradients, golden1, tolerance.gradient);

    const half = Math.floor(values.loss.length / 2);
    const metrics = await train(engine.policy, sequences, values, half);
    const state = await engine.policy.saveState();
    metrics.push(...(await train(engine.policy, sequences, values, values.loss.length - half)));
    const losses = metrics.map((m) => m['loss']!);
    const norms = metrics.map((m) => m['grad_norm']!);
    yield relative(
      name,
      `${section}: losses of the steps`,
      worstRelative(losses, values.loss),
      tolerance.loss,
    );
    yield relative(
      name,
      `${section}: gradient norms of the steps`,
      worstRelative(norms, values.grad_norm),
      tolerance.gradientNorm,
    );
    const trained = await readPeftFiles(await engine.policy.exportWeights(), config);
    yield* weightChecks(golden, section, trained, golden1, values, tolerance);
    yield await resumeCheck(
      name,
      section,
      open,
      adapter,
      state,
      trained,
      (policy) => train(policy, sequences, values, values.loss.length - half),
      config,
    );
    yield await reloadCheck(name, section, open, engine, trained, batch);
  } finally {
    engine.destroy();
  }
}

async function train(
  policy: Policy,
  sequences: readonly TrainSequence[],
  { optimizer }: GoldenSft,
  steps: number,
): Promise<Record<string, number>[]> {
  const options: OptimizerOptions = {
    learningRate: optimizer.lr,
    betas: optimizer.betas,
    eps: optimizer.eps,
    weightDecay: optimizer.weight_decay,
    maxGradNorm: optimizer.max_grad_norm,
  };
  const metrics: Record<string, number>[] = [];
  for (let step = 0; step < steps; step++)
    metrics.push((await policy.trainStep(sequences, sftObjective, options)).metrics);
  return metrics;
}

const worstRelative = (actual: readonly number[], expected: readonly number[]): number =>
  Math.max(...expected.map((x, i) => relativeError([actual[i] ?? NaN], [x])));

async function* weightChecks(
  golden: GoldenModel,
  section: string,
  trained: Adapter,
  gradients: ReadonlyMap<string, Float32Array>,
  { optimizer, loss }: GoldenSft,
  tolerance: Tolerances,
): AsyncGenerator<CheckResult> {
  const prefix = `${section}.after${loss.length}.`;
  const after = await readGroup(golden, prefix);
  if (after.size === 0)
    yield failure(golden.name, `${section}: weights`, `golden.safetensors has no ${prefix}*.`);
  for (const [tensor, expected] of after) {
    const label = `${section}: after ${loss.length} steps ${tensor}`;
    const found = trained.tensors.get(tensor.replace('.default.weight', ''))?.data;
    const gradient = gradients.get(tensor);
    if (!found || !gradient) {
      yield failure(
        golden.name,
        label,
        found ? 'golden.safetensors has no gradient for it.' : 'The adapter has no such matrix.',
      );
      continue;
    }
    const judged = judgeAdamW(found, expected, gradient, loss.length * optimizer.lr, tolerance);
    const note = judged.noisy
      ? `${judged.noisy} entries (${(100 * judged.share).toFixed(2)} %) with a gradient below the noise floor are off by at most ${judged.noisyWorst.toExponential(1)}`
      : undefined;
    yield { ...relative(golden.name, label, judged.worst, tolerance.weights, note), passed: judged.passed };
  }
}

/** Save in the middle, load into a new engine, go on: bit for bit the uninterrupted run. */
async function resumeCheck(
  group: string,
  section: string,
  open: OpenEngine,
  adapter: Adapter,
  state: Awaited<ReturnType<Policy['saveState']>>,
  uninterrupted: Adapter,
  goOn: (policy: Policy) => Promise<unknown>,
  config: ModelConfig,
): Promise<CheckResult> {
  const engine = await open(adapter);
  try {
    await engine.policy.loadState(state);
    await goOn(engine.policy);
    const resumed = await readPeftFiles(await engine.policy.exportWeights(), config);
    return identical(
      group,
      `${section}: resumed in the middle`,
      [...uninterrupted.tensors].map(([key, { data }]) => ({
        actual: Array.from(resumed.tensors.get(key)?.data ?? []),
        expected: Array.from(data),
        of: key,
      })),
    );
  } finally {
    engine.destroy();
  }
}

/** What `exportWeights` wrote, loaded into a new engine, gives the logits of the engine that wrote it. */
async function reloadCheck(
  group: string,
  section: string,
  open: OpenEngine,
  engine: EngineUnderTest,
  trained: Adapter,
  batch: GoldenBatch,
): Promise<CheckResult> {
  const expected = await engine.logits(batch.tokens);
  const fresh = await open(trained);
  try {
    const actual = await fresh.logits(batch.tokens);
    const worst = Math.max(...expected.map((row, b) => maxDifference(actual[b]!, row)));
    return absolute(group, `${section}: exported adapter reloads to the same logits`, worst, 1e-6);
  } finally {
    fresh.destroy();
  }
}
