import { expect, test } from 'vitest';
import { judgeAdamW } from './adamw_judge.ts';
import { tolerances } from './tolerances.ts';

const n = 2000;
const expected = Float32Array.from({ length: n }, (_, i) => Math.sin(i + 1));
const gradient = Float32Array.from({ length: n }, (_, i) => (i === 7 ? 1e-9 : Math.cos(i)));
const judge = (edit: (weights: Float32Array) => void, g = gradient) => {
  const actual = expected.slice();
  edit(actual);
  return judgeAdamW(actual, expected, g, 5e-3, tolerances.f32);
};

test('rounding passes, an error in the norm does not', () => {
  expect(judge((w) => w.forEach((x, i) => (w[i] = x * (1 + 1e-4)))).passed).toBe(true);
  expect(judge((w) => w.forEach((x, i) => (w[i] = x * (1 + 3e-4)))).passed).toBe(false);
  expect(judge((w) => (w[3] = NaN)).passed).toBe(false);
});

test('an entry whose gradient is noise may be a few steps off, but no farther, and only a few may', () => {
  expect(judge((w) => (w[7]! += 2e-3))).toMatchObject({ passed: true, worst: 0 });
  expect(judge((w) => (w[7]! += 6e-3)).passed).toBe(false);
  expect(judge((w) => (w[7]! = NaN)).passed).toBe(false);
  const mostlyNoise = gradient.map((g, i) => (i % 50 === 0 ? 1e-9 : g));
  expect(judge(() => undefined, mostlyNoise).passed).toBe(false);
});
