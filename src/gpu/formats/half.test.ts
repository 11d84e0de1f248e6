import { expect, test } from 'vitest';
import { bf16ToF32, f16ToF32, f32ToBf16, f32ToF16 } from './half.ts';

const allBits = Uint16Array.from({ length: 65536 }, (_, i) => i);

test('every f16 and bf16 value survives the way to f32 and back', () => {
  const f16 = f32ToF16(f16ToF32(allBits));
  const bf16 = f32ToBf16(bf16ToF32(allBits));
  const f16IsNaN = (b: number) => (b & 0x7fff) > 0x7c00;
  const bf16IsNaN = (b: number) => (b & 0x7fff) > 0x7f80;
  for (const bits of allBits) {
    if (f16IsNaN(bits)) expect(f16IsNaN(f16[bits]!)).toBe(true);
    else expect(f16[bits]).toBe(bits);
    if (bf16IsNaN(bits)) expect(bf16IsNaN(bf16[bits]!)).toBe(true);
    else expect(bf16[bits]).toBe(bits);
  }
});

test('known f16 patterns', () => {
  const of = (value: number) => f32ToF16(new Float32Array([value]))[0];
  expect(of(1)).toBe(0x3c00);
  expect(of(-2)).toBe(0xc000);
  expect(of(65504)).toBe(0x7bff);
  expect(of(65519.99)).toBe(0x7bff);
  expect(of(65520)).toBe(0x7c00);
  expect(of(2 ** -24)).toBe(1);
  expect(of(2 ** -25)).toBe(0);
  expect(of(2 ** -25 * 1.001)).toBe(1);
  expect(of(-0)).toBe(0x8000);
});

test('rounds to the nearest value, and to the even one between two', () => {
  const check = (
    encode: (v: Float32Array) => Uint16Array,
    decode: (b: Uint16Array) => Float32Array,
    top: number,
  ) => {
    for (let bits = 0; bits < top; bits += 37) {
      const [low, high] = decode(Uint16Array.of(bits, bits + 1)) as unknown as [number, number];
      const [down, middle, up] = encode(
        Float32Array.of(low + (high - low) * 0.375, (low + high) / 2, low + (high - low) * 0.625),
      ) as unknown as [number, number, number];
      expect([down, middle, up]).toEqual([bits, bits % 2 === 0 ? bits : bits + 1, bits + 1]);
    }
  };
  check(f32ToF16, f16ToF32, 0x7bff);
  check(f32ToBf16, bf16ToF32, 0x7f7f);
});
