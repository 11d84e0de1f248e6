import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { hasRedial, redialRollouts, sharedCatalogue } from '../../../tests/support/redial.ts';
import { film, item, trickyCatalogue } from '../../../tests/support/tricky_catalogue.ts';
import { createCatalogue } from '../data/catalogue.ts';
import { parseList } from './list_parser.ts';
import { titleKey } from './title_key.ts';
import { TitleLinker } from './title_linker.ts';

const linker = new TitleLinker(trickyCatalogue);
const linkTo = (title: string) => linker.link(title).item?.name ?? null;

describe('TitleLinker', () => {
  it.each([
    ['Heat (1995)', 'Heat (1995)'],
    ['heat', 'Heat (1995)'],
    ['Heat (1996)', 'Heat (1995)'],
    ['Heat (1994)', 'Heat (1995)'],
    ['Heat (1993)', null],
    ['HEAT! (1995)', 'Heat (1995)'],
    ["Ocean's 11 (2001)", "Ocean's Eleven (2001)"],
    ['Oceans Eleven', "Ocean's Eleven (2001)"],
    ["Ocean's Twelve (2001)", null],
    ['Se7en (1995)', 'Seven (1995)'],
    ['Twelve Angry Men', '12 Angry Men (1957)'],
    ['Blade Runner', 'Blade Runner (1982)'],
    ['Blade Runner 2049', 'Blade Runner 2049 (2017)'],
    ['The Naked Gun (1988)', 'The Naked Gun: From the Files of Police Squad! (1988)'],
    ['Naked Gun, The (1988)', 'The Naked Gun: From the Files of Police Squad! (1988)'],
    ['The Empire Strikes Back (1980)', 'Star Wars: Episode V – The Empire Strikes Back (1980)'],
    ['Star Wars: The Empire Strikes Back (1980)', 'Star Wars: Episode V – The Empire Strikes Back (1980)'],
    ['Amelie (2001)', 'Amélie (2001)'],
    ['The Godfather: Part 2 (1974)', 'The Godfather Part II (1974)'],
    ['Godfather 2', 'The Godfather Part II (1974)'],
    ['The Godfather (1972 film)', 'The Godfather (1972)'],
    ['The Godfather Part III (1990)', null],
    ['Toy Story 3 (1999)', null],
    ['Mr and Mrs Smith (2005)', 'Mr. & Mrs. Smith (2005)'],
    ['10 Thigns I Hate Abuot You (1999)', '10 Things I Hate About You (1999)'],
    ['11 Things I Hate About You (1999)', null],
    ['Shining, The (1980)', 'The Shining (1980)'],
    ['It', 'It (2017)'],
    ['Is (2017)', null],
    ['', null],
    ['(1999)', null],
    ['🎬', null],
  ])('links %j to %j', (title, name) => {
    expect(linkTo(title)).toBe(name);
  });

  it('settles several films of one name the same way whatever the order of the catalogue', () => {
    expect(linkTo('Ghostbusters (2016)')).toBe('Ghostbusters (2016)');
    expect(linkTo('Ghostbusters (1985)')).toBe('Ghostbusters (1984)');
    const turned = new TitleLinker(createCatalogue([...trickyCatalogue.items].reverse()));
    for (const title of [
      'Ghostbusters',
      'Ghostbusters (2000)',
      'ghostbusters',
      'Back to the Future',
      'back to the future (1985)',
    ])
      expect(turned.link(title).item).toBe(linker.link(title).item);
    expect(linker.link('Ghostbusters').alternatives).toEqual([film('Ghostbusters (2016)')]);
  });

  it('knows that an entry without a year and one with it are one film', () => {
    const dated = 'Back to the Future (1985)';
    expect(linkTo(dated)).toBe(dated);
    expect(linker.names(dated, film('Back to the Future'))).toBe(true);
    expect(linker.names(dated, film('Heat (1995)'))).toBe(false);
    expect(linker.names('Ghostbusters (1984)', film('Ghostbusters (2016)'))).toBe(false);
  });

  it('reads the kind of a work in brackets as no part of its name', () => {
    const dialkg = new TitleLinker(
      createCatalogue([
        item(1, 'Anger Management (Black comedy Film)', { year: '2003' }),
        item(2, 'Gravity', { year: '2013' }),
      ]),
    );
    expect(dialkg.link('Anger Management (2003)').item?.id).toBe(1);
    expect(dialkg.link('Gravity (2013)').item?.id).toBe(2);
    expect(dialkg.link('Gravity (1990)').item).toBeNull();
  });

  it('suggests the nearest name for an unknown one', () => {
    expect(linker.suggest('Sevn (1995)')).toBe('Seven (1995)');
    expect(linker.suggest('Heat (1960)')).toBe('Heat (1995)');
    expect(linker.suggest('Zzyzx Road to Nowhere')).toBeUndefined();
  });

  it('survives any text', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), (text) => {
        expect(linker.link(text)).toEqual(new TitleLinker(trickyCatalogue).link(text));
      }),
      { numRuns: 50 },
    );
  });
});

describe.skipIf(!hasRedial)('real catalogues', () => {
  const redial = hasRedial ? sharedCatalogue('redial') : trickyCatalogue;
  const real = new TitleLinker(redial);

  it('links every name to itself, and keeps the film through case, spaces, articles and diacritics', () => {
    const noises: ((name: string) => string)[] = [
      (n) => n.toUpperCase(),
      (n) => `  ${n.toLowerCase()} `,
      (n) => n.normalize('NFD').replace(/\p{M}/gu, ''),
      (n) => n.replace(/^(The) (.*?)( \(\d{4}\))?$/, '$2, $1$3'),
      (n) => n.replace(/(?<=\p{L})[’'](?=\p{L})/gu, '’'),
      (n) => n.replace(/ & /g, ' and '),
    ];
    // Names that differ in nothing but such noise ("The Square (2017)" and "Square (2017)") share a key.
    const sameKey = (a: string, b: string) => titleKey(a).key === titleKey(b).key;
    for (const { name } of redial.items) {
      expect(real.link(name)).toEqual({ item: redial.byName(name), kind: 'exact', alternatives: [] });
      for (const noise of noises) {
        const linked = real.link(noise(name)).item;
        if (titleKey(name).key === '') continue;
        expect(linked !== null && sameKey(linked.name, name), `${noise(name)} → ${linked?.name}`).toBe(true);
        if (titleKey(name).year !== null && linked?.year !== null)
          expect(linked?.year).toBe(titleKey(name).year);
      }
    }
  });

  it('finds a long name again after one typing error', () => {
    const long = redial.items.filter((i) => /^[\p{L} ]{15,}\(\d{4}\)$/u.test(i.name)).map((i) => i.name);
    let found = 0;
    let tried = 0;
    fc.assert(
      fc.property(fc.constantFrom(...long), fc.nat(), (name, n) => {
        const at = 4 + (n % (name.length - 12));
        if (!/\p{L}/u.test(name[at]!)) return;
        tried++;
        if (real.link(name.slice(0, at) + name.slice(at + 1)).item?.name === name) found++;
      }),
      { numRuns: 600, seed: 7 },
    );
    expect(found / tried).toBeGreaterThan(0.97);
  });

  it('links most listed titles of the real transcripts, with years that agree', () => {
    const listed = redialRollouts()
      .flatMap((r) => r.generated_dialog.filter((m) => m.role === 'assistant'))
      .flatMap((m) => parseList(m.content)?.titles ?? []);
    expect(listed).toHaveLength(10413);
    const linked = listed.filter((t) => real.link(t).item !== null);
    expect(linked.length / listed.length).toBeGreaterThan(0.88);
    for (const title of linked) {
      const asked = titleKey(title).year;
      const got = real.link(title).item!.year;
      if (asked !== null && got !== null) expect(Math.abs(asked - got)).toBeLessThanOrEqual(1);
    }
  });
});
