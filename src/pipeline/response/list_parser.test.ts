import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { hasRedial, redialRollouts, sharedCatalogue } from '../../../tests/support/redial.ts';
import { trickyCatalogue } from '../../../tests/support/tricky_catalogue.ts';
import { parseList } from './list_parser.ts';
import { renderItems, renderRecommendation } from './render_list.ts';
import { TitleLinker } from './title_linker.ts';

const titles = (text: string) => parseList(text)?.titles ?? null;
const TROUBLE = [
  'Se7en (1995)',
  "Ocean's 11 (2001)",
  '2001: A Space Odyssey (1968)',
  '12 Angry Men (1957)',
  '10 Things I Hate About You (1999)',
  'Blade Runner 2049 (2017)',
  '11.22.63 (2016)',
  '(500) Days of Summer (2009)',
  'E.T. the Extra-Terrestrial (1982)',
  'Mission: Impossible - Fallout (2018)',
  'Mr. & Mrs. Smith (2005)',
  '3:10 to Yuma (2007)',
  '1. April 2000 (1952)'.slice(3),
  'xXx (2002)',
  'M*A*S*H (1970)',
  'The Tudors (TV series, 2007-2010)',
  '9 (2009)',
  '8½ (1963)',
];

describe('parseList', () => {
  it('reads a list without spaces or line breaks, as models of the original wrote it', () => {
    const text = 'I think: here are some recommendations:1. Heat (1995)2. Up (2009)3. It (2017)Let me know!';
    expect(parseList(text)).toEqual({
      titles: ['Heat (1995)', 'Up (2009)', 'It (2017)'],
      before: 'I think: here are some recommendations:',
      after: 'Let me know!',
      style: 'inline',
      numbered: true,
    });
  });

  it.each([
    ['glued', (t: string[]) => t.map((x, i) => `${i + 1}. ${x}`).join('')],
    [
      'glued without a space',
      (t: string[]) => t.map((x, i) => `${i + 1}.${/^\d/.test(x) ? ' ' : ''}${x}`).join(' '),
    ],
    ['with spaces', (t: string[]) => renderItems(t)],
    ['with line breaks', (t: string[]) => t.map((x, i) => `${i + 1}. ${x}`).join('\n')],
    ['with blank lines', (t: string[]) => t.map((x, i) => `${i + 1}. ${x}`).join('\n\n')],
    ['with brackets', (t: string[]) => t.map((x, i) => `${i + 1}) ${x}`).join('\n')],
    ['in brackets', (t: string[]) => t.map((x, i) => `(${i + 1}) ${x}`).join('\n')],
    ['in bold', (t: string[]) => t.map((x, i) => `${i + 1}. **${x}**`).join('\n')],
    ['with bold numbers', (t: string[]) => t.map((x, i) => `**${i + 1}.** ${x}`).join('\n')],
    [
      'with descriptions',
      (t: string[]) => t.map((x, i) => `${i + 1}. **${x}** - a film. It has 2 parts.`).join('\n'),
    ],
    ['quoted', (t: string[]) => t.map((x, i) => `${i + 1}. "${x}"`).join('\n')],
    ['with bullets', (t: string[]) => t.map((x) => `- ${x}`).join('\n')],
  ])('reads titles with digits and dots, %s, in any order', (_, write) => {
    fc.assert(
      fc.property(fc.shuffledSubarray(TROUBLE, { minLength: 2 }), (list) => {
        expect(titles(`Here you go:\n${write(list)}`)).toEqual(list);
      }),
    );
  });

  it('reads titles without years', () => {
    expect(titles("1. Ocean's 11 2. 2001: A Space Odyssey 3. Se7en 4. 12 Angry Men")).toEqual([
      "Ocean's 11",
      '2001: A Space Odyssey',
      'Se7en',
      '12 Angry Men',
    ]);
    expect(titles('1. Blade Runner 20492. Heat3. Up')).toEqual(['Blade Runner 2049', 'Heat', 'Up']);
  });

  it('never cuts a long list and takes a short one', () => {
    const long = Array.from(
      { length: 37 },
      (_, i) => `Film ${String.fromCharCode(65 + (i % 26))} (19${10 + i})`,
    );
    expect(titles(renderItems(long))).toEqual(long);
    expect(titles('You may like: 1. Heat (1995)')).toEqual(['Heat (1995)']);
  });

  it('ends the last title before a closing sentence', () => {
    expect(parseList('1. Heat 2. Up Let me know if you like them.')).toMatchObject({
      titles: ['Heat', 'Up'],
      after: 'Let me know if you like them.',
    });
    expect(titles('1. Heat 2. Travelers. Would you like more?')).toEqual(['Heat', 'Travelers']);
    expect(titles('1. Heat\n2. Up\n\nEnjoy!')).toEqual(['Heat', 'Up']);
  });

  it('uses what it knows about titles', () => {
    const linker = new TitleLinker(trickyCatalogue);
    const known = (t: string) => linker.isTitle(t);
    expect(parseList("1. Heat 2. Ocean's Eleven Are we good?", known)?.titles).toEqual([
      'Heat',
      "Ocean's Eleven",
    ]);
    expect(parseList('1. **Heat (1995)**\n2. *Up*', known)?.titles).toEqual(['Heat (1995)', 'Up']);
    const spaced = 'Star Wars: Episode V – The Empire Strikes Back';
    expect(parseList(`1. ${spaced} 2. Up`, known)?.titles).toEqual([spaced, 'Up']);
  });

  it.each([
    'What do you like?',
    'I rate it 1. Great film!',
    'It was released in 2012. However, I like 3. parts',
    'Have you seen Heat (1995)?',
    'I have 2. things: 1.',
    '- drama?\n- comedy?\n- horror?',
    '',
    '1.',
    '10. Heat (1995)',
  ])('finds no list in %j', (text) => {
    expect(parseList(text)).toBeNull();
  });

  it('reads back any titles it rendered', () => {
    const word = fc
      .string({ unit: 'grapheme', minLength: 1, maxLength: 12 })
      .filter((w) => /^[^\d\s*_`"“”«»[\]()-]+$/u.test(w));
    const title = fc
      .tuple(fc.array(word, { minLength: 1, maxLength: 5 }), fc.integer({ min: 1900, max: 2030 }))
      .map(([words, year]) => `${words.join(' ')} (${year})`)
      .filter((t) => /\p{L}/u.test(t) && !/^[–—•,;]/u.test(t) && t.replace(/\s+/g, ' ') === t);
    fc.assert(
      fc.property(fc.array(title, { minLength: 1, maxLength: 25 }), (list) => {
        expect(titles(renderRecommendation(list, 'You like heists'))).toEqual(list);
      }),
    );
  });

  it('never throws, and never invents text', () => {
    const piece = fc.constantFrom(
      '1.',
      '2.',
      '3)',
      ' ',
      '\n',
      '(1999)',
      'Heat',
      '**',
      '-',
      '"',
      '11',
      '🎬',
      ':',
      '?',
      '(',
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 40 }), (pieces) => {
        const text = pieces.join('');
        const plain = text.replace(/[^\p{L}\p{N}()]/gu, '');
        for (const t of parseList(text)?.titles ?? [])
          expect(plain).toContain(t.replace(/[^\p{L}\p{N}()]/gu, ''));
      }),
      { numRuns: 500 },
    );
  });

  it('stays quick on a hostile text', () => {
    const text = '1. a 2. b '.repeat(2000);
    expect(parseList(text)!.titles.length).toBeGreaterThan(1);
  });
});

describe('renderRecommendation', () => {
  it('is one line with the canonical phrase', () => {
    expect(renderRecommendation(['Heat\n(1995)', 'Up (2009)'], ' You like heists. ')).toBe(
      'You like heists, here are some recommendations: 1. Heat (1995) 2. Up (2009)',
    );
    expect(renderRecommendation(['Up (2009)'])).toBe('Here are some recommendations: 1. Up (2009)');
  });
});

describe.skipIf(!hasRedial)('real data', () => {
  it('reads every list of the real transcripts whole', () => {
    const texts = redialRollouts().flatMap((r) =>
      r.generated_dialog.filter((m) => m.role === 'assistant').map((m) => m.content),
    );
    const withList = texts.filter((t) => /(^|\D)1\. ?\S/.test(t));
    expect(withList).toHaveLength(1047);
    const lengths = new Map<number, number>();
    for (const text of withList) {
      const length = titles(text)?.length ?? 0;
      lengths.set(length, (lengths.get(length) ?? 0) + 1);
    }
    expect(lengths).toEqual(
      new Map([
        [10, 1035],
        [5, 11],
        [8, 1],
      ]),
    );
    expect(texts.filter((t) => !withList.includes(t) && parseList(t))).toEqual([]);
  });

  it.each(['redial', 'opendialkg'] as const)('reads back every name of the %s catalogue', (dataset) => {
    const catalogue = sharedCatalogue(dataset);
    const known = (t: string) => catalogue.byName(t) !== undefined;
    const names = catalogue.items.map((i) => i.name);
    for (let at = 0; at < names.length; at += 10) {
      const ten = names.slice(at, at + 10);
      expect(parseList(renderRecommendation(ten), known)?.titles).toEqual(ten);
    }
  });
});
