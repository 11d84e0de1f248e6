import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FolderStore } from './folder_store.ts';

const text = (bytes: Uint8Array | null): string | null => (bytes ? new TextDecoder().decode(bytes) : null);

describe('FolderStore', () => {
  let root: string;
  let store: FolderStore;
  beforeEach(async () => {
    root = await mkdtemp(join(tmpdir(), 'tart-store-'));
    store = new FolderStore(join(root, 'run'));
  });
  afterEach(() => rm(root, { recursive: true, force: true }));

  it('reads what it wrote, and null for what is not there', async () => {
    expect(await store.read('a/b.txt')).toBeNull();
    await store.write('a/b.txt', 'one');
    await store.write('a/b.txt', 'two');
    expect(text(await store.read('a/b.txt'))).toBe('two');
  });

  it('appends, lists sorted files of a folder, and removes', async () => {
    await store.append('log.jsonl', '1\n');
    await store.append('log.jsonl', '2\n');
    await store.write('checkpoints/2/x', new Uint8Array([1]));
    await store.write('checkpoints/1/x', new Uint8Array([1]));
    expect(text(await store.read('log.jsonl'))).toBe('1\n2\n');
    expect(await store.list('checkpoints')).toEqual(['checkpoints/1/x', 'checkpoints/2/x']);
    await store.remove('checkpoints/1');
    expect(await store.list('')).toEqual(['checkpoints/2/x', 'log.jsonl']);
    expect(await store.list('nothing')).toEqual([]);
  });

  it('never lists or leaves a half-written file', async () => {
    await store.write('x', 'whole');
    await writeFile(join(root, 'run', 'x.1-9.tmp'), 'torn by a crash');
    expect(await store.list('')).toEqual(['x']);
    expect(text(await store.read('x'))).toBe('whole');
    await Promise.all(Array.from({ length: 20 }, (_, i) => store.write('y', `version ${i}`)));
    expect(text(await store.read('y'))).toMatch(/^version \d+$/);
    expect((await readdir(join(root, 'run'))).filter((f) => f.startsWith('y.'))).toEqual([]);
  });

  it('refuses to leave its folder', async () => {
    await expect(store.write('../escaped', 'x')).rejects.toThrow(/outside/);
    await expect(store.read('a/../../escaped')).rejects.toThrow(/outside/);
  });
});
