/**
 * @file A model's name on the command line → its files: a folder, or a hub id with a local cache. Cached files lie in
 * `<cache>/<organisation>--<name>/<commit>/`; a download goes on where it stopped; without network the commit that the
 * revision stood for last time is used.
 */
import { mkdir, open, readFile, rename, stat, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { InputError } from '../src/core/errors.ts';
import type { HubFiles, HubOptions } from '../src/gpu/formats/hub.ts';
import { hubFiles, isHubId } from '../src/gpu/formats/hub.ts';
import { missingFile } from '../src/gpu/formats/memory_files.ts';
import type { FileSource } from '../src/gpu/formats/model_source.ts';
import { folderFiles } from './files.ts';

/** Bytes fetched in one request while a file is downloaded. */
const chunkBytes = 64 * 2 ** 20;

/** Where models from the hub are kept. */
export const defaultCache = (): string =>
  join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'tart-studio', 'models');

export interface ResolveOptions extends HubOptions {
  cacheDir?: string;
  /** Called as a file comes down. */
  onProgress?: (file: string, bytes: number, total: number) => void;
}

/**
 * Files of a model named by a folder or a hub id. Throws `InputError` when it is neither, or when the hub fails and
 * nothing is cached.
 */
export async function resolveModel(nameOrPath: string, options: ResolveOptions = {}): Promise<FileSource> {
  const isFolder = await stat(nameOrPath).then(
    (s) => s.isDirectory(),
    () => false,
  );
  if (isFolder) return folderFiles(nameOrPath);
  if (!isHubId(nameOrPath))
    throw new InputError(
      `There is no model ${nameOrPath}: no folder of that name, and not a hub id of the form organisation/name.`,
      'Check the path.',
    );
  const { cacheDir = defaultCache(), onProgress, ...hub } = options;
  const root = join(cacheDir, nameOrPath.replace('/', '--'));
  const reference = join(root, `revision-${encodeURIComponent(hub.revision ?? 'main')}.json`);
  let remote: HubFiles | null = null;
  let listing: Listing;
  try {
    remote = await hubFiles(nameOrPath, { accessToken: process.env.HF_TOKEN, ...hub });
    listing = await remember(remote, reference);
  } catch (cause) {
    const known = await readFile(reference, 'utf8').catch(() => null);
    if (known === null) throw cause;
    listing = JSON.parse(known) as Listing;
  }
  return cached(nameOrPath, join(root, listing.commit), listing, remote, onProgress);
}

/** What a revision stood for. */
interface Listing {
  commit: string;
  files: Record<string, number>;
}

async function remember(remote: HubFiles, reference: string): Promise<Listing> {
  const files: Record<string, number> = {};
  for (const file of await remote.list()) files[file] = await remote.size(file);
  const listing = { commit: remote.commit, files };
  await mkdir(dirname(reference), { recursive: true });
  await writeFile(reference, JSON.stringify(listing));
  return listing;
}

function cached(
  name: string,
  folder: string,
  listing: Listing,
  remote: HubFiles | null,
  onProgress: ResolveOptions['onProgress'],
): FileSource {
  const local = folderFiles(folder);
  const downloads = new Map<string, Promise<void>>();
  const size = (file: string): number => {
    const bytes = listing.files[file];
    if (bytes === undefined) throw missingFile(name, file, Object.keys(listing.files));
    return bytes;
  };
  const fetchFile = async (file: string): Promise<void> => {
    const path = join(folder, file);
    const total = size(file);
    if ((await fileSize(path)) === total) return;
    if (!remote)
      throw new InputError(
        `${name}/${file} is not in the cache (${folder}) and the hub cannot be reached.`,
        'Connect once, or download the model and name its folder.',
      );
    const partial = `${path}.incomplete`;
    await mkdir(dirname(path), { recursive: true });
    const handle = await open(partial, 'a');
    try {
      if ((await handle.stat()).size > total) await handle.truncate(0);
      for (let at = (await handle.stat()).size; at < total;) {
        const bytes = await remote.read(file, at, Math.min(at + chunkBytes, total));
        if (bytes.byteLength === 0)
          throw new InputError(`${name}/${file} ended early at byte ${at}.`, 'Try again.');
        await handle.writeFile(bytes);
        at += bytes.byteLength;
        onProgress?.(file, at, total);
      }
    } finally {
      await handle.close();
    }
    await rename(partial, path);
  };
  const ensure = (file: string): Promise<void> => {
    let download = downloads.get(file);
    if (!download) {
      download = fetchFile(file);
      download.catch(() => downloads.delete(file));
      downloads.set(file, download);
    }
    return download;
  };
  return {
    name,
    list: async () => Object.keys(listing.files),
    size: async (file) => size(file),
    read: async (file, start, end) => {
      await ensure(file);
      return local.read(file, start, end);
    },
  };
}

const fileSize = (path: string): Promise<number> =>
  stat(path).then(
    (s) => s.size,
    () => -1,
  );
