import { expect, test } from 'vitest';
import { mapFiles } from '../../src/gpu/formats/memory_files.ts';
import { writeSafetensors } from '../../src/gpu/formats/safetensors.ts';
import type { CheckResult } from './check.ts';
import { absolute, formatCheck, identical, maxDifference, relativeError } from './check.ts';
import { goldenSuite, modelFolders } from './suite.ts';

/** The suite over files in memory that never reach an engine; the device is not touched. */
async function run(
  files: Record<string, string | Uint8Array>,
  lossesRequired = false,
): Promise<CheckResult[]> {
  const bytes = Object.entries(files).map(
    ([name, value]) => [name, typeof value === 'string' ? new TextEncoder().encode(value) : value] as const,
  );
  const device = Object.create(null) as GPUDevice;
  const checks: CheckResult[] = [];
  const source = mapFiles('golden', new Map(bytes));
  for await (const check of goldenSuite({ device, files: source, precision: 'f32', lossesRequired }))
    checks.push(check);
  return checks;
}

const golden = {
  chat: { messages: [], text: '', ids: [] },
  tokenize: [],
  generate: { prompt: [1] },
  grpo: {},
  full: { loss: 1 },
  'qv.sft': {
    loss: [1],
    grad_norm: [1],
    optimizer: { lr: 1, betas: [0.9, 0.9], eps: 1, weight_decay: 0, max_grad_norm: 1 },
  },
};

test.each<[string, Record<string, string | Uint8Array>, RegExp]>([
  ['a folder without golden.json', { 'm/config.json': '{}' }, /golden\/m has no file golden\.json/],
  ['a torn golden.json', { 'm/golden.json': '{"chat":' }, /golden\/m\/golden\.json is not valid JSON/],
  [
    'a golden.json without a section',
    { 'm/golden.json': JSON.stringify({ ...golden, full: undefined }) },
    /golden\.json.*"full"/,
  ],
  ['a wrong value', { 'm/golden.json': JSON.stringify({ ...golden, full: { loss: 'x' } }) }, /"full\.loss"/],
  ['no golden.safetensors', { 'm/golden.json': JSON.stringify(golden) }, /has no file golden\.safetensors/],
  [
    'a truncated golden.safetensors',
    {
      'm/golden.json': JSON.stringify(golden),
      'm/golden.safetensors': writeSafetensors([{ name: 'a', shape: [4], data: new Float32Array(4) }]).slice(
        0,
        -3,
      ),
    },
    /golden\/m\/golden\.safetensors ends inside tensor a/,
  ],
  ['broken loss values', { 'grpo_losses.json': '{}' }, /grpo_losses\.json|inputs/],
])('%s is a failed check that names it', async (_, files, message) => {
  const checks = await run(files);
  expect(checks.length).toBeGreaterThan(0);
  expect(checks.every((check) => !check.passed)).toBe(true);
  expect(formatCheck(checks[0]!)).toMatch(message);
});

test('loss values may only be absent where they are not required', async () => {
  expect(await run({})).toEqual([]);
  const [check] = await run({}, true);
  expect(check).toMatchObject({ passed: false, group: 'grpo_losses.json' });
});

test('model folders are told from others', () => {
  const paths = [
    'a/config.json',
    'b/golden.json',
    'c/model.safetensors',
    'a/x/config.json',
    'notes/x.txt',
    '.git/config.json',
    'config.json',
  ];
  expect(modelFolders(paths)).toEqual(['a', 'b', 'c']);
});

test('errors are measured so that nothing slips through', () => {
  expect(maxDifference([1, 2], [1, 2.5])).toBe(0.5);
  expect(maxDifference([1, NaN, 2], [1, 2, 2])).toBe(Infinity);
  expect(maxDifference([1], [1, 2])).toBe(Infinity);
  expect(relativeError([3, 4.5], [3, 4])).toBeCloseTo(0.1, 12);
  expect(relativeError([NaN], [1])).toBe(Infinity);
  expect(relativeError([0, 0], [0, 0])).toBe(0);
  expect(relativeError([1, 0], [0, 0])).toBe(Infinity);
  expect(absolute('g', 'n', NaN, 1).passed).toBe(false);
  expect(absolute('g', 'n', 1e-5, 1e-5).passed).toBe(true);
  const [same, other] = [
    identical('g', 'n', [{ actual: [1, 2], expected: [1, 2] }]),
    identical('g', 'n', [{ actual: [1], expected: [1, 2], of: 'x' }]),
  ];
  expect(same.passed).toBe(true);
  expect(other).toMatchObject({ passed: false, note: '1 of 1 differ; first (x) at 1: [1] instead of [1,2]' });
});
