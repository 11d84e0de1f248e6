import { describe, expect, it } from 'vitest';
import { hasRedial, sharedCatalogue, sharedFile } from '../../../tests/support/redial.ts';
import { film, trickyCatalogue } from '../../../tests/support/tricky_catalogue.ts';
import { InputError, UsageError } from '../../core/errors.ts';
import { TitleLinker } from '../response/title_linker.ts';
import { LONG_MESSAGE, readProcessedSet, writeProcessedSet } from './processed_set.ts';
import { describeProblem } from './source_file.ts';

const linker = new TitleLinker(trickyCatalogue);
const suggest = (name: string) => linker.suggest(name);
const user = (content: string) => ({ role: 'user', content });
const assistant = (content: string) => ({ role: 'assistant', content });
const good = { dialog: [user('Something like Heat?')], target_items: ['Seven (1995)'] };
const readText = (text: string, options = {}) =>
  readProcessedSet({ name: 'data/x_processed_test.json', text }, trickyCatalogue, { suggest, ...options });
const read = (rows: unknown, options = {}) => readText(JSON.stringify(rows), options);

describe('readProcessedSet', () => {
  it('makes dialogues with unique keys and catalogue items', () => {
    const { dialogues, problems, rowsInFile } = read([good, good]);
    expect(problems).toEqual([]);
    expect(rowsInFile).toBe(2);
    expect(dialogues.map((d) => d.key)).toEqual(['x_processed_test:0', 'x_processed_test:1']);
    expect(dialogues[0]!.targets).toEqual([film('Seven (1995)')]);
  });

  it('takes rows from start to end, all without an end, and keeps their numbers', () => {
    const rows = Array.from({ length: 5 }, () => good);
    expect(read(rows, { start: 2, end: 4 }).dialogues.map((d) => d.index)).toEqual([2, 3]);
    expect(read(rows, { end: 99 }).dialogues).toHaveLength(5);
    expect(() => read(rows, { start: 5 })).toThrow(UsageError);
    expect(() => read(rows, { start: -1 })).toThrow(/--start -1/);
    expect(() => read(rows, { end: 1.5 })).toThrow(/--end 1.5/);
  });

  it('checks only the rows it is asked for', () => {
    expect(read([{ dialog: 3 }, good], { start: 1 }).dialogues).toHaveLength(1);
  });

  it.each([
    [
      'an unknown target, with the nearest name',
      { ...good, target_items: ['Sevn (1995)'] },
      /row 1, target_items\[0\]: "Sevn \(1995\)".*Did you mean "Seven \(1995\)"/,
    ],
    ['no target', { ...good, target_items: [] }, /row 1, target_items: .*no target/],
    ['an empty dialogue', { ...good, dialog: [] }, /row 1, dialog: .*no messages/],
    [
      'a wrong role',
      { ...good, dialog: [{ role: 'seeker', content: 'Hi' }] },
      /row 1, dialog\[0\]\.role: "seeker".*Call the seeker "user"/,
    ],
    [
      'an empty message',
      { ...good, dialog: [user('Hi'), assistant('  ')] },
      /row 1, dialog\[1\]\.content: .*empty/,
    ],
    [
      'a message without text',
      { ...good, dialog: [{ role: 'user' }] },
      /row 1, dialog\[0\]\.content: expected/,
    ],
    ['a row that is no object', 'hello', /row 1: expected Object/],
    ['a missing field', { dialog: good.dialog }, /row 1, target_items: expected/],
  ])('refuses %s by file, row and field, or leaves the row out', (_, row, message) => {
    const rows = [good, row, good];
    expect(() => read(rows)).toThrow(InputError);
    expect(() => read(rows)).toThrow(message);
    expect(() => read(rows)).toThrow(/data\/x_processed_test\.json/);
    const report = read(rows, { mode: 'report' });
    expect(report.dialogues.map((d) => d.index)).toEqual([0, 2]);
    expect(
      report.problems
        .filter((p) => p.severity === 'error')
        .map(describeProblem)
        .join(),
    ).toMatch(message);
  });

  it('keeps two messages of one role in a row, and counts them', () => {
    const { dialogues, problems } = read([
      { ...good, dialog: [user('Hi'), user('Anything sad?'), assistant('Why?')] },
    ]);
    expect(dialogues[0]!.dialog).toHaveLength(3);
    expect(problems).toMatchObject([{ severity: 'warning', row: 0, field: 'dialog' }]);
  });

  it('keeps emoji and 20,000 characters, and says so of the latter', () => {
    const long = '🎬'.repeat(LONG_MESSAGE / 2);
    const { dialogues, problems } = read([{ ...good, dialog: [user(long), assistant('👩‍👩‍👧 👍🏽')] }]);
    expect(dialogues[0]!.dialog.map((m) => m.content)).toEqual([long, '👩‍👩‍👧 👍🏽']);
    expect(problems).toMatchObject([{ severity: 'warning', field: 'dialog[0].content' }]);
  });

  it('replaces half an emoji', () => {
    const { dialogues, problems } = readText(
      `[{"dialog":[{"role":"user","content":"a\\ud83cb"}],"target_items":["It (2017)"]}]`,
    );
    expect(dialogues[0]!.dialog[0]!.content).toBe('a�b');
    expect(problems).toHaveLength(1);
  });

  it('counts a target named twice once', () => {
    const { dialogues, problems } = read([{ ...good, target_items: ['It (2017)', 'It (2017)'] }]);
    expect(dialogues[0]!.targets).toEqual([film('It (2017)')]);
    expect(problems).toHaveLength(1);
  });

  it.each([
    [
      'cut off in a row',
      `[${JSON.stringify(good)},\n{"dialog": [{"role": "us`,
      /row 1, line 2, column 1.*the text ends inside this row/,
    ],
    ['a broken row', `[${JSON.stringify(good)},\n{"dialog": oops}, {}]`, /row 1, line 2, column 1.*oops/],
    ['a comma too many', `[${JSON.stringify(good)},]`, /row 1, .*an empty row/],
    ['a brace in a string', `[{"dialog": "a ] } , \\" b"}, nope]`, /row 1, .*nope/],
    ['text after the array', `[] []`, /text after the end/],
    ['no JSON', `dialog: []`, /line 1, column 1.*dialog/],
    ['nothing', `  \n`, /the file is empty/],
    ['an object', `{"dialog": []}`, /expected an array/],
    ['no rows', `[]`, /no rows/],
  ])('names the place of broken JSON: %s', (_, text, message) => {
    for (const mode of ['strict', 'report'] as const) {
      expect(() => readText(text, { mode })).toThrow(InputError);
      expect(() => readText(text, { mode })).toThrow(message);
    }
  });

  it('reads what it writes, byte-order mark or not', () => {
    const { dialogues } = read([good, { ...good, target_items: ['Up (2009)', 'It (2017)'] }]);
    expect(readText('\ufeff' + writeProcessedSet(dialogues)).dialogues).toEqual(dialogues);
  });
});

describe.skipIf(!hasRedial)('the ReDial validation set', () => {
  it('is read whole, without a complaint', () => {
    const set = readProcessedSet(sharedFile('redial/redial_processed_valid.json'), sharedCatalogue('redial'));
    expect(set.dialogues).toHaveLength(2716);
    expect(set.problems).toEqual([]);
    expect(set.dialogues.reduce((sum, d) => sum + d.targets.length, 0)).toBe(3595);
  });
});
