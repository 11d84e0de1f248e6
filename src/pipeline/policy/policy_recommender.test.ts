import { describe, expect, it } from 'vitest';
import { testPrompts } from '../testing/prompts.ts';
import { items, question, toyWorld } from '../testing/toy_world.ts';
import type { EpisodeState } from '../types.ts';
import { firstContextRoom, fitContext } from './fit_context.ts';
import { PolicyRecommender, type PolicyRecommenderOptions } from './policy_recommender.ts';

function setUp(over: Partial<PolicyRecommenderOptions> = {}) {
  const { chat, policy } = toyWorld({ bias: { [question]: 2 } });
  const recommender = new PolicyRecommender({
    policy,
    chat,
    prompts: testPrompts,
    maxContext: 1000,
    sampling: { maxNewTokens: 6, temperature: 1 },
    ...over,
  });
  return { chat, policy, recommender };
}
const state = (key: string, over: Partial<EpisodeState> = {}): EpisodeState => ({
  key,
  dialogue: { key, index: 0, dialog: [{ role: 'user', content: 'film 1' }], targets: [items[0]!] },
  given: [{ role: 'user', content: 'film 1' }],
  interaction: [],
  turn: 1,
  seed: 77,
  ...over,
});

describe('PolicyRecommender', () => {
  it('asks the engine once for all live episodes, and its answer does not depend on the batch', async () => {
    const { policy, recommender } = setUp();
    const states = Array.from({ length: 9 }, (_, i) => state(`e${i}`, { seed: i }));
    const together = await recommender.respond(states);
    expect(policy.batches).toEqual([9]);
    for (const [i, s] of states.entries()) {
      const alone = await setUp().recommender.respond([s]);
      expect(alone[0]).toEqual(together[i]);
    }
    expect(new Set(together.map((t) => t.text)).size).toBeGreaterThan(1);
  });

  it('continues from the sampled tokens, or from what the seeker saw instead', async () => {
    const { chat, recommender } = setUp();
    const one = state('a');
    const [first] = await recommender.respond([one]);
    const reply = { role: 'user' as const, content: 'no thanks' };
    const next = {
      ...one,
      turn: 2,
      interaction: [{ role: 'assistant' as const, content: first!.text }, reply],
    };
    const [second] = await recommender.respond([next]);
    expect(second!.sample!.prompt).toEqual(
      chat.extend(first!.sample!.prompt, first!.sample!.tokens, 'no thanks'),
    );

    const other = setUp();
    await other.recommender.respond([one]);
    const rewritten = {
      ...next,
      interaction: [{ role: 'assistant' as const, content: 'ten best: x' }, reply],
    };
    const [after] = await other.recommender.respond([rewritten]);
    expect(after!.sample!.prompt).toEqual(
      chat.extend(first!.sample!.prompt, chat.assistantTurn('ten best: x'), 'no thanks'),
    );
  });

  it('refuses a turn whose past it does not know', async () => {
    const { recommender } = setUp();
    await expect(recommender.respond([state('a', { turn: 2 })])).rejects.toThrow(/no recorded turn 1/);
  });

  it('adds the order to recommend in the last exchange', async () => {
    const { chat, recommender } = setUp({ prompts: { ...testPrompts, mustRecommend: 'NOW' } });
    const [turn] = await recommender.respond([state('a', { mustRecommend: true })]);
    expect(chat.tokenizer.decode(turn!.sample!.prompt)).toContain('film 1\nNOW<eot>');
  });

  it('leaves out the oldest messages, then cuts a single long one, and tells', async () => {
    const told: string[] = [];
    const { recommender, chat } = setUp({
      maxContext: 72,
      onShortened: (key, what) => told.push(`${key} ${what}`),
    });
    const given = ['one', 'two', 'three '.repeat(8)].map((content) => ({ role: 'user' as const, content }));
    const [turn] = await recommender.respond([state('a', { given })]);
    const text = chat.tokenizer.decode(turn!.sample!.prompt);
    expect(text).not.toContain('one');
    expect(text).toContain('three');
    expect(turn!.sample!.prompt.length).toBeLessThanOrEqual(72 - 6);
    const huge = [{ role: 'user' as const, content: 'x'.repeat(20000) + 'end' }];
    const [cut] = await recommender.respond([state('b', { given: huge })]);
    expect(cut!.sample!.prompt.length).toBe(72 - 6);
    expect(chat.tokenizer.decode(cut!.sample!.prompt)).toContain('xxend<eot>');
    expect(told).toEqual(['a dialogue', 'b dialogue']);
    expect(recommender.counts.shortenedDialogues).toBe(2);
  });

  it('cuts a reply that does not fit, never the tokens that were sampled', async () => {
    const { recommender } = setUp({
      maxContext: 120,
      turnNum: 2,
      sampling: { maxNewTokens: 3, temperature: 1 },
    });
    const one = state('a');
    const [first] = await recommender.respond([one]);
    const interaction = [
      { role: 'assistant' as const, content: first!.text },
      { role: 'user' as const, content: 'y'.repeat(500) },
    ];
    const [second] = await recommender.respond([{ ...one, turn: 2, interaction }]);
    const { prompt, tokens } = first!.sample!;
    expect(second!.sample!.prompt.slice(0, prompt.length + tokens.length)).toEqual([...prompt, ...tokens]);
    expect(second!.sample!.prompt.length).toBeLessThanOrEqual(117);
    expect(recommender.counts.shortenedReplies).toBe(1);
  });

  it('says what does not fit at all', () => {
    const { chat } = setUp();
    expect(firstContextRoom(100, 2, 10)).toBe(100 - 20 - 96);
    expect(() => fitContext(chat, [{ role: 'user', content: 'hi' }], 3, 'demo:4')).toThrow(
      /demo:4: the prompt alone/,
    );
  });
});
