/** @file A `FileSource` over a Map: files dropped on a page, adapters held in memory, tests. */
import { InputError } from '../../core/errors.ts';
import type { FileSource } from './model_source.ts';

/** The files of a Map. `name` is what messages call the set. */
export function mapFiles(name: string, files: ReadonlyMap<string, Uint8Array>): FileSource {
  const get = (file: string): Uint8Array => {
    const bytes = files.get(file);
    if (!bytes) throw missingFile(name, file, [...files.keys()]);
    return bytes;
  };
  return {
    name,
    list: async () => [...files.keys()],
    size: async (file) => get(file).byteLength,
    read: async (file, start = 0, end) => get(file).subarray(start, end),
  };
}

/** The error for a file that is not there, naming what is. */
export function missingFile(
  source: string,
  file: string,
  present: readonly string[],
  cause?: unknown,
): InputError {
  const shown = present.slice(0, 12).join(', ') + (present.length > 12 ? ', …' : '');
  return new InputError(
    `${source} has no file ${file}.`,
    present.length ? `It holds: ${shown}.` : 'It is empty: check the path.',
    { cause },
  );
}
