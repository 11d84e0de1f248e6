/**
 * @file Confidence intervals by the percentile bootstrap (B. Efron, 1979) over dialogues: whole dialogues are drawn with
 * replacement, with all their rows and labels, because labels of one dialogue succeed and fail together. Seeded.
 */
import { Rng } from '../../core/random.ts';

/** A ratio statistic: one numerator and denominator a row. */
export interface RatioData {
  numerators: readonly number[];
  denominators: readonly number[];
}

export interface BootstrapOptions {
  /** Resamples. Default 1000. */
  samples?: number;
  seed?: number;
  /** Default 0.95. */
  confidence?: number;
}

/** `[low, high]`, or null where nothing was measured. */
export type Interval = [low: number, high: number] | null;

/** Every resample's value of every statistic: `[statistic][sample]`, NaN where the drawn rows say nothing. */
export function bootstrapValues(
  data: readonly RatioData[],
  clusters: readonly string[],
  options: BootstrapOptions = {},
): Float64Array[] {
  const samples = options.samples ?? 1000;
  const rng = new Rng(options.seed ?? 0);
  const { sums, count } = clusterSums(data, clusters);
  const values = data.map(() => new Float64Array(samples));
  const drawn = new Int32Array(count);
  for (let s = 0; s < samples; s++) {
    for (let c = 0; c < count; c++) drawn[c] = rng.int(count);
    sums.forEach(({ numerators, denominators }, k) => {
      let numerator = 0;
      let denominator = 0;
      for (let c = 0; c < count; c++) {
        numerator += numerators[drawn[c]!]!;
        denominator += denominators[drawn[c]!]!;
      }
      values[k]![s] = denominator === 0 ? NaN : numerator / denominator;
    });
  }
  return values;
}

/** Confidence intervals of several ratios over the same rows; the same draws for all of them. */
export function bootstrapIntervals(
  data: readonly RatioData[],
  clusters: readonly string[],
  options: BootstrapOptions = {},
): Interval[] {
  return bootstrapValues(data, clusters, options).map((values) =>
    percentiles(values, options.confidence ?? 0.95),
  );
}

/** The central interval of the finite values (linear interpolation between order statistics). */
export function percentiles(values: ArrayLike<number>, confidence: number): Interval {
  const sorted = Float64Array.from(Array.from(values).filter((v) => Number.isFinite(v))).sort();
  if (sorted.length === 0) return null;
  const at = (q: number) => {
    const position = q * (sorted.length - 1);
    const low = Math.floor(position);
    const high = Math.min(low + 1, sorted.length - 1);
    return sorted[low]! + (position - low) * (sorted[high]! - sorted[low]!);
  };
  const tail = (1 - confidence) / 2;
  return [at(tail), at(1 - tail)];
}

/** Sums of numerators and denominators by cluster, clusters in the order of their first row. */
function clusterSums(
  data: readonly RatioData[],
  clusters: readonly string[],
): { sums: { numerators: Float64Array; denominators: Float64Array }[]; count: number } {
  const index = new Map<string, number>();
  const clusterOf = clusters.map((name) => {
    let at = index.get(name);
    if (at === undefined) index.set(name, (at = index.size));
    return at;
  });
  const sums = data.map(({ numerators, denominators }) => {
    const out = { numerators: new Float64Array(index.size), denominators: new Float64Array(index.size) };
    clusterOf.forEach((cluster, row) => {
      out.numerators[cluster]! += numerators[row]!;
      out.denominators[cluster]! += denominators[row]!;
    });
    return out;
  });
  return { sums, count: index.size };
}
