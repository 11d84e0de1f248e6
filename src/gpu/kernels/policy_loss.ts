/**
 * @file The policy loss on the GPU: log-probs in, ∂loss/∂logprobs and a record of every token out. The same function as
 * `src/core/loss/policy_loss.ts`, which explains the formulas; both meet the same golden values.
 *
 * One workgroup a sequence of the token-packed axis [N]: it sums what sequence-level rules need, then treats its tokens.
 * Nothing is shared between sequences, so the result does not depend on the batch and every sum has a fixed order.
 * The *structure* of an objective (rules, levels, which corrections) is baked into the WGSL; its *numbers* travel in the
 * small `settings` buffer, and the aggregation travels as one weight a sequence, computed in float64 from the totals of
 * the whole optimizer step. Micro-batches of one step therefore add up to it.
 *
 * Use: `createPolicyLossTensors` → `recordPolicyLoss` into a list → per micro-batch `uploadPolicyBatch`, then submit.
 */
import type { PolicyObjective } from '../../core/loss/types.ts';
import type { GpuContext } from '../runtime/context.ts';
import type { DispatchList } from '../runtime/dispatch_list.ts';
import type { KernelSpec } from '../runtime/kernel.ts';
import type { Tensor } from '../runtime/tensor.ts';
import { grid, kernelSpec } from '../runtime/wgsl.ts';
import { flags, settingNames, tokenWords } from './policy_loss_batch.ts';
import { clipRuleWgsl, klWgsl } from './policy_loss_rules.ts';

/** Buffers of the kernel for at most N packed tokens in at most B sequences. */
export interface PolicyLossTensors {
  /** Current log-probs, entry n speaks of packed token n. [N] */
  logprobs: Tensor;
  /** Entropies; read only by the entropy mask. [N] */
  entropies: Tensor;
  /** Per-token inputs from the host, see `packPolicyBatch`. u32 [N, 6] */
  tokens: Tensor;
  /** Start, end, number of loss tokens and weight of each sequence. u32 [B, 4] */
  sequences: Tensor;
  /** Numbers of the objective, in the order of `settingNames`. [15] */
  settings: Tensor;
  /** Out: ∂loss/∂logprobs; 0 outside the mask and outside all sequences. [N] */
  gradients: Tensor;
  /** Out: loss before aggregation, ratio, kl, clip flag (−1, 0, 1). [N, 4] */
  report: Tensor;
  /** Out: each sequence's part of the scalar loss. [B] */
  values: Tensor;
}

/** Append the loss of one micro-batch to a list. */
export function recordPolicyLoss(
  gpu: GpuContext,
  list: DispatchList,
  tensors: PolicyLossTensors,
  objective: PolicyObjective,
): void {
  const [tokens] = tensors.logprobs.shape as [number];
  const [sequences] = tensors.values.shape as [number];
  list.add(
    policyLossSpec(objective, tokens, sequences, gpu.capabilities.software ? 4 : 64),
    [
      tensors.logprobs,
      tensors.entropies,
      tensors.tokens,
      tensors.sequences,
      tensors.settings,
      tensors.gradients,
      tensors.report,
      tensors.values,
    ],
    grid(sequences),
  );
}

/** The kernel for an objective's structure and a shape. */
export function policyLossSpec(
  objective: PolicyObjective,
  tokens: number,
  sequences: number,
  threads: number,
): KernelSpec {
  const { ratioLevel, clip, importance } = objective;
  const vespo = clip.rule === 'vespo';
  return kernelSpec(
    'policy_loss',
    { logprobs: 'f32', entropies: 'f32', tokens: 'u32', sequences: 'u32', settings: 'f32' },
    { gradients: 'f32', report: 'vec4<f32>', values: 'f32' },
    `
${settingNames.map((name, i) => `const s_${name} = ${i}u;`).join('\n')}
var<workgroup> partial: array<vec4<f32>, ${threads}>;

// The sum of a value over the workgroup, the same bits in every invocation.
fn row_sum(value: vec4<f32>, lane: u32) -> vec4<f32> {
  workgroupBarrier();
  partial[lane] = value;
  workgroupBarrier();
  for (var step = ${threads / 2}u; step > 0u; step /= 2u) {
    if (lane < step) { partial[lane] += partial[lane + step]; }
    workgroupBarrier();
  }
  return partial[0];
}

fn has(i: u32, flag: u32) -> bool { return (tokens[i * ${tokenWords}u] & flag) != 0u; }
fn in_loss(i: u32) -> bool { return has(i, ${flags.loss}u); }
fn segment(i: u32) -> u32 { return tokens[i * ${tokenWords}u + 1u]; }
fn number(i: u32, word: u32) -> f32 { return bitcast<f32>(tokens[i * ${tokenWords}u + word]); }
fn old_of(i: u32) -> f32 { return select(logprobs[i], number(i, 3u), has(i, ${flags.old}u)); }
// What the ratio divides by, and what is believed to have sampled the token.
fn base_of(i: u32) -> f32 { return ${objective.ratioBase === 'sampler' ? `select(old_of(i), number(i, 5u), has(i, ${flags.sampler}u))` : 'old_of(i)'}; }
fn behaviour_of(i: u32) -> f32 { return select(base_of(i), number(i, 5u), has(i, ${flags.sampler}u)); }
fn log_correction(i: u32) -> f32 { return select(0.0, old_of(i) - number(i, 5u), has(i, ${flags.sampler}u)); }
fn bounded(w: f32) -> f32 {
  ${
    importance?.mode === 'mask'
      ? 'return select(0.0, w, w >= settings[s_importanceMin] && w <= settings[s_importanceMax]);'
      : 'return clamp(w, settings[s_importanceMin], settings[s_importanceMax]);'
  }
}
fn ratio_of(log_ratio: f32) -> f32 { return exp(min(log_ratio, 80.0)); }

struct TokenLoss { loss: f32, d_ratio: f32, d_logprob: f32, clipped: f32 }
// A clip rule: loss, ∂loss/∂ratio, ∂loss/∂logprob with the ratio fixed, and where it stopped.
fn token_loss(r: f32, A: f32, lp: f32, base: f32, log_weight: f32) -> TokenLoss {
  ${clipRuleWgsl(clip)}
}
struct Kl { kl: f32, slope: f32 }
fn kl_estimate(lp: f32, ref_lp: f32) -> Kl {
  ${klWgsl(objective.klEstimator)}
}

struct Treated { loss: f32, d_ratio: f32, d_logprob: f32, kl: f32, clipped: f32 }
// One loss token after masks, correction and KL.
fn treat(i: u32, ratio: f32, log_weight: f32, sequence_correction: f32, drifted: bool) -> Treated {
  let lp = logprobs[i];
  let A = number(i, 2u);
  let token = token_loss(ratio, A, lp, base_of(i), log_weight);
  var keep = ${!importance || vespo ? '1.0' : importance.level === 'sequence' ? 'sequence_correction' : `select(1.0, bounded(exp(log_correction(i))), has(i, ${flags.sampler}u))`};
  if (drifted && A < 0.0) { keep = 0.0; }
  ${objective.entropyTopShare === undefined ? '' : 'if (entropies[i] < settings[s_entropyThreshold]) { keep = 0.0; }'}
  var out = Treated(keep * token.loss, keep * token.d_ratio, keep * token.d_logprob, 0.0, token.clipped);
  if (has(i, ${flags.ref}u)) {
    let estimate = kl_estimate(lp, number(i, 4u));
    let beta = settings[s_beta];
    out.kl = estimate.kl;
    ${
      objective.klImportance
        ? `out.loss += beta * ratio * estimate.kl;
    out.d_logprob += beta * ratio * estimate.slope;
    out.d_ratio += beta * estimate.kl;`
        : `out.loss += beta * estimate.kl;
    out.d_logprob += beta * estimate.slope;`
    }
  }
  return out;
}

@compute @workgroup_size(${threads})
fn main(
  @builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let row = group.y * groups.x + group.x;
  if (row >= ${sequences}u) { return; }
  let first = sequences[row * 4u];
  let last = sequences[row * 4u + 1u];
  let count = bitcast<f32>(sequences[row * 4u + 2u]);
  let weight = bitcast<f32>(sequences[row * 4u + 3u]);

  // Sums over the sequence: log ratio, the same for VESPO, log correction, drift.
  var sums = vec4<f32>();
  var alone = 0.0;
  for (var i = first + lane; i < last; i += ${threads}u) {
    if (!in_loss(i)) { continue; }
    let log_ratio = logprobs[i] - base_of(i);
    var clamped = clamp(log_ratio, -20.0, 20.0);
    ${vespo && importance?.level === 'token' ? 'clamped += clamp(log(max(bounded(exp(log_correction(i))), 1e-8)), -18.420681, 20.0);' : ''}
    sums += vec4<f32>(log_ratio, clamped, log_correction(i), behaviour_of(i) - logprobs[i]);
    if (has(i, ${flags.sampler}u)) { alone = 1.0; }
  }
  sums = row_sum(sums, lane);
  let sampled = row_sum(vec4<f32>(alone), lane).x > 0.0;
  let sequence_correction = select(1.0, bounded(exp(sums.z)), sampled);
  let tokens_here = max(count, 1.0);
  let drifted = ${objective.offPolicyMask === undefined ? 'false' : 'sums.w / tokens_here > settings[s_driftLimit]'};
  var log_weight = sums.y;
  ${vespo && importance?.level === 'sequence' ? 'log_weight += clamp(log(max(sequence_correction, 1e-8)), -18.420681, 20.0);' : ''}
  log_weight = clamp(log_weight, -18.420681, 20.0);
  let sequence_ratio = ratio_of(sums.x / tokens_here);

  var value = 0.0;
  var d_sequence = 0.0;
  for (var i = first + lane; i < last; i += ${threads}u) {
    if (!in_loss(i)) {
      gradients[i] = 0.0;
      report[i] = vec4<f32>(0.0, 1.0, 0.0, 0.0);
      continue;
    }
    ${ratioWgsl(ratioLevel)}
    let token = treat(i, ratio, log_weight, sequence_correction, drifted);
    value += token.loss;
    d_sequence += token.d_ratio;
    report[i] = vec4<f32>(token.loss, ratio, token.kl, token.clipped);
    ${gradientWgsl(ratioLevel)}
  }
  ${
    ratioLevel === 'sequence'
      ? `d_sequence = row_sum(vec4<f32>(d_sequence), lane).x * sequence_ratio / tokens_here;
  for (var i = first + lane; i < last; i += ${threads}u) {
    if (in_loss(i)) { gradients[i] += weight * d_sequence; }
  }`
      : ''
  }
  value = row_sum(vec4<f32>(value), lane).x;
  if (lane == 0u) { values[row] = weight * value; }
  // Padding behind the last sequence.
  if (row == ${sequences - 1}u) {
    for (var i = last + lane; i < ${tokens}u; i += ${threads}u) {
      gradients[i] = 0.0;
      report[i] = vec4<f32>(0.0, 1.0, 0.0, 0.0);
    }
  }
}`,
  );
}

/** `ratio` of token i at the objective's level. An item's tokens are found by walking the sequence. */
function ratioWgsl(level: PolicyObjective['ratioLevel']): string {
  switch (level) {
    case 'token':
      return 'let ratio = ratio_of(logprobs[i] - base_of(i));';
    case 'sequence':
      return 'let ratio = sequence_ratio;';
    case 'item':
      return `var item_sum = 0.0;
    var item_count = 0.0;
    for (var j = first; j < last; j++) {
      if (in_loss(j) && segment(j) == segment(i)) {
        item_sum += logprobs[j] - base_of(j);
        item_count += 1.0;
      }
    }
    let ratio = ratio_of(item_sum / item_count);`;
  }
}

/** ∂ratio/∂lp of each token that shares a ratio is ratio / (how many share it). */
function gradientWgsl(level: PolicyObjective['ratioLevel']): string {
  switch (level) {
    case 'token':
      return 'gradients[i] = weight * (token.d_logprob + token.d_ratio * ratio);';
    case 'sequence':
      return 'gradients[i] = weight * token.d_logprob;';
    case 'item':
      return `var d_item = 0.0;
    for (var j = first; j < last; j++) {
      if (in_loss(j) && segment(j) == segment(i)) {
        d_item += treat(j, ratio, log_weight, sequence_correction, drifted).d_ratio;
      }
    }
    gradients[i] = weight * (token.d_logprob + d_item * ratio / item_count);`;
  }
}
