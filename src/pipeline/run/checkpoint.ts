/**
 * @file Checkpoints in a `Store`. Each is a folder of files with a manifest (sizes and SHA-256 of every file, and of
 * itself) that is written last: a checkpoint that was torn by a crash or damaged later is detected and the one before it
 * is used.
 */
import * as v from 'valibot';
import { CheckpointError } from '../../core/errors.ts';
import type { Store } from '../../core/store.ts';

export type CheckpointFiles = Map<string, Uint8Array>;

export interface Checkpoint {
  step: number;
  /** Folder in the store. */
  path: string;
  files: CheckpointFiles;
}

/** The newest good checkpoint, and the newer ones that had to be passed over. */
export interface FoundCheckpoint {
  checkpoint: Checkpoint | null;
  damaged: { path: string; reason: string }[];
}

const manifestName = 'manifest.json';
const bodySchema = v.object({
  format: v.literal(1),
  step: v.pipe(v.number(), v.integer(), v.minValue(0)),
  keep: v.boolean(),
  files: v.array(v.object({ name: v.string(), bytes: v.number(), sha256: v.string() })),
});
const manifestSchema = v.object({ sha256: v.string(), body: v.string() });
type Manifest = v.InferOutput<typeof bodySchema>;

/** Checkpoints of one run, under one folder. */
export class CheckpointStore {
  private readonly folder: string;
  private readonly keepLast: number;

  constructor(
    private readonly store: Store,
    options: { folder?: string; keepLast?: number } = {},
  ) {
    this.folder = options.folder ?? 'checkpoints';
    this.keepLast = Math.max(1, options.keepLast ?? 2);
  }

  /** Folder of the checkpoint of a step. */
  pathOf(step: number): string {
    return `${this.folder}/step-${String(step).padStart(8, '0')}`;
  }

  /** Write a checkpoint, then drop what is older than the last K (those saved with `keep` stay). */
  async save(step: number, files: CheckpointFiles, options: { keep?: boolean } = {}): Promise<string> {
    const path = this.pathOf(step);
    await this.store.remove(path);
    const body: Manifest = { format: 1, step, keep: options.keep ?? false, files: [] };
    for (const [name, bytes] of files) {
      if (name === manifestName || name.startsWith('/') || name.includes('..'))
        throw new CheckpointError(`${name} cannot be a file of a checkpoint.`);
      await this.store.write(`${path}/${name}`, bytes);
      body.files.push({ name, bytes: bytes.length, sha256: await sha256(bytes) });
    }
    const text = JSON.stringify(body);
    const manifest = { sha256: await sha256(new TextEncoder().encode(text)), body: text };
    await this.store.write(`${path}/${manifestName}`, JSON.stringify(manifest));
    await this.prune(step);
    return path;
  }

  /** Newest checkpoint whose every byte is as it was written. */
  async latest(): Promise<FoundCheckpoint> {
    const damaged: FoundCheckpoint['damaged'] = [];
    for (const path of (await this.folders()).reverse()) {
      try {
        return { checkpoint: await this.load(path), damaged };
      } catch (error) {
        if (!(error instanceof CheckpointError)) throw error;
        damaged.push({ path, reason: error.message });
      }
    }
    return { checkpoint: null, damaged };
  }

  /** Load and verify one checkpoint folder. Throws `CheckpointError` naming the file that is missing or damaged. */
  async load(path: string): Promise<Checkpoint> {
    const manifest = await this.manifest(path);
    const files: CheckpointFiles = new Map();
    for (const { name, bytes: size, sha256: wanted } of manifest.files) {
      const bytes = await this.store.read(`${path}/${name}`);
      if (!bytes) throw new CheckpointError(`${path}/${name} is missing.`);
      if (bytes.length !== size)
        throw new CheckpointError(`${path}/${name} has ${bytes.length} bytes instead of ${size}.`);
      if ((await sha256(bytes)) !== wanted)
        throw new CheckpointError(`${path}/${name} is damaged (its SHA-256 differs).`);
      files.set(name, bytes);
    }
    return { step: manifest.step, path, files };
  }

  /** Folders that hold anything, oldest first. */
  private async folders(): Promise<string[]> {
    const depth = this.folder.split('/').length;
    const found = new Set<string>();
    for (const path of await this.store.list(this.folder)) {
      const parts = path.split('/');
      if (parts.length > depth + 1 && parts[depth]!.startsWith('step-'))
        found.add(parts.slice(0, depth + 1).join('/'));
    }
    return [...found].sort();
  }

  private async manifest(path: string): Promise<Manifest> {
    const torn = (why: string, cause?: unknown): CheckpointError =>
      new CheckpointError(`${path} is not a whole checkpoint: ${why}.`, undefined, { cause });
    const bytes = await this.store.read(`${path}/${manifestName}`);
    if (!bytes) throw torn('it has no manifest');
    let value: unknown;
    try {
      value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
    } catch (cause) {
      throw torn('its manifest cannot be read', cause);
    }
    const outer = v.safeParse(manifestSchema, value);
    if (!outer.success) throw torn('its manifest has another form');
    if ((await sha256(new TextEncoder().encode(outer.output.body))) !== outer.output.sha256)
      throw torn('its manifest is damaged');
    const body = v.safeParse(bodySchema, JSON.parse(outer.output.body));
    if (!body.success) throw torn('its manifest is of another format');
    return body.output;
  }

  private async prune(newest: number): Promise<void> {
    const older = (await this.folders()).filter((path) => path < this.pathOf(newest));
    const free: string[] = [];
    for (const path of older) {
      const manifest = await this.manifest(path).catch((error: unknown) => {
        if (error instanceof CheckpointError) return null;
        throw error;
      });
      if (manifest === null) await this.store.remove(path);
      else if (!manifest.keep) free.push(path);
    }
    const surplus = free.slice(0, Math.max(0, free.length - (this.keepLast - 1)));
    for (const path of surplus) {
      await this.store.remove(`${path}/${manifestName}`);
      await this.store.remove(path);
    }
  }
}

/** Hex SHA-256. */
export async function sha256(bytes: Uint8Array): Promise<string> {
  const digest = await crypto.subtle.digest('SHA-256', bytes as Uint8Array<ArrayBuffer>);
  return [...new Uint8Array(digest)].map((b) => b.toString(16).padStart(2, '0')).join('');
}
