import { describe, expect, it } from 'vitest';
import { ChatTokens } from '../../policy/chat_tokens.ts';
import { testPrompts } from '../../testing/prompts.ts';
import { toyTokenizer } from '../../testing/toy_tokenizer.ts';
import type { Message } from '../../types.ts';
import { fingerprint, sftExample, type ExampleOptions } from './examples.ts';

const tokenizer = toyTokenizer(['given', 'reply', 'said', 'title'], 'llama');
const chat = new ChatTokens(tokenizer);
const dialog: Message[] = [
  { role: 'user', content: 'given one' },
  { role: 'assistant', content: 'given two' },
  { role: 'user', content: 'given three' },
];
const interaction: Message[] = [
  { role: 'assistant', content: 'said one' },
  { role: 'user', content: 'reply one' },
  { role: 'user', content: 'and more' },
  { role: 'assistant', content: 'said title' },
  { role: 'user', content: 'reply two' },
];
const defaults: ExampleOptions = { trainOnlyInteraction: true, trainSeekerTokens: false, maxLength: 500 };
const make = (over: Partial<ExampleOptions> = {}, row = { dialog, interaction }) =>
  sftExample(chat, testPrompts, row, { ...defaults, ...over }, 'row 0');
/** The supervised runs as text. */
function supervised({ tokens, lossMask }: { tokens: number[]; lossMask: Uint8Array }): string[] {
  const runs: number[][] = [];
  tokens.forEach((token, t) => {
    if (!lossMask[t]) return;
    if (!lossMask[t - 1]) runs.push([]);
    runs.at(-1)!.push(token);
  });
  return runs.map((run) => tokenizer.decode(run));
}

describe('SFT examples', () => {
  it('supervise exactly what the recommender says, its end of turn included', () => {
    expect(supervised(make())).toEqual(['said one<eot>', 'said title<eot>']);
  });

  it('without train_only_interaction also the recommender turns of the given dialogue', () => {
    expect(supervised(make({ trainOnlyInteraction: false }))).toEqual([
      'given two<eot>',
      'said one<eot>',
      'said title<eot>',
    ]);
  });

  it('with train_seeker_tokens also what the seeker says', () => {
    expect(supervised(make({ trainSeekerTokens: true }))).toEqual([
      'said one<eot>',
      'reply one\nand more<eot>',
      'said title<eot>',
      'reply two<eot>',
    ]);
  });

  it('begin with the prompt that the policy will be sampled under', () => {
    const { tokens } = make();
    const prompt = chat.prompt([{ role: 'system', content: testPrompts.recommender }, ...dialog]);
    expect(tokens.slice(0, prompt.length)).toEqual(prompt);
    const first = chat.assistantTurn('said one');
    const second = chat.extend(prompt, first, 'reply one\nand more');
    expect(tokens).toEqual([...second, ...chat.assistantTurn('said title')]);
  });

  it('lose their oldest messages, whole, when they are too long, and say how many', () => {
    const whole = make();
    for (let maxLength = whole.tokens.length; maxLength >= 20; maxLength--) {
      const e = make({ maxLength });
      expect(e.tokens.length).toBeLessThanOrEqual(maxLength);
      expect(supervised(e).at(-1)!.endsWith('said title<eot>') || e.cutTokens > 0).toBe(true);
      if (e.cutTokens === 0)
        expect(tokenizer.decode(e.tokens).startsWith('<bos><system>\nr<eot>')).toBe(true);
      expect(e.droppedMessages > 0).toBe(maxLength < whole.tokens.length);
    }
    expect(make({ maxLength: whole.tokens.length - 1 })).toMatchObject({ droppedMessages: 1, cutTokens: 0 });
  });

  it('refuse a row that leaves nothing to train on, by its place', () => {
    expect(() => make({}, { dialog, interaction: [{ role: 'user', content: 'x' }] })).toThrow();
    expect(() => make({}, { dialog, interaction: [] })).toThrow('row 0: no recommender token');
  });

  it('have a fingerprint that sees every token and mask', () => {
    const [a, b] = [make(), make({ trainSeekerTokens: true })];
    expect(fingerprint([a])).toBe(fingerprint([make()]));
    expect(fingerprint([a])).not.toBe(fingerprint([b]));
    expect(fingerprint([a, b])).not.toBe(fingerprint([b, a]));
  });
});
