import fc from 'fast-check';
import { expect, test } from 'vitest';
import { InputError } from '../../core/errors.ts';
import { mapFiles } from './memory_files.ts';
import type { NewTensor } from './safetensors.ts';
import { openSafetensors, writeSafetensors } from './safetensors.ts';

const source = (bytes: Uint8Array) => mapFiles('folder', new Map([['x.safetensors', bytes]]));
const open = (bytes: Uint8Array) => openSafetensors(source(bytes), 'x.safetensors');

/** A file with a handwritten header. */
function file(header: unknown, dataBytes: number): Uint8Array {
  const json = new TextEncoder().encode(typeof header === 'string' ? header : JSON.stringify(header));
  const out = new Uint8Array(8 + json.length + dataBytes);
  new DataView(out.buffer).setBigUint64(0, BigInt(json.length), true);
  out.set(json, 8);
  return out;
}

const tensorsArb: fc.Arbitrary<NewTensor[]> = fc.uniqueArray(
  fc
    .record({
      name: fc
        .string({ minLength: 1, maxLength: 20 })
        .filter((n) => n !== '__metadata__' && n !== '__proto__'),
      shape: fc.array(fc.integer({ min: 0, max: 4 }), { maxLength: 3 }),
      seed: fc.integer(),
    })
    .map(({ name, shape, seed }) => {
      const n = shape.reduce((a, b) => a * b, 1);
      return { name, shape, data: Float32Array.from({ length: n }, (_, i) => Math.sin(seed + i)) };
    }),
  { selector: (t) => t.name, maxLength: 6 },
);

test('what is written is read back, whole and by rows', async () => {
  await fc.assert(
    fc.asyncProperty(tensorsArb, async (tensors) => {
      const opened = await open(writeSafetensors(tensors));
      expect([...opened.tensors.keys()].sort()).toEqual(tensors.map((t) => t.name).sort());
      for (const t of tensors) {
        expect(opened.entry(t.name).shape).toEqual(t.shape);
        expect([...(await opened.read(t.name))]).toEqual([...t.data]);
        const rows = t.shape[0] ?? 1;
        const width = rows ? t.data.length / rows : 0;
        const from = Math.floor(rows / 3);
        expect([...(await opened.read(t.name, from, rows))]).toEqual([...t.data.slice(from * width)]);
      }
    }),
    { numRuns: 100 },
  );
});

test('a damaged file is refused with InputError and never anything else', async () => {
  const good = writeSafetensors([
    { name: 'a', shape: [2, 3], data: new Float32Array(6) },
    { name: 'b', shape: [4], data: new Float32Array(4) },
  ]);
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(fc.nat(good.length - 1), fc.nat(255)), { minLength: 1, maxLength: 4 }),
      fc.option(fc.nat(good.length)),
      async (edits, cut) => {
        const bytes = good.slice(0, cut ?? good.length);
        for (const [at, value] of edits) if (at < bytes.length) bytes[at] = value;
        try {
          const opened = await open(bytes);
          for (const name of opened.tensors.keys()) await opened.read(name);
        } catch (error) {
          expect(error).toBeInstanceOf(InputError);
          expect((error as InputError).remedy).toBeTruthy();
        }
      },
    ),
    { numRuns: 500 },
  );
});

test('every truncation of a file is noticed', async () => {
  const good = writeSafetensors([{ name: 'a', shape: [3], data: new Float32Array(3) }]);
  for (let length = 0; length < good.length; length++)
    await expect(open(good.slice(0, length)), `${length} bytes`).rejects.toBeInstanceOf(InputError);
});

test.each([
  [
    'overlap',
    {
      a: { dtype: 'F32', shape: [2], data_offsets: [0, 8] },
      b: { dtype: 'F32', shape: [2], data_offsets: [4, 12] },
    },
    12,
    'b overlaps',
  ],
  [
    'gap',
    {
      a: { dtype: 'F32', shape: [1], data_offsets: [0, 4] },
      b: { dtype: 'F32', shape: [1], data_offsets: [8, 12] },
    },
    12,
    'gap',
  ],
  ['unknown type', { a: { dtype: 'Q4', shape: [2], data_offsets: [0, 8] } }, 8, 'a has the unknown type Q4'],
  [
    'size mismatch',
    { a: { dtype: 'F32', shape: [3], data_offsets: [0, 8] } },
    8,
    'tensor a of shape \\[3\\]',
  ],
  [
    'negative size',
    { a: { dtype: 'F32', shape: [-1, -2], data_offsets: [0, 8] } },
    8,
    'tensor a has a bad table entry',
  ],
  [
    'huge shape',
    { a: { dtype: 'F32', shape: [2 ** 40, 2 ** 40], data_offsets: [0, 8] } },
    8,
    'tensor a of shape',
  ],
  [
    'trailing bytes',
    { a: { dtype: 'F32', shape: [1], data_offsets: [0, 4] } },
    9,
    '5 bytes after its last tensor',
  ],
  ['missing data', { a: { dtype: 'F32', shape: [4], data_offsets: [0, 16] } }, 9, 'ends inside tensor a'],
  ['not an object', [1, 2], 0, 'not a JSON object'],
  ['not JSON', '{"a":', 0, 'not JSON'],
  ['bad metadata', { __metadata__: { a: 1 } }, 0, '__metadata__'],
])('%s', async (_, header, bytes, message) => {
  await expect(open(file(header, bytes))).rejects.toThrow(new RegExp(message));
});

test('an absurd header length is refused before it is read', async () => {
  const bytes = new Uint8Array(64);
  new DataView(bytes.buffer).setBigUint64(0, 2n ** 60n, true);
  await expect(open(bytes)).rejects.toThrow(
    'folder/x.safetensors claims a header of 1152921504606847000 bytes',
  );
});

test('16-bit, 64-bit and integer types become f32; others are refused when read', async () => {
  const data = new Uint8Array(48);
  const view = new DataView(data.buffer);
  view.setUint16(0, 0x3e00, true); // f16 1.5
  view.setUint16(2, 0xbfc0, true); // bf16 -1.5
  view.setFloat64(8, Math.PI, true);
  view.setBigInt64(16, -7n, true);
  view.setInt32(24, -100, true);
  const header = {
    h: { dtype: 'F16', shape: [1], data_offsets: [0, 2] },
    b: { dtype: 'BF16', shape: [], data_offsets: [2, 4] },
    pad: { dtype: 'F8_E4M3', shape: [4], data_offsets: [4, 8] },
    d: { dtype: 'F64', shape: [1], data_offsets: [8, 16] },
    l: { dtype: 'I64', shape: [1], data_offsets: [16, 24] },
    i: { dtype: 'I32', shape: [1], data_offsets: [24, 28] },
  };
  const head = file(header, 28);
  head.set(data.subarray(0, 28), head.length - 28);
  const opened = await open(head);
  expect((await opened.read('h'))[0]).toBe(1.5);
  expect((await opened.read('b'))[0]).toBe(-1.5);
  expect((await opened.read('d'))[0]).toBe(Math.fround(Math.PI));
  expect((await opened.read('l'))[0]).toBe(-7);
  expect((await opened.read('i'))[0]).toBe(-100);
  await expect(opened.read('pad')).rejects.toThrow(/tensor pad is stored as F8_E4M3.*[Qq]uantised/);
  await expect(opened.read('nothing')).rejects.toThrow('folder/x.safetensors has no tensor nothing');
});

test('f16 and bf16 are stored as asked, integers as what they are', async () => {
  const values = Float32Array.of(1, -0.5, 3.140625);
  const opened = await open(
    writeSafetensors([
      { name: 'h', shape: [3], data: values, dtype: 'F16' },
      { name: 'b', shape: [3], data: values, dtype: 'BF16' },
      { name: 'u', shape: [2], data: Uint32Array.of(1, 2) },
    ]),
  );
  expect([opened.entry('h').dtype, opened.entry('b').dtype, opened.entry('u').dtype]).toEqual([
    'F16',
    'BF16',
    'U32',
  ]);
  expect([...(await opened.read('h'))]).toEqual([...values]);
  expect([...(await opened.read('b'))]).toEqual([...values]);
  expect(opened.metadata).toEqual({ format: 'pt' });
});
