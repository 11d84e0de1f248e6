/** @file Where weights come from: a set of named files, and a model read from them tensor by tensor. */
import type { ModelConfig } from '../model/config.ts';

/** A flat set of files: a folder on Node, dropped files or OPFS in a page, a hub repository over HTTP, a Map in tests. */
export interface FileSource {
  /** What to call it in messages: a path, a hub id. */
  readonly name: string;
  list(): Promise<string[]>;
  /** Size in bytes; throws `InputError` when the file is not there. */
  size(file: string): Promise<number>;
  /** Bytes `[start, end)` of a file; the whole file by default. */
  read(file: string, start?: number, end?: number): Promise<Uint8Array>;
}

/** A model's configuration and weights. Tensors are read one at a time, converted to f32. */
export interface ModelSource {
  readonly name: string;
  readonly config: ModelConfig;
  has(tensor: string): boolean;
  shape(tensor: string): readonly number[];
  /** Rows `[start, end)` of a tensor's first axis as f32; all by default. Throws `InputError` on a truncated file. */
  read(tensor: string, start?: number, end?: number): Promise<Float32Array>;
}
