import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { fakeHub } from '../tests/support/fake_hub.ts';
import { folderFiles, folderSink } from './files.ts';
import { resolveModel } from './models.ts';

let folder: string;
beforeEach(() => (folder = mkdtempSync(join(tmpdir(), 'models-'))));
afterEach(() => rmSync(folder, { recursive: true }));

const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
const offline: typeof fetch = async () => {
  throw new TypeError('fetch failed');
};

test('a folder is a file source with random access', async () => {
  writeFileSync(join(folder, 'a.bin'), 'abcdef');
  await folderSink(folder).write(
    'sub/b.bin',
    (async function* () {
      yield new TextEncoder().encode('one ');
      yield new TextEncoder().encode('two');
    })(),
  );
  const files = await resolveModel(folder);
  expect(await files.list()).toEqual(['a.bin', 'sub/b.bin']);
  expect(await files.size('a.bin')).toBe(6);
  expect(text(await files.read('a.bin', 2, 4))).toBe('cd');
  expect(text(await files.read('a.bin', 4, 99))).toBe('ef');
  expect(text(await files.read('sub/b.bin'))).toBe('one two');
  await expect(files.read('c.bin')).rejects.toThrow(/has no file c\.bin.*It holds: a\.bin, sub\/b\.bin/);
  await expect(files.size('c.bin')).rejects.toThrow('has no file c.bin');
  await expect(folderFiles(join(folder, 'nowhere')).list()).rejects.toThrow('There is no folder');
});

test('an export that fails leaves no torn file', async () => {
  const torn = folderSink(folder).write(
    'w.bin',
    (async function* () {
      yield new Uint8Array(10);
      throw new Error('disk full');
    })(),
  );
  await expect(torn).rejects.toThrow('disk full');
  expect(readdirSync(folder)).toEqual([]);
});

test('a hub model is fetched once, file by file, and then needs no network', async () => {
  const hub = fakeHub('org/model', { 'config.json': '{}', 'big.bin': 'z'.repeat(5000) });
  const options = { cacheDir: folder, hubUrl: hub.url };
  const online = await resolveModel('org/model', { ...options, fetch: hub.fetch });
  expect(text(await online.read('big.bin', 10, 12))).toBe('zz');
  expect(readFileSync(join(folder, 'org--model', hub.commit, 'big.bin'), 'utf8')).toHaveLength(5000);
  const later = await resolveModel('org/model', { ...options, fetch: offline });
  expect(text(await later.read('big.bin', 4998))).toBe('zz');
  expect(await later.list()).toEqual(['config.json', 'big.bin']);
  await expect(later.read('config.json')).rejects.toThrow(
    /config\.json is not in the cache .* cannot be reached/,
  );
});

test('a download goes on where it stopped', async () => {
  const hub = fakeHub('org/model', { 'big.bin': 'start' + 'z'.repeat(2_000_000) });
  const options = { cacheDir: folder, hubUrl: hub.url, fetch: hub.fetch };
  await (await resolveModel('org/model', options)).list();
  await folderSink(join(folder, 'org--model', hub.commit)).write(
    'big.bin.incomplete',
    (async function* () {
      yield new TextEncoder().encode('START');
    })(),
  );
  const files = await resolveModel('org/model', options);
  const bytes = await files.read('big.bin');
  expect(text(bytes.subarray(0, 7))).toBe('STARTzz');
  expect(bytes.length).toBe(2_000_005);
});

test('names that are neither a folder nor a hub id are refused, as is an unknown model without network', async () => {
  await expect(resolveModel('/no/such/folder')).rejects.toThrow('There is no model /no/such/folder');
  await expect(resolveModel('org/unknown', { cacheDir: folder, fetch: offline })).rejects.toThrow(
    'org/unknown could not be fetched from the hub',
  );
});
