/** @file Importance ratios: per token, per sequence, per item; and the sequence sums the other rules need. */
import type { LossSequence, PolicyObjective } from './types.ts';

/** The tokens whose log-probs share one ratio, `r = exp(mean over them of (lp − base))`. */
export interface RatioGroup {
  ratio: number;
  /** Places of its loss tokens. */
  places: number[];
}

/** What a sequence contributes before any token is looked at. */
export interface SequenceRatios {
  /** One group a token, one for the sequence, or one an item. Only loss tokens appear. */
  groups: RatioGroup[];
  /** Σ m(lp − base), each term within ±20 and the sum within [ln 1e-8, 20]: VESPO's ln w before correction. */
  logWeight: number;
  /** Importance correction of the token's sampler; empty = 1 everywhere. */
  correction: (t: number) => number;
  /** Mean over loss tokens of (behaviour − lp): how far the policy has left what sampled the sequence. */
  drift: number;
}

const clamp = (x: number, low: number, high: number): number => Math.min(Math.max(x, low), high);

/** Log-probs the ratio divides by; the current ones (detached) when the sequence has none. */
export function baseLogprobs(sequence: LossSequence, objective: PolicyObjective): ArrayLike<number> {
  const base = objective.ratioBase === 'sampler' ? (sequence.sampler ?? sequence.old) : sequence.old;
  return base ?? sequence.logprobs;
}

/** Ratios and sequence sums of one sequence. */
export function sequenceRatios(sequence: LossSequence, objective: PolicyObjective): SequenceRatios {
  const { logprobs, mask } = sequence;
  const places: number[] = [];
  for (let t = 0; t < mask.length; t++) if (mask[t] !== 0) places.push(t);
  const base = baseLogprobs(sequence, objective);
  const behaviour = sequence.sampler ?? base;
  const logRatio = (t: number): number => logprobs[t]! - base[t]!;
  const sum = (f: (t: number) => number, at = places): number => at.reduce((a, t) => a + f(t), 0);

  const groups = groupPlaces(sequence, objective, places).map((at) => ({
    places: at,
    ratio: Math.exp(sum(logRatio, at) / at.length),
  }));
  const correction = samplerCorrection(sequence, objective, places);
  let logWeight = sum((t) => clamp(logRatio(t), -20, 20));
  if (objective.clip.rule === 'vespo' && objective.importance) {
    const logs = objective.importance.level === 'sequence' ? places.slice(0, 1) : places;
    logWeight += sum((t) => clamp(Math.log(correction(t)), Math.log(1e-8), 20), logs);
  }
  return {
    groups,
    correction,
    logWeight: clamp(logWeight, Math.log(1e-8), 20),
    drift: sum((t) => behaviour[t]! - logprobs[t]!) / Math.max(places.length, 1),
  };
}

function groupPlaces(sequence: LossSequence, objective: PolicyObjective, places: number[]): number[][] {
  switch (objective.ratioLevel) {
    case 'token':
      return places.map((t) => [t]);
    case 'sequence':
      return places.length > 0 ? [places] : [];
    case 'item': {
      if (!sequence.segments) throw new RangeError('Ratio level "item" needs the segment of every token.');
      const items = new Map<number, number[]>();
      for (const t of places) {
        const item = sequence.segments[t]!;
        items.set(item, [...(items.get(item) ?? []), t]);
      }
      return [...items.values()];
    }
  }
}

/** `exp(old − sampler)`, truncated or masked as the objective says. */
function samplerCorrection(
  sequence: LossSequence,
  objective: PolicyObjective,
  places: number[],
): (t: number) => number {
  const { importance } = objective;
  const { sampler } = sequence;
  if (!importance || !sampler) return () => 1;
  const old = sequence.old ?? sequence.logprobs;
  const bound = (w: number): number => {
    const low = importance.min ?? 0;
    if (importance.mode === 'truncate') return clamp(w, low, importance.max);
    return w >= low && w <= importance.max ? w : 0;
  };
  if (importance.level === 'token') return (t) => bound(Math.exp(old[t]! - sampler[t]!));
  const weight = bound(Math.exp(places.reduce((a, t) => a + old[t]! - sampler[t]!, 0)));
  return () => weight;
}
