/** @file `Store` over a folder: atomic writes (temporary file, fsync, rename), appends, and disk errors in plain words. */
import { mkdir, open, readdir, readFile, rename, rm } from 'node:fs/promises';
import { dirname, join, relative, resolve, sep } from 'node:path';
import { CheckpointError, InputError } from '../src/core/errors.ts';
import type { Store } from '../src/core/store.ts';

const isMissing = (error: unknown): boolean =>
  ['ENOENT', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? '');

/** A disk error as a sentence that names the file and the remedy. */
function explain(error: unknown, path: string): Error {
  const code = (error as NodeJS.ErrnoException).code;
  if (code === 'ENOSPC' || code === 'EDQUOT')
    return new CheckpointError(
      `The disk is full: ${path} could not be written.`,
      'Free some space and continue with --resume; everything written before is intact.',
      { cause: error },
    );
  if (code === 'EACCES' || code === 'EROFS' || code === 'EPERM')
    return new InputError(`No permission to write ${path}.`, 'Choose another --output_dir.', {
      cause: error,
    });
  return error as Error;
}

/** A run (or any set of files) in a folder. Paths are relative, with `/`. */
export class FolderStore implements Store {
  readonly root: string;
  private temporary = 0;

  constructor(root: string) {
    this.root = resolve(root);
  }

  /** Absolute path of a file; refuses to leave the folder. */
  path(file: string): string {
    const full = resolve(this.root, file);
    if (full !== this.root && !full.startsWith(this.root + sep))
      throw new InputError(`${file} lies outside ${this.root}.`, 'Use a path inside the run folder.');
    return full;
  }

  async read(file: string): Promise<Uint8Array | null> {
    try {
      const bytes = await readFile(this.path(file));
      return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    } catch (error) {
      if (isMissing(error)) return null;
      throw error;
    }
  }

  async write(file: string, bytes: Uint8Array | string): Promise<void> {
    const path = this.path(file);
    const temporary = `${path}.${process.pid}-${this.temporary++}.tmp`;
    try {
      await mkdir(dirname(path), { recursive: true });
      const handle = await open(temporary, 'w');
      try {
        await handle.writeFile(bytes);
        await handle.sync();
      } finally {
        await handle.close();
      }
      await rename(temporary, path);
    } catch (error) {
      await rm(temporary, { force: true });
      throw explain(error, path);
    }
  }

  async append(file: string, data: string | Uint8Array): Promise<void> {
    const path = this.path(file);
    try {
      await mkdir(dirname(path), { recursive: true });
      const handle = await open(path, 'a');
      try {
        await handle.writeFile(data);
      } finally {
        await handle.close();
      }
    } catch (error) {
      throw explain(error, path);
    }
  }

  async list(prefix: string): Promise<string[]> {
    try {
      const entries = await readdir(this.path(prefix), { recursive: true, withFileTypes: true });
      return entries
        .filter((e) => e.isFile() && !e.name.endsWith('.tmp'))
        .map((e) => relative(this.root, join(e.parentPath, e.name)).split(sep).join('/'))
        .sort();
    } catch (error) {
      if (isMissing(error)) return [];
      throw error;
    }
  }

  async remove(file: string): Promise<void> {
    await rm(this.path(file), { recursive: true, force: true });
  }
}
