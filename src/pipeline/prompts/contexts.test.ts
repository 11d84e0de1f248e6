/** @file Who sees what. */
import { describe, expect, it } from 'vitest';
import type { Message } from '../types.ts';
import { smallCatalogue } from '../testing/small_catalogue.ts';
import { recommenderContext, seekerContext, teacherContext } from './contexts.ts';
import { STANDARD_PROMPTS as prompts } from './prompts.ts';

const given: Message[] = Array.from({ length: 8 }, (_, i) => ({
  role: i % 2 ? 'assistant' : 'user',
  content: `given ${i}`,
}));
const interaction: Message[] = [
  { role: 'assistant', content: 'What do you like?' },
  { role: 'user', content: 'Comedy.' },
  { role: 'assistant', content: '' },
];
const catalogue = smallCatalogue();
const targets = [catalogue.items[0]!, catalogue.items[7]!];

describe('contexts', () => {
  it('the recommender sees the system prompt, five given messages and the whole interaction', () => {
    const context = recommenderContext({ given, interaction }, prompts);
    expect(context).toEqual([
      { role: 'system', content: prompts.recommender },
      ...given.slice(3),
      ...interaction,
    ]);
    expect(
      recommenderContext({ given: given.slice(0, 2), interaction: [] }, { ...prompts, recommender: '' }),
    ).toEqual(given.slice(0, 2));
  });
  it('the teacher sees the full history, and is told when a recommendation is due', () => {
    const context = teacherContext({ given, interaction }, prompts);
    expect(context.slice(1)).toEqual([...given, ...interaction]);
    const due = teacherContext({ given, interaction, mustRecommend: true }, prompts);
    expect(due[0]!.content).toContain(prompts.mustRecommend);
    expect(context[0]!.content).not.toContain(prompts.mustRecommend);
  });
  it('an assistant who speaks first is preceded by a greeting for chat APIs', () => {
    const context = teacherContext({ given: given.slice(1), interaction: [] }, prompts);
    expect(context[1]).toEqual({ role: 'user', content: 'Hello.' });
    expect(context[2]).toEqual(given[1]);
  });
  it('the seeker sees swapped roles, no empty message, and the titles', () => {
    const context = seekerContext({ given, interaction, dialogue: { targets } }, prompts);
    expect(context[0]!.content).toContain(`"${targets[0]!.name}", "${targets[1]!.name}"`);
    expect(context[1]).toEqual({ role: 'user', content: 'Hello.' });
    expect(context.slice(2).map(({ role }) => role)).toEqual(
      [...given, ...interaction].map(({ role }) => (role === 'user' ? 'assistant' : 'user')),
    );
    expect(context.at(-1)).toEqual({ role: 'user', content: '…' });
  });
  it('an attribute-only seeker never sees a title', () => {
    const context = seekerContext({ given, interaction, dialogue: { targets } }, prompts, {
      attributeOnly: true,
    });
    const text = context[0]!.content;
    for (const { name, genres, stars } of targets) {
      expect(text).not.toContain(name.replace(/ \(.*/, ''));
      expect(text).toContain(genres[0]!);
      expect(text).toContain(stars[0]!);
    }
  });
});
