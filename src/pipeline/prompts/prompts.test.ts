/** @file Prompt sets: overriding from a file, filling in. */
import { describe, expect, it } from 'vitest';
import { InputError } from '../../core/errors.ts';
import { DEMO_PROMPTS, fillPrompt, parsePromptFile, STANDARD_PROMPTS } from './prompts.ts';

describe('built-in prompts', () => {
  it('carry the placeholders the contexts fill in', () => {
    expect(STANDARD_PROMPTS.seeker).toContain('{targets}');
    expect(STANDARD_PROMPTS.attributeSeeker).toContain('{attributes}');
    expect(STANDARD_PROMPTS.attributeSeeker).not.toContain('{targets}');
    expect(STANDARD_PROMPTS.recommender).toContain('here are some recommendations:');
  });
  it('cost the demo model few words', () => {
    expect(DEMO_PROMPTS.recommender.split(' ').length).toBeLessThan(8);
  });
});

describe('parsePromptFile', () => {
  it('overrides what is given and keeps the rest of the base', () => {
    const set = parsePromptFile('{"base":"demo","teacher":"Recommend."}', 'my.json');
    expect(set.teacher).toBe('Recommend.');
    expect(set.recommender).toBe(DEMO_PROMPTS.recommender);
    expect(set.name).toBe('demo+my.json');
  });
  it('lets the recommender do without a system prompt', () => {
    expect(parsePromptFile('{"recommender":""}', 'p').recommender).toBe('');
  });
  it.each([
    ['{"seeker":"You want a film."}', 'seeker'],
    ['{"attributeSeeker":"{targets}"}', 'attributeSeeker'],
    ['{"reccomender":"x"}', 'reccomender'],
    ['{"teacher":7}', 'teacher'],
    ['{', 'not JSON'],
    ['[]', 'the file'],
  ])('refuses %s and names the place', (text, where) => {
    expect(() => parsePromptFile(text, 'my.json')).toThrow(InputError);
    expect(() => parsePromptFile(text, 'my.json')).toThrow(where);
    expect(() => parsePromptFile(text, 'my.json')).toThrow('my.json');
  });
});

describe('fillPrompt', () => {
  it('fills every occurrence and leaves unknown braces alone', () => {
    expect(fillPrompt('{a} {b} {a} {c}', { a: 1, b: '$& {a}' })).toBe('1 $& {a} 1 {c}');
  });
});
