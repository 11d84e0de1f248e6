import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { adapterFolder, catalogueFolder, dataFile, rowsFile, sftDataFile } from './paths.ts';

let root: string;
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), 'tart-paths-'));
  for (const folder of ['data/redial', 'runs/one/adapter', 'runs/prep'])
    mkdirSync(join(root, folder), { recursive: true });
  for (const file of [
    'data/redial/entity2id.json',
    'data/redial/set.json',
    'runs/one/rows.jsonl',
    'runs/one/adapter/adapter_config.json',
    'runs/prep/sft.json',
  ])
    writeFileSync(join(root, file), '{}');
});
afterAll(() => rmSync(root, { recursive: true }));

const place = () => ({ kg_dataset: 'redial', data_dir: join(root, 'data'), output_dir: join(root, 'runs') });

it('finds data by path and by bare name, runs by name, adapters by run', () => {
  expect(dataFile('test_data', 'set.json', place())).toBe(join(root, 'data/redial/set.json'));
  expect(dataFile('test_data', join(root, 'data/redial/set.json'), place())).toBe(
    join(root, 'data/redial/set.json'),
  );
  expect(sftDataFile('train_data', 'prep', place())).toBe(join(root, 'runs/prep/sft.json'));
  expect(rowsFile('from', 'one', join(root, 'runs'))).toBe(join(root, 'runs/one/rows.jsonl'));
  expect(adapterFolder('model_path', 'one', join(root, 'runs'))).toBe(join(root, 'runs/one/adapter'));
  expect(catalogueFolder(place())).toBe(join(root, 'data/redial'));
});

it('falls back to the catalogue beside the data file', () => {
  const elsewhere = { ...place(), data_dir: join(root, 'nowhere') };
  expect(catalogueFolder(elsewhere, join(root, 'data/redial/set.json'))).toBe(join(root, 'data/redial'));
});

it('names the flag, the value and every place it looked in', () => {
  expect(() => dataFile('test_data', 'absent.json', place())).toThrow(
    /--test_data absent\.json.*data\/redial/,
  );
  expect(() => adapterFolder('ref_path', 'two', join(root, 'runs'))).toThrow(
    /--ref_path two.*adapter_config\.json/,
  );
  expect(() => catalogueFolder({ ...place(), kg_dataset: 'inspired' })).toThrow(/inspired.*entity2id/);
});
