/** @file The rule seeker: accepts, refuses, describes, and errs at its rate. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { rolloutSeed } from '../episode/seeds.ts';
import { smallDialogue, smallTools } from '../testing/small_catalogue.ts';
import type { EpisodeState, Message, SeekerReply } from '../types.ts';
import { LeakGuard } from './leak_guard.ts';
import { RuleSeeker } from './rule_seeker.ts';

const { titles, catalogue } = smallTools();
const seekerWith = (options: { errorRate?: number; attributeOnly?: boolean } = {}) =>
  new RuleSeeker({ titles, byId: (id) => catalogue.byId(id), errorRate: 0, ...options });

function stateOf(n: number, messages: string[], generation = 0): EpisodeState {
  const dialogue = smallDialogue(catalogue, n);
  const interaction: Message[] = messages.map((content, i) => ({
    role: i % 2 ? 'user' : 'assistant',
    content,
  }));
  return {
    key: `${dialogue.key}/g${generation}`,
    dialogue,
    given: dialogue.dialog,
    interaction,
    turn: Math.ceil(interaction.length / 2),
    seed: rolloutSeed(1, dialogue.key, generation),
  };
}
const ask = async (seeker: RuleSeeker, n: number, messages: string[]): Promise<SeekerReply> =>
  (await seeker.reply([stateOf(n, messages)]))[0]!;
const target = (n: number) => catalogue.items[n]!;

describe('RuleSeeker', () => {
  it('accepts a target in the list or in a question, refuses anything else', async () => {
    const seeker = seekerWith();
    for (const text of [
      `Here are some recommendations: 1. ${target(4).name} 2. ${target(3).name}`,
      `Have you seen ${target(3).name}?`,
      `Have you seen ${target(3).name}? Or would you like a comedy?`,
    ]) {
      expect(await ask(seeker, 3, [text])).toMatchObject({ intent: 'recommendation', accepted: true });
    }
    expect(await ask(seeker, 3, [`How about ${target(5).name}? What genre do you like?`])).toMatchObject({
      intent: 'recommendation',
      accepted: false,
      text: expect.stringMatching(/no|not/i),
    });
  });

  it('answers the question that was asked', async () => {
    const seeker = seekerWith();
    for (let n = 0; n < 40; n++) {
      const item = target(n);
      const reply = async (question: string) => (await ask(seeker, n, [question])).text;
      const genreText = await reply('What kind of films do you like?');
      expect(item.genres.some((genre) => genreText.includes(genre))).toBe(true);
      const starText = await reply('Is there an actor you would like to see?');
      expect(item.stars.some((star) => starText.includes(star))).toBe(true);
      expect(await reply('Do you have a favourite director?')).toContain(item.directors[0]);
      expect(await reply('From which decade should it be?')).toContain(`${Math.floor(item.year! / 10)}0s`);
      expect(await reply('Who should have written it?')).toMatch(/do not mind/);
    }
  });

  it('tells something new each time while it has something to tell', async () => {
    const seeker = seekerWith();
    const messages: string[] = [];
    const replies: string[] = [];
    for (let turn = 0; turn < 3; turn++) {
      messages.push('What do you like?');
      const { text } = await ask(seeker, 7, messages);
      messages.push(text);
      replies.push(text);
    }
    const item = target(7);
    const facts = [...item.genres, ...item.stars, ...item.directors, `${Math.floor(item.year! / 10)}0s`];
    const told = replies.map((text) => facts.filter((fact) => text.includes(fact)));
    expect(told.every((list) => list.length > 0)).toBe(true);
    expect(new Set(told.flat()).size).toBe(told.flat().length);
  });

  it('never names a title, whatever it is asked', async () => {
    const guard = new LeakGuard(seekerWith({ errorRate: 0.2 }));
    await fc.assert(
      fc.asyncProperty(
        fc.nat(39),
        fc.array(fc.lorem({ maxCount: 8 }), { minLength: 1, maxLength: 5 }),
        async (n, asks) => {
          const messages = asks.flatMap((text, i) => (i ? ['Hm.', `${text}?`] : [`${text}?`]));
          const [reply] = await guard.reply([stateOf(n, messages)]);
          expect(reply!.leaks ?? 0).toBe(0);
          expect(reply!.text.toLowerCase()).not.toContain(target(n).name.replace(/ \(.*/, '').toLowerCase());
        },
      ),
      { numRuns: 60 },
    );
  });

  it('is deterministic and does not depend on the batch', async () => {
    const seeker = seekerWith({ errorRate: 0.3 });
    const states = Array.from({ length: 20 }, (_, n) => stateOf(n, ['What do you like?'], n % 4));
    const together = await seeker.reply(states);
    const alone = await Promise.all(
      [...states].reverse().map(async (state) => (await seeker.reply([state]))[0]),
    );
    expect(alone.reverse()).toEqual(together);
  });

  it('errs at its rate, by rollout', async () => {
    const seeker = seekerWith({ errorRate: 0.25 });
    const states = Array.from({ length: 400 }, (_, g) => stateOf(3, [`Have you seen ${target(3).name}?`], g));
    const refused = (await seeker.reply(states)).filter(({ accepted }) => !accepted).length;
    // Binomial(400, 0.25): mean 100, standard deviation 8.7; five of them.
    expect(Math.abs(refused - 100)).toBeLessThan(44);
  });

  it('attribute-only: accepts what has the attributes of a target, also when it is another film', async () => {
    const seeker = seekerWith({ attributeOnly: true });
    const twin = { ...target(0), id: 900, name: 'Twin Copy (1970)' };
    const other = { ...target(0), id: 901, name: 'Other Thing (1970)', genres: ['western'] };
    const reader = {
      list: () => null,
      named: (text: string) => [{ id: text.includes('Twin') ? 900 : 901, start: 14 }],
    };
    const byId = (id: number) => [twin, other].find((item) => item.id === id) ?? catalogue.byId(id);
    const blind = new RuleSeeker({ titles: reader, byId, errorRate: 0, attributeOnly: true });
    expect((await ask(blind, 0, ['Have you seen Twin Copy (1970)?'])).accepted).toBe(true);
    expect((await ask(blind, 0, ['Have you seen Other Thing (1970)?'])).accepted).toBe(false);
    expect((await ask(seeker, 0, [`Have you seen ${target(0).name}?`])).accepted).toBe(true);
  });
});

describe('LeakGuard', () => {
  it('redacts a title nobody named, counts it, and leaves a named one alone', async () => {
    const talker = {
      name: 'talker',
      reply: () =>
        Promise.resolve([
          {
            intent: 'inquiry' as const,
            text: `I want ${target(3).name}!`,
            accepted: false,
            malformedAttempts: 0,
          },
        ]),
    };
    const guard = new LeakGuard(talker);
    const [leaked] = await guard.reply([stateOf(3, ['What do you like?'])]);
    expect(leaked).toMatchObject({ leaks: 1 });
    expect(leaked!.text).not.toContain(target(3).name.split(' ')[0]);
    expect(leaked!.text).toMatch(/^I want .*!$/);
    const [named] = await guard.reply([stateOf(3, [`Have you seen ${target(3).name}?`])]);
    expect(named!.text).toBe(`I want ${target(3).name}!`);
  });
});
