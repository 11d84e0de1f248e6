import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { InputError } from '../../core/errors.ts';
import { parseJsonl, toJsonl } from './jsonl.ts';

const parse = (text: string) => parseJsonl({ name: 'rows.jsonl', text });

describe('parseJsonl', () => {
  it('reads what toJsonl writes', () => {
    fc.assert(
      fc.property(fc.array(fc.jsonValue()), (values) => {
        const plain = values.map((v) => JSON.parse(JSON.stringify(v)) as unknown);
        expect(parse(toJsonl(plain)).lines.map((l) => l.value)).toEqual(plain);
      }),
    );
  });

  it('drops a torn last line wherever it was cut, and says where whole lines end', () => {
    const whole = toJsonl([{ id: 1, text: '🎬 "quoted"' }, { id: 2 }]);
    const line = JSON.stringify({ id: 3, text: 'x' });
    for (let cut = 1; cut < line.length; cut++) {
      const file = parse(whole + line.slice(0, cut));
      expect(file.lines.map((l) => l.line)).toEqual([1, 2]);
      expect(file.problems).toMatchObject([{ severity: 'warning', line: 3 }]);
      expect(file.wholeLength).toBe(whole.length);
    }
    const complete = parse(whole + line);
    expect(complete.lines).toHaveLength(3);
    expect(complete.problems).toEqual([]);
  });

  it('names a broken line inside by its number, blank lines counted', () => {
    const text = '{"id":1}\n\n{"id":\n{"id":3}\n';
    expect(() => parse(text)).toThrow(InputError);
    expect(() => parse(text)).toThrow(/rows\.jsonl, line 3: broken JSON/);
  });

  it('reads an empty file as no rows, and Windows line ends', () => {
    expect(parse('').lines).toEqual([]);
    expect(parse('1\r\n2\r\n').lines.map((l) => l.value)).toEqual([1, 2]);
  });
});
