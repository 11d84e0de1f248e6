import { describe, expect, it } from 'vitest';
import { type FormatFault, formatFaults, formatRule } from './format_check.ts';
import { ruleIntent } from './intent.ts';
import { renderItems, renderRecommendation } from './render_list.ts';

const films = Array.from({ length: 12 }, (_, i) => `Film ${'ABCDEFGHIJKL'[i]} (${1990 + i})`);
const good = renderRecommendation(films.slice(0, 10), 'You like films');
const inquiry = 'What kind of films do you like?';
const prose = 'You might enjoy Heat (1995).';
const RULES = ['original', 'recommendation', 'rule', 'generous'] as const;

describe('formatFaults', () => {
  it('passes a canonical recommendation and an inquiry under every rule', () => {
    for (const rule of [...RULES, 'off'] as const) {
      expect(formatFaults(good, rule, { intent: 'recommendation' })).toEqual([]);
      expect(formatFaults(inquiry, rule, { intent: 'inquiry' })).toEqual([]);
    }
  });

  const nine = `Here you are: ${renderItems(films.slice(0, 9))}`;
  const twelve = renderRecommendation(films);
  const broken = good.replaceAll(/ (?=\d+\. )/g, '\n');
  const asking = `${good} What do you think?`;
  const repeated = renderRecommendation([...films.slice(0, 9), films[0]!]);
  const bullets = `Look:\n${films
    .slice(0, 10)
    .map((f) => `- ${f}`)
    .join('\n')}`;
  it.each<[string, string, Record<(typeof RULES)[number], FormatFault[]>]>([
    [
      'nine items',
      nine,
      {
        original: ['fewer_than_ten'],
        recommendation: ['fewer_than_ten'],
        rule: ['fewer_than_ten', 'no_phrase'],
        generous: [],
      },
    ],
    [
      'twelve items',
      twelve,
      {
        original: ['more_than_ten'],
        recommendation: ['more_than_ten'],
        rule: ['more_than_ten'],
        generous: ['more_than_ten'],
      },
    ],
    ['line breaks', broken, { original: [], recommendation: [], rule: ['line_breaks'], generous: [] }],
    [
      'a question beside the list',
      asking,
      { original: [], recommendation: [], rule: ['asks_as_well'], generous: [] },
    ],
    [
      'a repeated title',
      repeated,
      { original: [], recommendation: [], rule: ['repeated_titles'], generous: [] },
    ],
    [
      'bullets',
      bullets,
      {
        original: ['not_numbered'],
        recommendation: ['not_numbered'],
        rule: ['not_numbered', 'no_phrase', 'line_breaks'],
        generous: ['not_numbered'],
      },
    ],
    [
      'a title in prose',
      prose,
      { original: [], recommendation: ['no_list'], rule: ['no_list'], generous: ['no_list'] },
    ],
    [
      'nothing',
      ' \n',
      { original: ['empty'], recommendation: ['empty'], rule: ['empty'], generous: ['empty'] },
    ],
  ])('%s', (_, text, faults) => {
    for (const rule of RULES)
      expect(formatFaults(text, rule, { intent: 'recommendation' }), rule).toEqual(faults[rule]);
    expect(formatFaults(text, 'off')).toEqual([]);
  });

  it("takes the seeker's word for the intent only under --rec_format_check", () => {
    expect(formatFaults(prose, 'recommendation', { intent: 'inquiry' })).toEqual([]);
    expect(formatFaults(inquiry, 'recommendation', { intent: 'recommendation' })).toEqual(['no_list']);
    expect(formatFaults(prose, 'rule', { intent: 'inquiry' })).toEqual(['no_list']);
  });
});

describe('formatRule', () => {
  it('is chosen by the flags', () => {
    expect(formatRule({})).toBe('original');
    expect(formatRule({ rec_format_check: true })).toBe('recommendation');
    expect(formatRule({ rec_format_check: true, rec_format_check_rule: true })).toBe('rule');
    expect(formatRule({ rec_format_check_rule_generous: true })).toBe('generous');
    expect(formatRule({ rec_format_check: true, off_formatcheck: true })).toBe('off');
  });
});

describe('ruleIntent', () => {
  it.each([
    [good, 'recommendation'],
    ['Have you seen The Other Guys (2010)?', 'recommendation'],
    ['You might also enjoy "Old School" (2003), a comedy.', 'recommendation'],
    ['What specifically did you like about The Birds (1963)?', 'inquiry'],
    ['Since you liked Frozen (2013), what else do you watch?', 'inquiry'],
    ['Do you prefer films released before 2000?', 'inquiry'],
    [inquiry, 'inquiry'],
  ] as const)('%j is a %s', (text, intent) => {
    expect(ruleIntent(text)).toBe(intent);
  });

  it('hears that a title was named before', () => {
    expect(ruleIntent('Risky Business (1983) and its music.', ['I saw Risky Business (1983)'])).toBe(
      'inquiry',
    );
    expect(ruleIntent('Risky Business (1983) and its music.')).toBe('recommendation');
  });
});
