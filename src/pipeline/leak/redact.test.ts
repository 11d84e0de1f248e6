import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { hasRedial, sharedCatalogue, sharedFile } from '../../../tests/support/redial.ts';
import { film, item } from '../../../tests/support/tricky_catalogue.ts';
import type { Message } from '../../core/message.ts';
import { readProcessedSet } from '../data/processed_set.ts';
import { givenLeaks, redactReply, redactTitles } from './redact.ts';
import { findMentions, mentions } from './title_pattern.ts';

const redact = (name: string, text: string) => redactTitles(text, [item(1, name)]).text;
const user = (content: string): Message => ({ role: 'user', content });
const assistant = (content: string): Message => ({ role: 'assistant', content });

describe('redactTitles', () => {
  it.each([
    ['The Shining (1980)', 'Something like The Shining (1980), please.', 'Something like [title], please.'],
    [
      'The Shining (1980)',
      'Shining, The is good; so is "The Shining" (1980).',
      '[title] is good; so is [title].',
    ],
    ['Police Academy (1984)', 'I want police academy!', 'I want [title]!'],
    [
      'Police Academy (1984)',
      'Police Academy 2 and Police Academy: Mission to Moscow',
      'Police Academy 2 and Police Academy: Mission to Moscow',
    ],
    [
      'Police Academy (1984)',
      'Police Academy (2025)? Police Academy (1985)?',
      'Police Academy (2025)? [title]?',
    ],
    ['Rocky II (1979)', 'rocky 2, Rocky Two and Rocky II (1979)', '[title], [title] and [title]'],
    ["Ocean's Eleven (2001)", 'oceans 11? Ocean’s Eleven?', '[title]? [title]?'],
    ['Spider-Man (2002)', 'spiderman, Spider Man or spider-man', '[title], [title] or [title]'],
    ['Amélie (2001)', 'Amelie 🎬 AMÉLIE', '[title] 🎬 [title]'],
    ['Inception (2010)', "Inception's end", "[title]'s end"],
    ['Mr. & Mrs. Smith (2005)', 'mr and mrs smith', '[title]'],
    [
      'Star Wars: Episode V – The Empire Strikes Back (1980)',
      'The Empire Strikes Back, from Star Wars',
      '[title], from [title]',
    ],
    ['(500) Days of Summer (2009)', 'Is it 500 Days of Summer (2009)?', 'Is it [title]?'],
    ['Pacific Rim (2013)', 'Pacific Rim Uprising (2018) comes out', 'Pacific Rim Uprising (2018) comes out'],
    ['Rat Race (2001)', 'a rat racer, democrat race', 'a rat racer, democrat race'],
  ])('%s in %j', (name, text, expected) => {
    expect(redact(name, text)).toBe(expected);
  });

  it.each([
    ['It (2017)', 'It was fun. I like it, is it old? LIKE IT', 'It was fun. I like it, is it old? LIKE IT'],
    [
      'It (2017)',
      'Have you seen It? What of it (2017)? I mean "It".',
      'Have you seen [title]? What of [title]? I mean [title].',
    ],
    ['Up (2009)', 'Up to you. I gave up. I liked Up a lot.', 'Up to you. I gave up. I liked [title] a lot.'],
    [
      'Her (2013)',
      'I saw her. Her films are sad. I saw Her.',
      'I saw her. Her films are sad. I saw [title].',
    ],
    [
      'Heat (1995)',
      'the heat is on, White Heat too, but I want Heat',
      'the heat is on, White Heat too, but I want [title]',
    ],
    ['300 (2006)', 'I have 300 films. Have you seen 300?', 'I have 300 films. Have you seen [title]?'],
    [
      'The Birds (1963)',
      'the birds sing; Birds too; I saw The Birds',
      'the birds sing; Birds too; I saw [title]',
    ],
    ['Waiting (2005)', 'I am waiting.', 'I am waiting.'],
  ])('everyday words: %s in %j', (name, text, expected) => {
    expect(redact(name, text)).toBe(expected);
  });

  it('redacts several targets once each, and says where they were', () => {
    const text = 'Heat (1995) or The Godfather Part II?';
    const { text: out, leaks } = redactTitles(text, [
      film('The Godfather (1972)'),
      film('The Godfather Part II (1974)'),
      film('Heat (1995)'),
    ]);
    expect(out).toBe('[title] or [title]?');
    expect(leaks.map((l) => [l.id, text.slice(l.start, l.end), l.text])).toEqual([
      [film('Heat (1995)').id, 'Heat (1995)', 'Heat (1995)'],
      [film('The Godfather Part II (1974)').id, 'The Godfather Part II', 'The Godfather Part II'],
    ]);
  });

  it('keeps everything outside the mentions, and leaves none behind', () => {
    const target = film('The Naked Gun: From the Files of Police Squad! (1988)');
    const around = fc.string({ unit: fc.constantFrom('a', ' ', '.', 'é', '🎬', '"', "'", ',', '\n') });
    fc.assert(
      fc.property(
        around,
        around,
        fc.constantFrom('The Naked Gun', 'naked gun', target.name, 'Naked Gun, The (1988)'),
        (a, b, name) => {
          const text = `${a} ${name} ${b}`;
          const { text: out, leaks } = redactTitles(text, [target]);
          expect(leaks).toHaveLength(1);
          expect(out).toBe(text.slice(0, leaks[0]!.start) + '[title]' + text.slice(leaks[0]!.end));
          expect(mentions(out, target)).toBe(false);
        },
      ),
    );
  });

  it('ends on hostile texts', () => {
    const target = film('The Naked Gun: From the Files of Police Squad! (1988)');
    for (const piece of [
      'The Naked Gun ',
      'The Naked Gun A In The Of 1 ',
      '"',
      'The Naked Gun: ',
      '(',
      ' ',
      "'",
    ])
      expect(
        redactTitles('Naked Gun ' + piece.repeat(20_000 / piece.length), [target]).text.length,
      ).toBeGreaterThan(0);
  });

  it('leaves the text alone without a leak', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        const out = redactTitles(text, [film('10 Things I Hate About You (1999)')]);
        expect(out).toEqual({ text, leaks: [] });
      }),
    );
  });
});

describe('redactReply', () => {
  const targets = [film('Heat (1995)'), film('Seven (1995)')];
  it('redacts what nobody has named', () => {
    expect(
      redactReply('I want Heat (1995)', targets, [user('Hi'), assistant('What do you like?')]).text,
    ).toBe('I want [title]');
  });
  it('lets the seeker accept by name what was recommended or given', () => {
    const listed = assistant('Here are some recommendations: 1. Up (2009)2. Heat (1995)3. It (2017)');
    expect(redactReply('Yes, Heat (1995), and then Seven (1995).', targets, [listed]).text).toBe(
      'Yes, Heat (1995), and then [title].',
    );
  });
});

describe('givenLeaks', () => {
  it('reports targets the given dialogue names, by message and role', () => {
    const dialog = [user('I liked Heat (1995)'), assistant('And seven (1995)?')];
    expect(givenLeaks({ dialog, targets: [film('Seven (1995)'), film('Up (2009)')] })).toMatchObject([
      { id: film('Seven (1995)').id, message: 1, role: 'assistant', text: 'seven (1995)' },
    ]);
  });
});

describe.skipIf(!hasRedial)('on ReDial', () => {
  const catalogue = hasRedial ? sharedCatalogue('redial') : null;

  const letters = (text: string) => text.replace(/[^\p{L}\p{N}]/gu, '');

  it('finds every catalogue name in a sentence with its year', () => {
    for (const item of catalogue!.items) {
      const at = findMentions(`I would like to see ${item.name} tonight.`, item);
      // What needs more evidence: everyday words and numbers without a year, and names that are only signs or a year.
      if (at.length === 0) expect(item.name).toMatch(/^\(\d{4}\)$|^[^ ]+$/);
      else expect(letters(at[0]!.text)).toBe(letters(item.name));
    }
  });

  it('finds the targets that dialogues name in full', () => {
    const { dialogues } = readProcessedSet(sharedFile('redial/redial_processed_valid.json'), catalogue!);
    let verbatim = 0;
    let found = 0;
    for (const dialogue of dialogues) {
      const named = new Set(givenLeaks(dialogue).map((l) => l.id));
      for (const target of dialogue.targets) {
        if (!dialogue.dialog.some((m) => m.content.includes(target.name))) continue;
        verbatim++;
        if (named.has(target.id)) found++;
      }
    }
    expect(verbatim).toBe(285);
    expect(found).toBeGreaterThanOrEqual(282);
  });
});
