import { expect, test } from 'vitest';
import { InputError } from '../../core/errors.ts';
import { fakeHub } from '../../../tests/support/fake_hub.ts';
import { hubFiles, isHubId } from './hub.ts';

const contents = {
  'config.json': '{"a":1}',
  'sub/model.bin': 'x'.repeat(1_200_000) + 'the end',
};

test('lists, sizes and reads ranges of one commit', async () => {
  const hub = fakeHub('org/model', contents);
  const files = await hubFiles('org/model', { fetch: hub.fetch, hubUrl: hub.url });
  expect(files.commit).toBe(hub.commit);
  expect(await files.list()).toEqual(Object.keys(contents));
  expect(await files.size('sub/model.bin')).toBe(1_200_007);
  const text = async (...range: [number?, number?]) =>
    new TextDecoder().decode(await files.read('sub/model.bin', ...range));
  expect(await text(1_199_998, 1_200_003)).toBe('xxthe');
  expect(await text(1_200_004)).toBe('end');
  expect(new TextDecoder().decode(await files.read('config.json'))).toBe('{"a":1}');
  // A large file is never fetched whole for a few bytes.
  expect(hub.bytesSent).toBeLessThan(10_000);
  await expect(files.read('nothing')).rejects.toThrow(/org\/model has no file nothing.*config\.json/);
});

test('names that climb out of the repository are left out', async () => {
  const hub = fakeHub('org/model', { ...contents, '../../evil.sh': 'x' });
  const files = await hubFiles('org/model', { fetch: hub.fetch, hubUrl: hub.url });
  expect(await files.list()).toEqual(Object.keys(contents));
});

test.each([
  [404, /The hub has no model org\/other at revision main/],
  [401, /private, gated, or does not exist.*access token/],
  [403, /access token/],
  [500, /could not be fetched from the hub/],
])('status %i is explained', async (status, message) => {
  const attempt = hubFiles('org/other', {
    hubUrl: 'http://hub.test',
    fetch: async () => new Response('', { status }),
  });
  await expect(attempt).rejects.toBeInstanceOf(InputError);
  await expect(attempt).rejects.toThrow(message);
});

test('no network is explained', async () => {
  const down: typeof fetch = async () => {
    throw new TypeError('fetch failed');
  };
  await expect(hubFiles('org/model', { fetch: down })).rejects.toThrow(
    /org\/model could not be fetched from the hub \(fetch failed\)\. Check the network, or download the model/,
  );
});

test('hub ids are told from paths', () => {
  for (const id of ['Qwen/Qwen2.5-0.5B-Instruct', 'meta-llama/Llama-3.1-8B']) expect(isHubId(id)).toBe(true);
  for (const path of ['model', './a/b', '/a/b', 'a/b/c', '../a', 'a/', 'C:\\a\\b'])
    expect(isHubId(path)).toBe(false);
});
