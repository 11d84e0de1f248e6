/** @file Folders on Node as file sources and sinks. */
import { mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises';
import { dirname, join, relative, sep } from 'node:path';
import { InputError } from '../src/core/errors.ts';
import type { FileSink } from '../src/gpu/formats/export_model.ts';
import { missingFile } from '../src/gpu/formats/memory_files.ts';
import type { FileSource } from '../src/gpu/formats/model_source.ts';

/** The files of a folder, subfolders included (`a/b.json`). Reads are random-access: a large file is never read whole. */
export function folderFiles(path: string): FileSource {
  const list = async (): Promise<string[]> => {
    try {
      const entries = await readdir(path, { recursive: true, withFileTypes: true });
      return entries
        .filter((entry) => !entry.isDirectory())
        .map((entry) => relative(path, join(entry.parentPath, entry.name)).split(sep).join('/'))
        .sort();
    } catch (cause) {
      throw new InputError(`There is no folder ${path}.`, 'Check the path.', { cause });
    }
  };
  const fail = async (file: string, cause: unknown) => missingFile(path, file, await list(), cause);
  return {
    name: path,
    list,
    size: async (file) => {
      try {
        return (await stat(join(path, file))).size;
      } catch (cause) {
        throw await fail(file, cause);
      }
    },
    read: async (file, start = 0, end) => {
      const handle = await open(join(path, file)).catch(async (cause: unknown) => {
        throw await fail(file, cause);
      });
      try {
        const bytes = new Uint8Array(Math.max(0, (end ?? (await handle.stat()).size) - start));
        let at = 0;
        while (at < bytes.byteLength) {
          // One read call moves at most 2 GiB.
          const { bytesRead } = await handle.read(
            bytes,
            at,
            Math.min(bytes.byteLength - at, 2 ** 30),
            start + at,
          );
          if (bytesRead === 0) break;
          at += bytesRead;
        }
        return bytes.subarray(0, at);
      } finally {
        await handle.close();
      }
    },
  };
}

/** A folder to export into; it is made when needed. A file appears under its name only when it is complete. */
export function folderSink(path: string): FileSink {
  return {
    write: async (file, chunks) => {
      const target = join(path, file);
      const partial = `${target}.incomplete`;
      await mkdir(dirname(target), { recursive: true });
      const handle = await open(partial, 'w');
      try {
        for await (const chunk of chunks) await handle.writeFile(chunk);
        await handle.close();
        await rename(partial, target);
      } catch (error) {
        await handle.close();
        await rm(partial, { force: true });
        throw error;
      }
    },
  };
}
