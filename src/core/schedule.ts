/** @file Learning-rate schedules, as factors of the base rate. They end where they say they end: no hidden floor. */

export const scheduleNames = ['constant', 'constant_with_warmup', 'linear', 'cosine'] as const;
export type ScheduleName = (typeof scheduleNames)[number];

/**
 * Factor of the base learning rate for the optimizer step `step` (0-based) of `total`. All but `constant` rise linearly
 * from 0 over `warmup` steps; `linear` then falls to 0 at `total`, `cosine` falls along half a cosine (Transformers'
 * definitions).
 */
export function scheduleFactor(name: ScheduleName, step: number, total: number, warmup = 0): number {
  if (name === 'constant') return 1;
  if (step < warmup) return step / warmup;
  if (name === 'constant_with_warmup') return 1;
  const progress = Math.min(1, (step - warmup) / Math.max(1, total - warmup));
  return name === 'linear' ? 1 - progress : 0.5 * (1 + Math.cos(Math.PI * progress));
}
