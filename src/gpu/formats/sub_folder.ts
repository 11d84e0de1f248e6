/** @file A folder inside a `FileSource`, as a `FileSource` of its own (an adapter inside a model folder). */
import { missingFile } from './memory_files.ts';
import type { FileSource } from './model_source.ts';

/** The files under `folder/`. */
export function subFolder(files: FileSource, folder: string): FileSource {
  const prefix = `${folder}/`;
  const name = `${files.name}/${folder}`;
  const list = async () =>
    (await files.list()).filter((f) => f.startsWith(prefix)).map((f) => f.slice(prefix.length));
  const naming = async <T>(file: string, action: Promise<T>): Promise<T> => {
    try {
      return await action;
    } catch (cause) {
      const present = await list();
      throw present.includes(file) ? cause : missingFile(name, file, present, cause);
    }
  };
  return {
    name,
    list,
    size: (file) => naming(file, files.size(prefix + file)),
    read: (file, start, end) => naming(file, files.read(prefix + file, start, end)),
  };
}
