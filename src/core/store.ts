/** @file `Store`: where a run lives. A folder on Node, IndexedDB + OPFS in a page, a Map in tests. */

export interface Store {
  /** Bytes of a file, or null when there is none. */
  read(path: string): Promise<Uint8Array | null>;
  /** Write a whole file atomically: after a crash it is the old one or the new one, never a mixture. */
  write(path: string, bytes: Uint8Array | string): Promise<void>;
  /** Append to a log; a torn last line after a crash is the reader's to drop. */
  append(path: string, data: string | Uint8Array): Promise<void>;
  /** Paths of the files under a folder, sorted. */
  list(prefix: string): Promise<string[]>;
  /** Remove a file or everything under a folder; nothing happens when it is not there. */
  remove(path: string): Promise<void>;
}
