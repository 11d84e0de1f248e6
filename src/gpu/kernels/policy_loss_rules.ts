/** @file Clip rules and KL estimators in WGSL: the bodies of `token_loss` and `kl_estimate` of `policy_loss.ts`. */
import type { ClipRule, KlEstimator } from '../../core/loss/types.ts';

/**
 * Body of `token_loss(r, A, lp, base, log_weight) → TokenLoss`; the formulas and their sources are in
 * `src/core/loss/clip_rules.ts`.
 */
export function clipRuleWgsl(clip: ClipRule): string {
  switch (clip.rule) {
    case 'clipped':
      return `
  let low = settings[s_low];
  let high = settings[s_high];
  let delta = settings[s_delta];
  let held = min(r, delta);
  let free_part = held * A;
  let clamped_part = clamp(r, low, high) * A;
  let d_free = select(0.0, 1.0, r <= delta);
  let d_clamped = select(0.0, 1.0, r >= low && r <= high);
  var slope = 0.5 * (d_free + d_clamped);
  if (free_part < clamped_part) { slope = d_free; } else if (free_part > clamped_part) { slope = d_clamped; }
  var clipped = 0.0;
  if (held < low && A < 0.0) { clipped = -1.0; } else if (held > high && A > 0.0) { clipped = 1.0; }
  return TokenLoss(-min(free_part, clamped_part), -A * slope, 0.0, clipped);`;
    case 'cispo':
      return `
  let w = min(r, settings[s_high]) * A;
  return TokenLoss(-w * lp, 0.0, -w, select(0.0, 1.0, r > settings[s_high] && A > 0.0));`;
    case 'sapo':
      return `
  let tau = select(settings[s_tauNegative], settings[s_tauPositive], A > 0.0);
  let gate = 1.0 / (1.0 + exp(clamp(-tau * (r - 1.0), -80.0, 80.0)));
  return TokenLoss(-4.0 / tau * gate * A, -4.0 * gate * (1.0 - gate) * A, 0.0, 0.0);`;
    case 'vespo':
      return `
  let k = select(settings[s_kNegative], settings[s_kPositive], A >= 0.0);
  let lambda = max(select(settings[s_lambdaNegative], settings[s_lambdaPositive], A >= 0.0), 1e-4);
  let phi = exp(clamp(lambda + k * log_weight - lambda * exp(log_weight), -87.0, 80.0));
  return TokenLoss(-phi * A * lp, 0.0, -phi * A, 0.0);`;
    case 'dppo':
      return `
  let moved = exp(lp) - exp(base);
  var clipped = 0.0;
  if (A > 0.0 && moved > settings[s_high]) { clipped = 1.0; }
  if (A < 0.0 && moved < -settings[s_low]) { clipped = -1.0; }
  let kept = 1.0 - abs(clipped);
  let log_ratio = lp - base;
  let tau = settings[s_klTau];
  return TokenLoss(-kept * r * A + tau * log_ratio * log_ratio, -kept * A, 2.0 * tau * log_ratio, clipped);`;
  }
}

/** Body of `kl_estimate(lp, ref_lp) → Kl`. k3 near 0 by its series: in f32 the difference would cancel. */
export function klWgsl(estimator: KlEstimator): string {
  switch (estimator) {
    case 'k1':
      return 'return Kl(lp - ref_lp, 1.0);';
    case 'k2':
      return 'let d = ref_lp - lp; return Kl(0.5 * d * d, -d);';
    case 'k3':
      return `
  let d = min(ref_lp - lp, 80.0);
  if (abs(d) < 0.1) {
    return Kl(
      d * d * (0.5 + d * (0.16666667 + d * (0.041666667 + d * (0.0083333333 + d * 0.0013888889)))),
      -d * (1.0 + d * (0.5 + d * (0.16666667 + d * (0.041666667 + d * 0.0083333333)))),
    );
  }
  let grown = exp(d) - 1.0;
  return Kl(grown - d, -grown);`;
  }
}
