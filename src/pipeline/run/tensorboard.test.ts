import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { RunEvent } from '../../core/run_event.ts';
import { crc32c, maskedCrc32c } from './crc32c.ts';
import { tensorboardFile, tensorboardFileName, tensorboardHeader, tensorboardRecord } from './tensorboard.ts';

const ascii = (text: string) => new TextEncoder().encode(text);
const hex = (bytes: Uint8Array) => [...bytes].map((b) => b.toString(16).padStart(2, '0')).join('');

describe('crc32c', () => {
  it('meets the published check values (RFC 3720, appendix B.4, and the catalogue of CRCs)', () => {
    expect(crc32c(ascii('123456789'))).toBe(0xe3069283);
    expect(crc32c(new Uint8Array(32))).toBe(0x8a9136aa);
    expect(crc32c(new Uint8Array(32).fill(0xff))).toBe(0x62a8ab43);
    expect(crc32c(Uint8Array.from({ length: 32 }, (_, i) => i))).toBe(0x46dd794e);
  });

  it('is the remainder of the polynomial division, bit by bit', () => {
    const slow = (bytes: Uint8Array): number => {
      let c = 0xffffffff;
      for (const byte of bytes)
        for (let bit = 0; bit < 8; bit++) {
          const low = (c ^ (byte >>> bit)) & 1;
          c = (c >>> 1) ^ (low ? 0x82f63b78 : 0);
        }
      return (c ^ 0xffffffff) >>> 0;
    };
    fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => crc32c(bytes) === slow(bytes)));
  });

  it('continues over parts, and any single flipped bit changes it', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 64 }), fc.nat(), (bytes, where) => {
        const cut = where % bytes.length;
        expect(crc32c(bytes.subarray(cut), crc32c(bytes.subarray(0, cut)))).toBe(crc32c(bytes));
        const flipped = bytes.slice();
        flipped[cut]! ^= 1 << (where % 8);
        expect(crc32c(flipped)).not.toBe(crc32c(bytes));
      }),
    );
  });
});

describe('TensorBoard files', () => {
  it('begins with the record that every TensorFlow writer begins with', () => {
    // tf.summary writers put Event{wall_time, file_version: "brain.Event:2"} first: 24 bytes of data.
    const header = hex(tensorboardHeader(0));
    expect(header.slice(0, 16)).toBe('1800000000000000');
    expect(header.slice(16, 24)).toBe('a37f4b22'); // masked CRC of the length 24, as in every event file
    expect(header.slice(24, 72)).toBe(`090000000000000000${'1a0d'}${hex(ascii('brain.Event:2'))}`);
  });

  it('encodes Event and Summary as protobuf does', () => {
    const record = tensorboardRecord({ wallTime: 1.5, step: 300, scalars: { loss: 0.25 } });
    const data = record.subarray(12, record.length - 4);
    // wall_time = 1.5 · step = 300 (ac 02) · summary { value { tag "loss" simple_value 0.25 } }
    expect(hex(data)).toBe('09000000000000f83f' + '10ac02' + '2a0d' + '0a0b' + '0a046c6f7373' + '150000803e');
  });

  it('frames can be walked by length and checked by CRC, for any scalars', () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.record({
            time: fc.integer({ min: 0, max: 2 ** 41 }),
            step: fc.integer({ min: 0, max: 2 ** 40 }),
            metrics: fc.dictionary(fc.string({ minLength: 1, maxLength: 300 }), fc.float(), { maxKeys: 4 }),
          }),
          { maxLength: 5 },
        ),
        (steps) => {
          const events = steps.map((s, seq): RunEvent => ({ type: 'step', stage: 'sft', seq, ...s }));
          const file = tensorboardFile(events);
          const view = new DataView(file.buffer);
          let at = 0;
          let frames = 0;
          while (at < file.length) {
            const length = view.getUint32(at, true);
            expect(view.getUint32(at + 4, true)).toBe(0);
            expect(view.getUint32(at + 8, true)).toBe(maskedCrc32c(file.subarray(at, at + 8)));
            const data = file.subarray(at + 12, at + 12 + length);
            expect(view.getUint32(at + 12 + length, true)).toBe(maskedCrc32c(data));
            at += 16 + length;
            frames++;
          }
          expect(at).toBe(file.length);
          expect(frames).toBe(1 + events.length);
        },
      ),
    );
  });

  it('has a name that TensorBoard looks for', () => {
    expect(tensorboardFileName(1700000000.7, 'host')).toBe('events.out.tfevents.1700000000.host');
  });
});
