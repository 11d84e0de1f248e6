/** @file The lines that `tart bench` prints: one JSON object a measurement, every one with where and on what it was made. */
import * as v from 'valibot';

const text = v.pipe(v.string(), v.minLength(1));
const figure = v.pipe(v.number(), v.finite(), v.minValue(0));

const common = {
  bench: text,
  /** Name of the shape or folder. */
  model: text,
  precision: v.picklist(['f32', 'f16']),
  vendor: v.string(),
  architecture: v.string(),
  device: v.string(),
  description: v.string(),
  /** The adapter is a CPU in disguise. */
  software: v.boolean(),
};

/** A measured line. `median`, `min` and `max` are of `repeats` runs, in `unit`. */
export const measurementSchema = v.looseObject({
  ...common,
  /** Sizes of what was measured. */
  shape: v.record(v.string(), v.union([v.number(), v.string()])),
  unit: text,
  median: figure,
  min: figure,
  max: figure,
  repeats: v.pipe(v.number(), v.integer(), v.minValue(1)),
});

/** Says what was not measured, and why. */
export const noticeSchema = v.looseObject({ ...common, not_measured: text });

export const lineSchema = v.union([measurementSchema, noticeSchema]);
export type BenchLine = v.InferOutput<typeof lineSchema>;
export type Measurement = v.InferOutput<typeof measurementSchema>;

/** What all lines of a run share. */
export type CommonFacts = v.InferOutput<v.ObjectSchema<Omit<typeof common, 'bench'>, undefined>>;

/** Middle value; the mean of the two middle ones of an even number. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** Seven digits say more than a clock knows. */
const round = (x: number): number => Number(x.toPrecision(7));

/** Writes lines. */
export class Report {
  constructor(
    private readonly facts: CommonFacts,
    private readonly write: (line: string) => void,
  ) {}

  /** One measurement: the values of its repeats. `more` are further fields of the line. */
  measured(
    bench: string,
    shape: Measurement['shape'],
    unit: string,
    values: readonly number[],
    more: Record<string, unknown> = {},
  ): void {
    this.line(bench, {
      shape,
      unit,
      median: round(median(values)),
      min: round(Math.min(...values)),
      max: round(Math.max(...values)),
      repeats: values.length,
      ...more,
    });
  }

  notMeasured(bench: string, reason: string): void {
    this.line(bench, { not_measured: reason });
  }

  private line(bench: string, fields: Record<string, unknown>): void {
    this.write(JSON.stringify({ bench, ...this.facts, ...fields }));
  }
}
