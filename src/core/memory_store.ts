/** @file A `Store` in a Map: for tests, for the demo and for runs that nobody keeps. */
import type { Store } from './store.ts';

const encoder = new TextEncoder();
const toBytes = (data: Uint8Array | string): Uint8Array =>
  typeof data === 'string' ? encoder.encode(data) : data.slice();

/** Files by path. `files` is open to tests that want to damage one. */
export class MemoryStore implements Store {
  constructor(readonly files = new Map<string, Uint8Array>()) {}

  async read(path: string): Promise<Uint8Array | null> {
    return this.files.get(path)?.slice() ?? null;
  }

  async write(path: string, bytes: Uint8Array | string): Promise<void> {
    this.files.set(path, toBytes(bytes));
  }

  async append(path: string, data: string | Uint8Array): Promise<void> {
    const old = this.files.get(path) ?? new Uint8Array(0);
    const more = toBytes(data);
    const all = new Uint8Array(old.length + more.length);
    all.set(old);
    all.set(more, old.length);
    this.files.set(path, all);
  }

  async list(prefix: string): Promise<string[]> {
    const folder = folderOf(prefix);
    return [...this.files.keys()].filter((path) => path.startsWith(folder)).sort();
  }

  async remove(path: string): Promise<void> {
    this.files.delete(path);
    const folder = folderOf(path);
    if (folder === '') return this.files.clear();
    for (const name of [...this.files.keys()]) if (name.startsWith(folder)) this.files.delete(name);
  }
}

/** `a/b` and `a/b/` name the same folder; the empty name is the root. */
function folderOf(path: string): string {
  return path === '' || path.endsWith('/') ? path : `${path}/`;
}

/** A view of one folder of a store, as a store: a stage's run inside a larger run. */
export function folderStore(store: Store, folder: string): Store {
  const root = folderOf(folder);
  return {
    read: (path) => store.read(root + path),
    write: (path, bytes) => store.write(root + path, bytes),
    append: (path, data) => store.append(root + path, data),
    list: async (prefix) => (await store.list(root + prefix)).map((path) => path.slice(root.length)),
    remove: (path) => store.remove(root + path),
  };
}
