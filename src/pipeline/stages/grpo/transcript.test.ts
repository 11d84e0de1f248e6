import { describe, expect, it } from 'vitest';
import { runEpisodes, type EpisodeSettings } from '../../episode/episode.ts';
import { PolicyRecommender } from '../../policy/policy_recommender.ts';
import { testPrompts } from '../../testing/prompts.ts';
import { badList, question, toyWorld, type ToyOptions } from '../../testing/toy_world.ts';
import type { ToyTemplate } from '../../testing/toy_tokenizer.ts';
import { replayTeacher, transcribeText } from './teacher_rollout.ts';
import { lossMask, transcribe } from './transcript.ts';

const settings: EpisodeSettings = { seed: 5, turnNum: 3, success: 'original', training: true };
const everything = { recommendationMask: false, maxTrainTurn: Infinity };

async function episodes(world: ToyOptions, over: Partial<EpisodeSettings> = {}, maxNewTokens = 6) {
  const toy = toyWorld(world);
  const recommender = new PolicyRecommender({
    policy: toy.policy,
    chat: toy.chat,
    prompts: testPrompts,
    maxContext: 1000,
    turnNum: 3,
    sampling: { maxNewTokens, temperature: 1 },
  });
  const requests = toy.rows.map(({ dialogue }) => ({ dialogue }));
  const results = await runEpisodes(requests, { ...toy, recommender }, { ...settings, ...over });
  return { ...toy, results };
}

describe('transcripts', () => {
  it.each<ToyTemplate>(['llama', 'qwen', 'default_system', 'plain'])(
    'hold exactly what was sampled, under exactly the context it was sampled under: %s',
    async (template) => {
      for (const maxNewTokens of [1, 2, 6]) {
        // One token a turn: every turn runs out of length and is closed outside the loss.
        const { results, chat, policy } = await episodes(
          { template, bias: { [question]: 3 } },
          {},
          maxNewTokens,
        );
        expect(results.some((r) => r.turns.length > 1)).toBe(true);
        const transcripts = results.map((r) => transcribe(r, chat));
        const scores = await policy.logprobs(transcripts.map((t) => t.tokens));
        transcripts.forEach((t, i) => {
          const mask = lossMask(t, everything);
          const sampled = results[i]!.turns.map((turn) => turn.said.sample!);
          expect(t.tokens.filter((_, at) => mask[at])).toEqual(sampled.flatMap((s) => s.tokens));
          t.turns.forEach(({ start, end }, k) => {
            expect(t.tokens.slice(0, start)).toEqual(sampled[k]!.prompt);
            expect(t.tokens.slice(start, end)).toEqual(sampled[k]!.tokens);
            for (let at = start; at < end; at++) expect(t.logprobs[at]).toBeCloseTo(scores[i]![at]!, 5);
          });
          t.logprobs.forEach((lp, at) => expect(Number.isNaN(lp)).toBe(mask[at] === 0));
        });
      }
    },
  );

  it('mask recommendation turns before the last, and turns after max_train_turn', async () => {
    const { results, chat } = await episodes({ bias: { [badList]: 3, [question]: 2 }, dialogues: 24 });
    const long = results.map((r) => transcribe(r, chat)).filter((t) => t.turns.length === 3);
    expect(long.some((t) => t.turns.slice(0, -1).some((turn) => turn.recommendation))).toBe(true);
    expect(long.some((t) => t.turns.slice(0, -1).some((turn) => !turn.recommendation))).toBe(true);
    for (const t of long) {
      const masked = lossMask(t, { ...everything, recommendationMask: true });
      const first = lossMask(t, { ...everything, maxTrainTurn: 1 });
      t.turns.forEach(({ start, end, turn, recommendation }) => {
        expect(masked.slice(start, end)).toEqual(Array(end - start).fill(recommendation && turn < 3 ? 0 : 1));
        expect(first.slice(start, end)).toEqual(Array(end - start).fill(turn === 1 ? 1 : 0));
      });
      expect(masked.reduce((a, b) => a + b, 0)).toBeLessThanOrEqual(
        t.turns.reduce((n, { start, end }) => n + end - start, 0),
      );
    }
  });

  it('hold a rewritten turn as the seeker saw it, its log-probs unknown', async () => {
    const { results, chat } = await episodes({ dialogues: 24 }, { rerank: true });
    const edited = results.filter((r) => r.turns.some((t) => t.edited));
    expect(edited.length).toBeGreaterThan(0);
    for (const result of edited) {
      const t = transcribe(result, chat);
      const { start, end, edited: marked } = t.turns.at(-1)!;
      expect(marked).toBe(true);
      expect(chat.text(t.tokens.slice(start, end))).toBe('ten best: Heat (1995)');
      expect(t.tokens[end - 1]).toBe(chat.endOfTurn);
      expect([...t.logprobs.slice(start, end)].every(Number.isNaN)).toBe(true);
      expect(t.tokens.slice(0, start)).toEqual(result.turns.at(-1)!.said.sample!.prompt);
    }
  });

  it('of the teacher begin with the prompt of a rollout and stop where it succeeds', async () => {
    const toy = toyWorld();
    const row = toy.rows[0]!;
    const prefix = row.interaction.slice(0, 2);
    const result = await replayTeacher(row, prefix, 3, toy, { ...settings, turnNum: 2 });
    expect(result!.record).toMatchObject({ successTurn: 2, generation: 3, success: { rewarded: true } });
    const t = transcribeText(result!, toy.chat, testPrompts, 500);
    const prompt = toy.chat.prompt([
      { role: 'system', content: testPrompts.recommender },
      ...row.dialogue.dialog,
      ...prefix,
    ]);
    expect(t.tokens.slice(0, prompt.length)).toEqual(prompt);
    const first = toy.chat.assistantTurn('what about');
    const context = toy.chat.extend(prompt, first, 'no thanks');
    expect(t.tokens).toEqual([...context, ...toy.chat.assistantTurn('Heat (1995)')]);
    expect(t.turns.map((turn) => [turn.start, turn.recommendation])).toEqual([
      [prompt.length, false],
      [context.length, true],
    ]);
    expect(await replayTeacher({ ...row, interaction: [] }, [], 0, toy, settings)).toBeNull();
  });
});
