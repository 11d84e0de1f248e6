/** @file What a message recommends, and titles in running text. */
import { describe, expect, it } from 'vitest';
import { smallTools } from '../testing/small_catalogue.ts';
import { readMessage } from './intent.ts';

const { titles, catalogue } = smallTools();
const name = (id: number) => catalogue.byId(id)!.name;
const [a, b, c] = catalogue.items.map((item) => item.name) as [string, string, string];
const bare = (title: string) => title.replace(/ \(\d+\)$/, '');
const read = (text: string, before: string[] = []) => {
  const known = new Set(before.map((title) => catalogue.byName(title)!.id));
  const { intent, items } = readMessage(text, titles, known);
  return { intent, items: items.map(name) };
};

describe('readMessage', () => {
  it('a visible list recommends, with or without known titles', () => {
    expect(read(`Here are some recommendations: 1. ${a} 2. ${b}`)).toEqual({
      intent: 'recommendation',
      items: [a, b],
    });
    expect(read('Try: 1. Unknown Thing (1999) 2. Other Thing (2001)')).toEqual({
      intent: 'recommendation',
      items: [],
    });
  });
  it.each([
    [`Have you seen ${a}?`, [a]],
    [`How about ${bare(a)} or ${b}?`, [a, b]],
    [`I think you might enjoy films like ${a}.`, [a]],
    [`${a} is a classic.`, [a]],
    [`Since you liked ${b}, have you seen ${a}?`, [a]],
  ])('%s recommends', (text, items) => {
    expect(read(text, [b])).toEqual({ intent: 'recommendation', items });
  });
  it.each([
    `Since you liked ${b}, what kind of films do you enjoy?`,
    `You mentioned ${b}. Do you like comedies?`,
    `${b} is a classic. Do you like comedies?`,
    'Do you prefer comedies or dramas?',
    '',
  ])('%s asks', (text) => {
    expect(read(text, [b])).toEqual({ intent: 'inquiry', items: [] });
  });
  it('recommends and asks at once: a recommendation', () => {
    expect(read(`Have you seen ${a}? Or do you prefer drama?`).intent).toBe('recommendation');
  });
});

describe('titles in running text', () => {
  it('finds titles with and without year, not parts of longer names', () => {
    const found = (text: string) => titles.named(text).map(({ id }) => name(id));
    expect(found(`i liked ${a.toLowerCase()} and ${bare(b)}`)).toEqual([a, b]);
    expect(found(`${bare(a).toLowerCase()} without its year`)).toEqual([]);
    expect(found(`We saw ${c}, twice`)).toEqual([c]);
    expect(found('')).toEqual([]);
  });
});
