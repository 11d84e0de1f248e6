/** @file Episodes: stopping rules, success notions, rewriting, seeds, and independence of the batch. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { RuleSeeker } from '../seeker/rule_seeker.ts';
import { RuleTeacher } from '../teacher/rule_teacher.ts';
import { smallDialogue, smallTools } from '../testing/small_catalogue.ts';
import type { EpisodeState, Judgement, Recommender, Seeker, SeekerReply } from '../types.ts';
import { runEpisodes, type EpisodeSettings, type Judge, type Rewriter } from './episode.ts';

const tools = smallTools();
const { catalogue, titles } = tools;

/** What happens in one turn of a scripted episode. */
interface Turn {
  intent: SeekerReply['intent'];
  hit: boolean;
  shown: boolean;
  verbatim: boolean;
  accepted: boolean;
}

/** Participants that play a script: the recommender says the turn as JSON, judge and seeker read it. */
function scripted(scripts: Turn[][]) {
  const calls = { recommender: [] as number[], seeker: [] as number[] };
  const read = (text: string) => JSON.parse(text.replace(/^rewritten /, '')) as Turn;
  const recommender: Recommender = {
    name: 'script',
    respond: (states) => {
      calls.recommender.push(states.length);
      return Promise.resolve(
        states.map((state) => ({ text: JSON.stringify(scripts[state.dialogue.index]![state.turn - 1]!) })),
      );
    },
  };
  const judge: Judge = {
    judge: (messages) =>
      Promise.resolve(
        messages.map(({ text, targets }): Judgement => {
          const { hit, shown, verbatim } = read(text);
          const { id, name } = targets[0]!;
          return {
            listed: verbatim ? [name] : shown ? [name.toUpperCase()] : [],
            linked: shown ? [id] : [],
            retrieved: hit ? [id, 1, 2] : [1, 2],
            shownTargets: shown ? [id] : [],
            retrievedTargets: hit ? [id] : [],
          };
        }),
      ),
  };
  const seeker: Seeker = {
    name: 'script',
    reply: (states) => {
      calls.seeker.push(states.length);
      return Promise.resolve(
        states.map((state) => {
          const { intent, accepted } = read(state.interaction.at(-1)!.content);
          return {
            intent,
            accepted,
            text: `reply ${state.turn}`,
            malformedAttempts: intent === 'malformed' ? 2 : 0,
          };
        }),
      );
    },
  };
  return { recommender, judge, seeker, calls };
}

const turn = fc.record({
  intent: fc.constantFrom<SeekerReply['intent']>(
    'recommendation',
    'recommendation',
    'inquiry',
    'inquiry',
    'malformed',
  ),
  hit: fc.boolean(),
  shown: fc.boolean(),
  verbatim: fc.boolean(),
  accepted: fc.boolean(),
});
const settingsOf = fc.record({
  seed: fc.nat(),
  turnNum: fc.integer({ min: 1, max: 5 }),
  success: fc.constantFrom('original', 'shown', 'strict'),
  training: fc.boolean(),
  hardcore: fc.boolean(),
}) as fc.Arbitrary<EpisodeSettings>;

/** The rule written out again, one turn after the other. */
function expected(script: Turn[], settings: EpisodeSettings) {
  const paid = (t: Turn) =>
    t.intent === 'recommendation' &&
    (settings.success === 'original'
      ? t.hit || (settings.training && t.verbatim)
      : t.shown && (settings.success === 'shown' || t.accepted));
  for (let n = 1; n <= settings.turnNum; n++) {
    const t = script[n - 1]!;
    if (t.intent === 'malformed') return { ended: 'malformed', turns: n, successTurn: 0 };
    if (paid(t)) return { ended: 'success', turns: n, successTurn: n };
    if (settings.hardcore && t.intent === 'recommendation')
      return { ended: 'recommendation', turns: n, successTurn: 0 };
  }
  return { ended: 'turn_limit', turns: settings.turnNum, successTurn: 0 };
}

describe('stopping rules', () => {
  it('hold for every script and every setting, all episodes in one batch', async () => {
    const script = fc.array(turn, { minLength: 5, maxLength: 5 });
    await fc.assert(
      fc.asyncProperty(
        fc.array(script, { minLength: 1, maxLength: 6 }),
        settingsOf,
        async (scripts, settings) => {
          const { calls, ...participants } = scripted(scripts);
          const requests = scripts.map((_, n) => ({ dialogue: smallDialogue(catalogue, n) }));
          const results = await runEpisodes(requests, participants, settings);
          results.forEach((result, n) => {
            const want = expected(scripts[n]!, settings);
            expect(result.ended).toBe(want.ended);
            expect(result.turns).toHaveLength(want.turns);
            expect(result.record.successTurn).toBe(want.successTurn);
            expect(result.record.success.rewarded).toBe(want.successTurn > 0);
            expect(result.record.reward).toBe(want.successTurn > 0 ? 1 : 0);
            const played = scripts[n]!.slice(0, want.turns);
            const recommended = played.filter(({ intent }) => intent === 'recommendation');
            expect(result.record.success.shown).toBe(recommended.some(({ shown }) => shown));
            expect(result.record.success.retrieved).toBe(recommended.some(({ hit }) => hit));
            expect(result.record.success.accepted).toBe(recommended.some(({ accepted }) => accepted));
            expect(result.lastTurnSuccess).toBe(played.at(-1)!.hit);
            expect(result.record.malformed).toBe(want.ended === 'malformed' ? 2 : 0);
            expect(result.state.interaction.map(({ role }) => role)).toEqual(
              played.flatMap(() => ['assistant', 'user']),
            );
          });
          // Only live episodes are asked.
          const lengths = results.map(({ turns }) => turns.length);
          expect(calls.recommender).toEqual(
            Array.from({ length: Math.max(...lengths) }, (_, t) => lengths.filter((n) => n > t).length),
          );
          expect(calls.seeker).toEqual(calls.recommender);
        },
      ),
      { numRuns: 150 },
    );
  });
});

describe('rewriting', () => {
  const plain: Turn = {
    intent: 'recommendation',
    hit: false,
    shown: false,
    verbatim: false,
    accepted: false,
  };
  const rewriter: Rewriter = {
    rerank: (text) => `rewritten ${text}`,
    retrievedList: () => `rewritten ${JSON.stringify({ ...plain, shown: true })}`,
  };
  const run = async (script: Turn[], settings: Partial<EpisodeSettings>) => {
    const { recommender, judge, seeker } = scripted([script]);
    const [result] = await runEpisodes(
      [{ dialogue: smallDialogue(catalogue, 0) }],
      { recommender, judge, seeker, rewriter },
      { seed: 1, turnNum: 2, success: 'original', ...settings },
    );
    return result!;
  };

  it('--rerank rewrites a successful list before the seeker sees it, and only that', async () => {
    const good = { ...plain, hit: true, shown: true };
    const result = await run([good, good], { rerank: true });
    expect(result.turns[0]).toMatchObject({ edited: true, said: { text: JSON.stringify(good) } });
    expect(result.state.interaction[0]!.content).toMatch(/^rewritten/);
    expect(result.record).toMatchObject({ edited: true, successTurn: 1 });
    expect((await run([plain, plain], { rerank: true })).record.edited).toBe(false);
    expect((await run([{ ...good, shown: false }, plain], { rerank: true })).record.edited).toBe(false);
  });
  it('--last_turn_recommend makes a list of what the last message retrieved; retrieval stays that of the message', async () => {
    const talk: Turn = { ...plain, intent: 'inquiry' };
    const result = await run([talk, { ...talk, hit: true }], { lastTurnRecommend: true });
    expect(result.turns.map(({ edited }) => edited)).toEqual([false, true]);
    expect(result.turns[1]!.judgement.shownTargets).toHaveLength(1);
    expect(result.turns[1]!.record).toMatchObject({ hit: true, shown: true });
    expect(result.ended).toBe('success');
    expect((await run([talk, { ...plain, shown: true }], { lastTurnRecommend: true })).record.edited).toBe(
      false,
    );
  });
  it('--rec_success_recommend does so as soon as a message retrieves a target', async () => {
    const result = await run([{ ...plain, intent: 'inquiry', hit: true }, plain], {
      recSuccessRecommend: true,
    });
    expect(result.record).toMatchObject({ edited: true, successTurn: 1 });
  });
  it('asks for a rewriter', async () => {
    const { recommender, judge, seeker } = scripted([[plain]]);
    const settings = { seed: 1, turnNum: 1, success: 'original', rerank: true } as const;
    await expect(runEpisodes([], { recommender, judge, seeker }, settings)).rejects.toThrow(RangeError);
  });
});

describe('episodes between rule teacher and rule seeker', () => {
  const participants = {
    recommender: new RuleTeacher({ catalogue, titles, seed: 1, errorRate: 0.3, knowledge: 0.7 }),
    seeker: new RuleSeeker({ titles, byId: (id) => catalogue.byId(id), errorRate: 0.3 }),
    judge: tools.judge,
    rewriter: tools.rewriter,
  };
  const settings: EpisodeSettings = {
    seed: 5,
    turnNum: 4,
    success: 'strict',
    rerank: true,
    lastTurnRecommend: true,
  };
  const requests = Array.from({ length: 30 }, (_, n) => ({
    dialogue: smallDialogue(catalogue, n % 10),
    generation: Math.floor(n / 10),
    ...(n % 3
      ? {}
      : {
          prefix: [
            { role: 'assistant' as const, content: 'Hi!' },
            { role: 'user' as const, content: 'I like drama.' },
          ],
        }),
  }));

  it('do not depend on the batch they share, its order, or on how often they are run', async () => {
    const together = await runEpisodes(requests, participants, settings);
    const again = await runEpisodes([...requests].reverse(), participants, settings);
    expect(again.reverse().map(({ record }) => record)).toEqual(together.map(({ record }) => record));
    for (const i of [0, 7, 29]) {
      const [alone] = await runEpisodes([requests[i]!], participants, settings);
      expect(alone!.record).toEqual(together[i]!.record);
      expect(alone!.state).toEqual(together[i]!.state);
    }
  });
  it('differ within a group, by generation, attempt and seed', async () => {
    const dialogue = smallDialogue(catalogue, 3);
    const seeds = async (changes: object, runSeed = 5) => {
      const [result] = await runEpisodes([{ dialogue, ...changes }], participants, {
        ...settings,
        seed: runSeed,
      });
      return result!.record.seed;
    };
    const all = [
      await seeds({}),
      await seeds({ generation: 1 }),
      await seeds({ attempt: 1 }),
      await seeds({}, 6),
    ];
    expect(new Set(all).size).toBe(4);
    const group = await runEpisodes(
      Array.from({ length: 12 }, (_, generation) => ({ dialogue, generation })),
      participants,
      settings,
    );
    expect(new Set(group.map(({ record }) => JSON.stringify(record.turns))).size).toBeGreaterThan(1);
    expect(new Set(group.map(({ record }) => record.key)).size).toBe(12);
  });
  it('see the prefix as part of the given dialogue and leave the dialogue as it was', async () => {
    const before = JSON.stringify(requests[0]!.dialogue.dialog);
    const [result] = await runEpisodes([requests[0]!], participants, settings);
    expect(result!.state.given).toHaveLength(3);
    expect(JSON.stringify(requests[0]!.dialogue.dialog)).toBe(before);
  });
  it('stop when the signal does', async () => {
    const controller = new AbortController();
    const seeker: Seeker = {
      name: 'stop',
      reply: (states: readonly EpisodeState[], signal) => {
        controller.abort(new Error('stop'));
        signal!.throwIfAborted();
        return participants.seeker.reply(states);
      },
    };
    await expect(
      runEpisodes(requests, { ...participants, seeker }, settings, { signal: controller.signal }),
    ).rejects.toThrow('stop');
  });
  it('tell of every exchange as it happens', async () => {
    const heard: string[] = [];
    const results = await runEpisodes(requests.slice(0, 3), participants, settings, {
      onTurn: (index, { text }) => heard.push(`${index} ${text}`),
    });
    expect(heard.sort()).toEqual(
      results.flatMap(({ turns }, i) => turns.map(({ text }) => `${i} ${text}`)).sort(),
    );
  });
});
