/** @file A folder inside a `FileSource`, as a `FileSource` of its own (an adapter inside a model folder). */
import type { FileSource } from './model_source.ts';

/** The files under `folder/`. */
export function subFolder(files: FileSource, folder: string): FileSource {
  const prefix = `${folder}/`;
  return {
    name: `${files.name}/${folder}`,
    list: async () =>
      (await files.list()).filter((f) => f.startsWith(prefix)).map((f) => f.slice(prefix.length)),
    size: (file) => files.size(prefix + file),
    read: (file, start, end) => files.read(prefix + file, start, end),
  };
}
