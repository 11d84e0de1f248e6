/** @file The batches behind a golden model's numbers, as `TrainSequence`s and objectives of our own interface. */
import type { Objective, OptimizerOptions, TrainSequence } from '../../src/core/policy.ts';
import type { PolicyObjective } from '../../src/core/loss/types.ts';
import type { GoldenJson, GoldenModel } from './golden_model.ts';
import { goldenRows } from './golden_model.ts';

/** The unpadded token sequences. Padding is on the right, so a prefix of every golden row speaks of them. */
export function goldenSequences(model: GoldenModel): number[][] {
  const mask = goldenRows(model, 'attention_mask');
  return goldenRows(model, 'input_ids').map((row, b) => row.filter((_, t) => mask[b]![t] === 1));
}

/** The supervised batch of `qv` or `all`. */
export function goldenSftBatch(model: GoldenModel, adapter: 'qv' | 'all'): TrainSequence[] {
  const labels = goldenRows(model, `${adapter}.labels`);
  return goldenSequences(model).map((tokens, b) => ({
    tokens,
    lossMask: tokens.map((_, t) => (t > 0 && labels[b]![t] !== -100 ? 1 : 0)),
  }));
}

export const goldenSftObjective: Objective = { kind: 'sft' };

/** The optimizer of the five steps. */
export function goldenOptimizer(json: GoldenJson, adapter: 'qv' | 'all'): OptimizerOptions {
  const { lr, betas, eps, weight_decay, max_grad_norm } = json[`${adapter}.sft`].optimizer;
  return { learningRate: lr, betas, eps, weightDecay: weight_decay, maxGradNorm: max_grad_norm };
}

/** The policy-gradient batch. Golden entry t of [B, T − 1] speaks of token t + 1. */
export function goldenPolicyBatch(model: GoldenModel): TrainSequence[] {
  const shifted = (name: string): number[][] => goldenRows(model, name).map((row) => [0, ...row]);
  const mask = shifted('grpo.completion_mask');
  const old = shifted('grpo.old_logprobs');
  const ref = shifted('grpo.ref_logprobs');
  const advantages = goldenRows(model, 'grpo.advantages').map(([a]) => a!);
  return goldenSequences(model).map((tokens, b) => {
    const cut = (row: number[]): number[] => row.slice(0, tokens.length);
    return {
      tokens,
      lossMask: cut(mask[b]!),
      oldLogprobs: cut(old[b]!),
      refLogprobs: cut(ref[b]!),
      advantage: advantages[b]!,
    };
  });
}

/** The objective of a variant in `golden.json`'s `grpo`. */
export function goldenPolicyObjective({
  norm,
  hi,
  e_low,
  beta,
  const_len,
}: GoldenJson['grpo'][string]): PolicyObjective {
  return {
    kind: 'policy',
    ratioLevel: 'token',
    clip: { rule: 'clipped', eLow: e_low, eHigh: hi },
    aggregation:
      norm === 'token'
        ? { rule: 'token_mean' }
        : norm === 'seq'
          ? { rule: 'sequence_mean' }
          : { rule: 'constant', length: const_len },
    beta,
    klEstimator: 'k3',
    temperature: 1,
  };
}

/** Our key of a golden parameter name: `….q_proj.lora_A.default.weight` → `….q_proj.lora_A`. */
export const parameterKey = (golden: string): string =>
  golden.replace(/\.(lora_[AB])\.default\.weight$/, '.$1');

/** Golden tensors under a prefix (`qv.grad.`), by our parameter keys. */
export function goldenParameters(model: GoldenModel, prefix: string): Map<string, Float32Array> {
  const found = new Map<string, Float32Array>();
  for (const [name, { data }] of model.tensors)
    if (name.startsWith(prefix)) found.set(parameterKey(name.slice(prefix.length)), data);
  return found;
}
