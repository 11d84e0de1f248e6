/**
 * @file safetensors files: 8 bytes of header length, a JSON header, raw little-endian tensors. Headers are checked as
 * strictly as the reference implementation does (no gap, no overlap, nothing missing at the end); tensors, or rows of
 * them, are read lazily and converted to f32.
 */
import * as v from 'valibot';
import { InputError } from '../../core/errors.ts';
import { bf16ToF32, f16ToF32, f32ToBf16, f32ToF16 } from './half.ts';
import type { FileSource } from './model_source.ts';

/** Bytes per element of every dtype the format knows (sub-byte types have none of their own and are refused). */
const elementBytes = {
  BOOL: 1,
  U8: 1,
  I8: 1,
  F8_E5M2: 1,
  F8_E4M3: 1,
  F8_E8M0: 1,
  I16: 2,
  U16: 2,
  F16: 2,
  BF16: 2,
  I32: 4,
  U32: 4,
  F32: 4,
  I64: 8,
  U64: 8,
  F64: 8,
} as const;
export type SafetensorsDType = keyof typeof elementBytes;

/** The reference implementation's limit. */
const maxHeaderBytes = 100_000_000;

/** Where one tensor lies. */
export interface TensorEntry {
  dtype: SafetensorsDType;
  shape: readonly number[];
  /** Absolute byte range in the file, end exclusive. */
  start: number;
  end: number;
}

const index = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const entrySchema = v.object({
  dtype: v.string(),
  shape: v.array(index),
  data_offsets: v.tuple([index, index]),
});

/** An open file: its table of contents and lazy reads. */
export class SafetensorsFile {
  constructor(
    private readonly files: FileSource,
    readonly file: string,
    readonly tensors: ReadonlyMap<string, TensorEntry>,
    readonly metadata: Readonly<Record<string, string>>,
  ) {}

  /** Table entry of a tensor. Throws `InputError` when the file has none of that name. */
  entry(tensor: string): TensorEntry {
    const entry = this.tensors.get(tensor);
    if (!entry)
      throw new InputError(
        `${this.files.name}/${this.file} has no tensor ${tensor}.`,
        'The file belongs to another model, or is incomplete: fetch it again.',
      );
    return entry;
  }

  /** Rows `[start, end)` of the first axis as f32 (a scalar is one row); all by default. */
  async read(tensor: string, start?: number, end?: number): Promise<Float32Array> {
    const { dtype, bytes } = await this.readBytes(tensor, start, end);
    return toF32(dtype, bytes, `${this.files.name}/${this.file}: tensor ${tensor}`);
  }

  /** The stored little-endian bytes of the same rows, in a buffer aligned for any element type. */
  async readBytes(
    tensor: string,
    start = 0,
    end?: number,
  ): Promise<{ dtype: SafetensorsDType; bytes: Uint8Array }> {
    const entry = this.entry(tensor);
    const rows = entry.shape[0] ?? 1;
    const last = end ?? rows;
    if (start < 0 || last > rows || start > last)
      throw new RangeError(`Rows [${start}, ${last}) of ${tensor}, which has ${rows}.`);
    const rowBytes = rows === 0 ? 0 : (entry.end - entry.start) / rows;
    const from = entry.start + start * rowBytes;
    const length = (last - start) * rowBytes;
    const bytes = length === 0 ? new Uint8Array(0) : await this.files.read(this.file, from, from + length);
    if (bytes.byteLength !== length)
      throw new InputError(
        `${this.files.name}/${this.file} ends inside tensor ${tensor}.`,
        'The file is truncated or changed while it was read: fetch it again.',
      );
    return { dtype: entry.dtype, bytes: bytes.byteOffset % 8 === 0 ? bytes : bytes.slice() };
  }
}

/** Read and check a file's header. Throws `InputError` naming file, tensor and remedy. */
export async function openSafetensors(files: FileSource, file: string): Promise<SafetensorsFile> {
  const where = `${files.name}/${file}`;
  const again = 'Fetch the file again, or export it again.';
  const size = await files.size(file);
  if (size < 8) throw new InputError(`${where} has ${size} bytes: too short for a safetensors file.`, again);
  const lengthBytes = await files.read(file, 0, 8);
  if (lengthBytes.byteLength < 8) throw new InputError(`${where} cannot be read to its eighth byte.`, again);
  const headerBytes = Number(
    new DataView(lengthBytes.buffer, lengthBytes.byteOffset, 8).getBigUint64(0, true),
  );
  if (headerBytes > maxHeaderBytes || headerBytes > size - 8)
    throw new InputError(
      `${where} claims a header of ${headerBytes} bytes in a file of ${size}.`,
      `It is truncated, or not a safetensors file. ${again}`,
    );
  const header = parseHeader(where, await files.read(file, 8, 8 + headerBytes));
  return new SafetensorsFile(
    files,
    file,
    checkTable(where, header.entries, 8 + headerBytes, size),
    header.metadata,
  );
}

function parseHeader(
  where: string,
  bytes: Uint8Array,
): { entries: [string, unknown][]; metadata: Record<string, string> } {
  let header: unknown;
  try {
    header = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new InputError(
      `${where}: the header is not JSON (${why}).`,
      'Is it a safetensors file? Fetch it again.',
      {
        cause,
      },
    );
  }
  if (typeof header !== 'object' || header === null || Array.isArray(header))
    throw new InputError(`${where}: the header is not a JSON object.`, 'Fetch the file again.');
  const all = Object.entries(header);
  const metadata = v.safeParse(
    v.record(v.string(), v.string()),
    all.find(([k]) => k === '__metadata__')?.[1] ?? {},
  );
  if (!metadata.success)
    throw new InputError(`${where}: __metadata__ must map text to text.`, 'Export the file again.');
  return { entries: all.filter(([k]) => k !== '__metadata__'), metadata: metadata.output };
}

function checkTable(
  where: string,
  entries: readonly [string, unknown][],
  dataStart: number,
  size: number,
): Map<string, TensorEntry> {
  const again = 'Fetch the file again, or export it again.';
  const table: { name: string; entry: TensorEntry }[] = [];
  for (const [name, value] of entries) {
    const fail = (what: string, remedy = again) =>
      new InputError(`${where}: tensor ${name} ${what}.`, remedy);
    const parsed = v.safeParse(entrySchema, value);
    if (!parsed.success)
      throw fail(
        `has a bad table entry (${v.getDotPath(parsed.issues[0]) ?? 'entry'}: ${parsed.issues[0].message})`,
      );
    const { dtype, shape, data_offsets: offsets } = parsed.output;
    if (!isDType(dtype))
      throw fail(`has the unknown type ${dtype}`, 'Convert the checkpoint to F32, F16 or BF16.');
    const elements = shape.reduce((a, b) => a * b, 1);
    const bytes = elements * elementBytes[dtype];
    if (!Number.isSafeInteger(bytes) || offsets[1] - offsets[0] !== bytes)
      throw fail(
        `of shape [${shape.join(', ')}] ${dtype} cannot lie at bytes [${offsets[0]}, ${offsets[1]})`,
      );
    table.push({ name, entry: { dtype, shape, start: dataStart + offsets[0], end: dataStart + offsets[1] } });
  }
  table.sort((a, b) => a.entry.start - b.entry.start || a.entry.end - b.entry.end);
  let at = dataStart;
  for (const { name, entry } of table) {
    if (entry.start !== at)
      throw new InputError(
        `${where}: tensor ${name} ${entry.start < at ? 'overlaps the tensor before it' : 'leaves a gap before it'}.`,
        again,
      );
    at = entry.end;
    if (at > size)
      throw new InputError(
        `${where} ends inside tensor ${name}: it has ${size} bytes, not ${at} or more.`,
        again,
      );
  }
  if (at !== size) throw new InputError(`${where} has ${size - at} bytes after its last tensor.`, again);
  return new Map(table.map(({ name, entry }) => [name, entry]));
}

const isDType = (name: string): name is SafetensorsDType => Object.hasOwn(elementBytes, name);

/** Little-endian bytes of a dtype to f32 (integers must be exact in f32 to survive). */
function toF32(dtype: SafetensorsDType, bytes: Uint8Array, where: string): Float32Array {
  const { buffer, byteOffset } = bytes;
  const n = bytes.byteLength / elementBytes[dtype];
  switch (dtype) {
    case 'F32':
      return new Float32Array(buffer, byteOffset, n);
    case 'F16':
      return f16ToF32(new Uint16Array(buffer, byteOffset, n));
    case 'BF16':
      return bf16ToF32(new Uint16Array(buffer, byteOffset, n));
    case 'F64':
      return Float32Array.from(new Float64Array(buffer, byteOffset, n));
    case 'I32':
      return Float32Array.from(new Int32Array(buffer, byteOffset, n));
    case 'U32':
      return Float32Array.from(new Uint32Array(buffer, byteOffset, n));
    case 'I64':
      return Float32Array.from(new BigInt64Array(buffer, byteOffset, n), Number);
    case 'BOOL':
    case 'U8':
      return Float32Array.from(bytes);
    default:
      throw new InputError(
        `${where} is stored as ${dtype}, which is not a float format this engine reads.`,
        'Quantised checkpoints are not supported: use the F32, F16 or BF16 original.',
      );
  }
}

/** A tensor to write. f32 data may be stored as F16 or BF16; `Uint32Array` is stored as U32, `Int32Array` as I32. */
export interface NewTensor {
  name: string;
  shape: readonly number[];
  data: Float32Array | Uint32Array | Int32Array;
  /** How f32 data is stored; default F32. */
  dtype?: 'F32' | 'F16' | 'BF16';
}

const storedDType = (t: NewTensor): SafetensorsDType =>
  t.data instanceof Uint32Array ? 'U32' : t.data instanceof Int32Array ? 'I32' : (t.dtype ?? 'F32');

/** A whole file in memory; right for adapters and training state. */
export function writeSafetensors(
  tensors: readonly NewTensor[],
  metadata: Record<string, string> = { format: 'pt' },
): Uint8Array {
  const layout = tensors.map((t) => ({ name: t.name, shape: t.shape, dtype: storedDType(t) }));
  const parts = [safetensorsHeader(layout, metadata), ...tensors.map((t) => encodeTensor(t))];
  const out = new Uint8Array(parts.reduce((n, p) => n + p.byteLength, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.byteLength;
  }
  return out;
}

/** Length prefix and header of a file whose tensors follow in this order; padded with spaces to 8 bytes. */
export function safetensorsHeader(
  layout: readonly { name: string; shape: readonly number[]; dtype: SafetensorsDType }[],
  metadata: Record<string, string> = { format: 'pt' },
): Uint8Array {
  let at = 0;
  const entries: [string, unknown][] = [['__metadata__', metadata]];
  for (const { name, shape, dtype } of layout) {
    const end = at + shape.reduce((a, b) => a * b, 1) * elementBytes[dtype];
    entries.push([name, { dtype, shape, data_offsets: [at, end] }]);
    at = end;
  }
  const json = new TextEncoder().encode(JSON.stringify(Object.fromEntries(entries)));
  const out = new Uint8Array(8 + Math.ceil(json.byteLength / 8) * 8).fill(0x20);
  new DataView(out.buffer).setBigUint64(0, BigInt(out.byteLength - 8), true);
  out.set(json, 8);
  return out;
}

/** The stored bytes of a tensor (or of some of its rows). */
export function encodeTensor(t: Pick<NewTensor, 'data' | 'dtype'>): Uint8Array {
  const { data, dtype = 'F32' } = t;
  const stored =
    data instanceof Float32Array && dtype !== 'F32'
      ? dtype === 'F16'
        ? f32ToF16(data)
        : f32ToBf16(data)
      : data;
  return new Uint8Array(stored.buffer, stored.byteOffset, stored.byteLength);
}
