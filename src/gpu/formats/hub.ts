/**
 * @file A model repository on the Hugging Face hub as a `FileSource`: pinned to one commit when opened, read by byte
 * ranges, so that only what is needed travels. Works in a page and on Node.
 */
import { HubApiError, downloadFile, listFiles, modelInfo } from '@huggingface/hub';
import { InputError } from '../../core/errors.ts';
import { missingFile } from './memory_files.ts';
import type { FileSource } from './model_source.ts';

export interface HubOptions {
  /** Branch, tag or commit; default `main`. */
  revision?: string;
  /** For gated or private repositories. */
  accessToken?: string;
  /** Another hub, e.g. a mirror. */
  hubUrl?: string;
  /** In place of the global `fetch`. */
  fetch?: typeof fetch;
}

/** Files of a repository at one commit. */
export interface HubFiles extends FileSource {
  /** The commit that the revision stood for when it was opened. */
  readonly commit: string;
}

/** `organisation/name` of a hub repository, as opposed to a path. */
export const isHubId = (name: string): boolean => /^[A-Za-z0-9][\w.-]*\/[A-Za-z0-9][\w.-]*$/.test(name);

/**
 * Open a model repository. Throws `InputError` when the hub cannot be reached, has no such repository, or asks for a
 * token.
 */
export async function hubFiles(id: string, options: HubOptions = {}): Promise<HubFiles> {
  const { revision = 'main', ...access } = options;
  const ask = async <T>(action: () => Promise<T>): Promise<T> => {
    try {
      return await action();
    } catch (cause) {
      throw hubError(id, revision, cause);
    }
  };
  const { sha: commit } = await ask(() =>
    modelInfo({ name: id, revision, additionalFields: ['sha'], ...access }),
  );
  const at = { repo: id, revision: commit, ...access };
  const sizes = new Map<string, number>();
  await ask(async () => {
    for await (const entry of listFiles({ ...at, recursive: true }))
      // A name that climbs out of its folder has no business in a repository.
      if (entry.type === 'file' && !entry.path.split('/').includes('..')) sizes.set(entry.path, entry.size);
  });
  const size = (file: string): number => {
    const bytes = sizes.get(file);
    if (bytes === undefined) throw missingFile(id, file, [...sizes.keys()]);
    return bytes;
  };
  const blobs = new Map<string, Promise<Blob>>();
  const blobOf = (file: string): Promise<Blob> => {
    let blob = blobs.get(file);
    if (!blob) {
      blob = ask(async () => {
        const found = await downloadFile({ ...at, path: file });
        if (!found) throw missingFile(id, file, [...sizes.keys()]);
        return found;
      });
      // A failed attempt is not kept: the next read tries again.
      blob.catch(() => blobs.delete(file));
      blobs.set(file, blob);
    }
    return blob;
  };
  return {
    name: id,
    commit,
    list: async () => [...sizes.keys()],
    size: async (file) => size(file),
    read: async (file, start = 0, end = size(file)) => {
      size(file);
      const blob = await blobOf(file);
      return ask(async () => new Uint8Array(await blob.slice(start, end).arrayBuffer()));
    },
  };
}

function hubError(id: string, revision: string, cause: unknown): InputError {
  if (cause instanceof InputError) return cause;
  if (cause instanceof HubApiError) {
    if (cause.statusCode === 401 || cause.statusCode === 403)
      return new InputError(
        `The hub does not give ${id} away (status ${cause.statusCode}): it is private, gated, or does not exist.`,
        'Check the name; accept its licence on the hub and give an access token; or download it and name the folder.',
        { cause },
      );
    if (cause.statusCode === 404)
      return new InputError(
        `The hub has no model ${id} at revision ${revision}.`,
        'Check the name and the revision.',
        {
          cause,
        },
      );
  }
  const why = cause instanceof Error ? cause.message : String(cause);
  return new InputError(
    `${id} could not be fetched from the hub (${why}).`,
    'Check the network, or download the model and name its folder.',
    { cause },
  );
}
