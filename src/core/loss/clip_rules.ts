/**
 * @file From an importance ratio and an advantage to a per-token loss and its derivatives, one function a clip rule.
 * The derivative is split in two, because the ratio may belong to a sequence or an item rather than to the token:
 * through the ratio (`dRatio`) and through the token's own log-prob (`dLogprob`, where the ratio is detached).
 */
import type { ClipRule } from './types.ts';

/** A per-token loss and where its gradient goes. */
export interface TokenLoss {
  loss: number;
  /** ∂loss/∂r */
  dRatio: number;
  /** ∂loss/∂lp with r held fixed. */
  dLogprob: number;
  /** −1 stopped below, +1 stopped above, 0 free. */
  clipped: -1 | 0 | 1;
}

/** What a rule may look at. */
export interface TokenContext {
  /** Importance ratio at the objective's level. */
  ratio: number;
  advantage: number;
  logprob: number;
  /** Log-prob the ratio divides by. */
  base: number;
  /** VESPO: ln w of the sequence. */
  logSequenceWeight: number;
}

/** Apply a clip rule to one token. Formulas: see `ClipRule` and spec/training.md. */
export function tokenLoss(clip: ClipRule, token: TokenContext): TokenLoss {
  switch (clip.rule) {
    case 'clipped':
      return clippedLoss(token, 1 - clip.eLow, 1 + clip.eHigh, clip.delta ?? Infinity);
    case 'cispo':
      return cispoLoss(token, clip.eHigh);
    case 'sapo':
      return sapoLoss(token, token.advantage > 0 ? clip.tauPositive : clip.tauNegative);
    case 'vespo': {
      const up = token.advantage >= 0;
      return vespoLoss(
        token,
        up ? clip.kPositive : clip.kNegative,
        up ? clip.lambdaPositive : clip.lambdaNegative,
      );
    }
    case 'dppo':
      return dppoLoss(token, clip.maskLow, clip.maskHigh, clip.klTau);
  }
}

/** PPO's clipped surrogate (Schulman et al., 2017) with separate bounds (DAPO) and an upper bound δ (INTELLECT-2). */
function clippedLoss(
  { ratio: r, advantage: A }: TokenContext,
  low: number,
  high: number,
  delta: number,
): TokenLoss {
  const bounded = Math.min(r, delta);
  const free = bounded * A;
  const clamped = Math.min(Math.max(r, low), high) * A;
  const dFree = r <= delta ? 1 : 0;
  const dClamped = r >= low && r <= high ? 1 : 0;
  const slope = free < clamped ? dFree : free > clamped ? dClamped : (dFree + dClamped) / 2;
  return {
    loss: -Math.min(free, clamped),
    dRatio: -A * slope,
    dLogprob: 0,
    clipped: bounded < low && A < 0 ? -1 : bounded > high && A > 0 ? 1 : 0,
  };
}

/** Clipped importance weights, no token dropped (MiniMax-M1, 2025). */
function cispoLoss({ ratio: r, advantage: A, logprob }: TokenContext, high: number): TokenLoss {
  const weight = Math.min(r, high) * A;
  return { loss: -weight * logprob, dRatio: 0, dLogprob: -weight, clipped: r > high && A > 0 ? 1 : 0 };
}

/** Soft adaptive gate in place of the hard clip (SAPO, 2025). */
function sapoLoss({ ratio: r, advantage: A }: TokenContext, tau: number): TokenLoss {
  const gate = 1 / (1 + Math.exp(-tau * (r - 1)));
  return { loss: (-4 / tau) * gate * A, dRatio: -4 * gate * (1 - gate) * A, dLogprob: 0, clipped: 0 };
}

/** Gamma-shaped sequence weight φ(w) = e^λ · w^k · e^(−λw), detached (VESPO, 2026). */
function vespoLoss(
  { advantage: A, logprob, logSequenceWeight }: TokenContext,
  k: number,
  lambda: number,
): TokenLoss {
  const floor = Math.max(lambda, 1e-4);
  const phi = Math.exp(floor + k * logSequenceWeight - floor * Math.exp(logSequenceWeight));
  return { loss: -phi * A * logprob, dRatio: 0, dLogprob: -phi * A, clipped: 0 };
}

/** Binary total-variation mask (DPPO, 2026) and a squared log ratio (Kimi), the default loss of prime-rl. */
function dppoLoss(token: TokenContext, maskLow: number, maskHigh: number, klTau: number): TokenLoss {
  const { ratio: r, advantage: A, logprob, base } = token;
  const moved = Math.exp(logprob) - Math.exp(base);
  const clipped = A > 0 && moved > maskHigh ? 1 : A < 0 && moved < -maskLow ? -1 : 0;
  const kept = clipped === 0 ? 1 : 0;
  const logRatio = logprob - base;
  return {
    loss: -kept * r * A + klTau * logRatio * logRatio,
    dRatio: -kept * A,
    dLogprob: 2 * klTau * logRatio,
    clipped,
  };
}
