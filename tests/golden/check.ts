/** @file One golden check: what was compared, how far off it was, how far off it may be; and how to measure that. */

/** Result of one check; a line of the report. */
export interface CheckResult {
  /** Model folder, or the file the values come from. */
  group: string;
  name: string;
  passed: boolean;
  /** Worst error, in the unit of `tolerance`; NaN where there is none (an exact comparison, or an exception). */
  worst: number;
  /** 0 = must be identical. */
  tolerance: number;
  /** Unit of both: absolute difference, or relative to the norm or the value. */
  unit: 'absolute' | 'relative' | 'identical';
  /** What else a reader should know: a mismatch, an exception, how many entries were judged another way. */
  note?: string;
}

type Values = ArrayLike<number>;

/** Largest absolute difference; Infinity when lengths differ or a value is NaN. */
export function maxDifference(actual: Values, expected: Values): number {
  if (actual.length !== expected.length) return Infinity;
  let worst = 0;
  for (let i = 0; i < actual.length; i++) {
    const d = Math.abs(actual[i]! - expected[i]!);
    if (!(d <= worst)) worst = Number.isNaN(d) ? Infinity : d;
  }
  return worst;
}

/** ‖actual − expected‖ / ‖expected‖ in the 2-norm; Infinity when lengths differ or a value is NaN. */
export function relativeError(actual: Values, expected: Values): number {
  if (actual.length !== expected.length) return Infinity;
  let off = 0;
  let norm = 0;
  for (let i = 0; i < actual.length; i++) {
    off += (actual[i]! - expected[i]!) ** 2;
    norm += expected[i]! ** 2;
  }
  if (Number.isNaN(off)) return Infinity;
  if (off === 0) return 0;
  return Math.sqrt(off / norm);
}

/** A check within an absolute tolerance. */
export const absolute = (
  group: string,
  name: string,
  worst: number,
  tolerance: number,
  note?: string,
): CheckResult => ({
  group,
  name,
  passed: worst <= tolerance,
  worst,
  tolerance,
  unit: 'absolute',
  note,
});

/** A check within a relative tolerance. */
export const relative = (
  group: string,
  name: string,
  worst: number,
  tolerance: number,
  note?: string,
): CheckResult => ({
  ...absolute(group, name, worst, tolerance, note),
  unit: 'relative',
});

/** A check that two token lists or texts are the same; the note says where they part. */
export function identical(
  group: string,
  name: string,
  pairs: readonly { actual: string | readonly number[]; expected: string | readonly number[]; of?: string }[],
): CheckResult {
  const wrong = pairs.filter(({ actual, expected }) => firstDifference(actual, expected) >= 0);
  const [first] = wrong;
  const note = first
    ? `${wrong.length} of ${pairs.length} differ; first${first.of ? ` (${first.of})` : ''} at ${firstDifference(first.actual, first.expected)}: ` +
      `${excerpt(first.actual, first.expected)} instead of ${excerpt(first.expected, first.actual)}`
    : `${pairs.length} compared`;
  return { group, name, passed: wrong.length === 0, worst: NaN, tolerance: 0, unit: 'identical', note };
}

function firstDifference(a: string | readonly number[], b: string | readonly number[]): number {
  for (let i = 0; i < Math.max(a.length, b.length); i++) if (a[i] !== b[i]) return i;
  return -1;
}

function excerpt(value: string | readonly number[], other: string | readonly number[]): string {
  const at = Math.max(0, firstDifference(value, other) - 2);
  return JSON.stringify(value.slice(at, at + 8));
}

/** A check that could not be made: an exception, a missing or broken file. */
export const failure = (group: string, name: string, cause: unknown): CheckResult => ({
  group,
  name,
  passed: false,
  worst: NaN,
  tolerance: 0,
  unit: 'identical',
  note: cause instanceof Error ? `${cause.name}: ${cause.message}` : String(cause),
});

/** One line for a terminal. */
export function formatCheck(check: CheckResult): string {
  const { group, name, passed, worst, tolerance, unit, note } = check;
  const figures = Number.isNaN(worst)
    ? passed
      ? 'identical'
      : ''
    : `worst ${worst.toExponential(1)}, tolerance ${tolerance.toExponential(0)} ${unit}`;
  return `${passed ? '✓' : '✗'} ${`${group}  ${name}`.padEnd(58)} ${[figures, note].filter(Boolean).join('; ')}`;
}
