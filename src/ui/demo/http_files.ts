/** @file Files under an address as a `FileSource`. A static server cannot list a folder, so the names are given. */
import { InputError } from '../../core/errors.ts';
import type { FileSource } from '../../gpu/formats/model_source.ts';

/** Files of `names` that lie under `base`. Each is fetched once, whole, when it is first needed. */
export function httpFiles(base: string, names: readonly string[]): FileSource {
  const loaded = new Map<string, Promise<Uint8Array>>();
  const whole = (file: string): Promise<Uint8Array> => {
    let bytes = loaded.get(file);
    if (!bytes) loaded.set(file, (bytes = fetchBytes(`${base}/${file}`)));
    return bytes;
  };
  return {
    name: base,
    list: () => Promise.resolve([...names]),
    size: async (file) => (await whole(file)).byteLength,
    read: async (file, start = 0, end) => (await whole(file)).subarray(start, end),
  };
}

/** Bytes behind an address. Throws `InputError` naming it. */
export async function fetchBytes(url: string): Promise<Uint8Array> {
  let response: Response;
  try {
    response = await fetch(url);
  } catch (cause) {
    throw new InputError(`${url} could not be fetched.`, 'Check that the server is running.', { cause });
  }
  if (!response.ok) throw new InputError(`${url} answered ${response.status}.`, 'Check the address.');
  return new Uint8Array(await response.arrayBuffer());
}
