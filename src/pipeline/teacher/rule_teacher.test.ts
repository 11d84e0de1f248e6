/** @file The rule teacher: hears, asks, recommends, and knows only the dialogue. */
import { describe, expect, it } from 'vitest';
import { rolloutSeed } from '../episode/seeds.ts';
import { parseList } from '../response/list_parser.ts';
import { smallDialogue, smallTools } from '../testing/small_catalogue.ts';
import type { EpisodeState, Item, Message } from '../types.ts';
import { ClueReader } from './clues.ts';
import { RuleTeacher, type RuleTeacherOptions } from './rule_teacher.ts';

const { titles, catalogue } = smallTools();
const teacherWith = (options: Partial<RuleTeacherOptions> = {}) =>
  new RuleTeacher({ catalogue, titles, seed: 3, knowledge: 1, errorRate: 0, ...options });

function stateOf(
  said: string[],
  interaction: Message[] = [],
  more: { generation?: number; targets?: Item[] } = {},
) {
  const dialogue = smallDialogue(catalogue, 0, {
    dialog: said.map((content) => ({ role: 'user', content })),
    ...(more.targets ? { targets: more.targets } : {}),
  });
  const generation = more.generation ?? 0;
  const state: EpisodeState = {
    key: `${dialogue.key}/g${generation}`,
    dialogue,
    given: dialogue.dialog,
    interaction,
    turn: interaction.length / 2 + 1,
    seed: rolloutSeed(1, dialogue.key, generation),
  };
  return state;
}
const say = async (teacher: RuleTeacher, state: EpisodeState) => (await teacher.respond([state]))[0]!.text;
const titlesIn = (text: string) => parseList(text)!.titles;

describe('ClueReader', () => {
  const reader = new ClueReader(catalogue, titles);
  const clues = (text: string) =>
    reader
      .read([{ role: 'user', content: text }], [])
      .clues.map((c) => `${c.positive ? '' : '-'}${c.facet}:${c.value}`);
  it.each([
    ['I love funny films with Ada Stone.', ['genre:comedy', 'star:Ada Stone']],
    ['Something scary by Nora Quill from the 90s', ['genre:horror', 'director:Nora Quill', 'decade:1990s']],
    ['I do not like horror. Drama is fine.', ['-genre:horror', 'genre:drama']],
    ['A film from 1984, please', ['decade:1980s']],
    ['Anything.', []],
  ])('%s', (text, expected) => {
    expect(clues(text)).toEqual(expected);
  });
  it('a later statement replaces an earlier one', () => {
    const { clues: found } = reader.read(
      [
        { role: 'user', content: 'I like comedy.' },
        { role: 'user', content: 'No, not comedy.' },
      ],
      [],
    );
    expect(found).toEqual([{ facet: 'genre', value: 'comedy', positive: false }]);
  });
  it('tells liked, offered and refused titles apart', () => {
    const [a, b, c] = catalogue.items as [Item, Item, Item];
    const understood = reader.read(
      [
        { role: 'user', content: `I loved ${a.name}.` },
        { role: 'assistant', content: `Have you seen ${b.name}?` },
      ],
      [{ role: 'assistant', content: `Here are some recommendations: 1. ${c.name}` }],
    );
    expect(understood).toMatchObject({ liked: [a.id], offeredBefore: [b.id], refused: [c.id] });
  });
});

describe('RuleTeacher', () => {
  it('asks when it knows too little, about what it does not know', async () => {
    expect(await say(teacherWith(), stateOf(['Hello!']))).toBe('What kind of films do you like?');
    expect(await say(teacherWith(), stateOf(['I like comedy.']))).toMatch(/actor/);
  });
  it('recommends ten different items in the canonical form when it knows enough', async () => {
    const item = catalogue.items[12]!;
    const text = await say(
      teacherWith(),
      stateOf([
        `I like ${item.genres[0]} with ${item.stars[0]} and ${item.stars[1]} by ${item.directors[0]}.`,
      ]),
    );
    expect(text).toMatch(
      /^Since you like .+ and .+, here are some recommendations: 1\. .+ 10\. .+\(\d{4}\)$/,
    );
    expect(text).not.toContain('\n');
    expect(new Set(titlesIn(text)).size).toBe(10);
    expect(titlesIn(text).slice(0, 2)).toContain(item.name);
  });
  it('recommends when it must, and in the last turn', async () => {
    expect(await say(teacherWith(), { ...stateOf(['Hello!']), mustRecommend: true })).toContain('1. ');
    expect(await say(teacherWith({ turnNum: 1 }), stateOf(['Hello!']))).toContain('1. ');
  });
  it('asks again after a refusal and never repeats what was refused', async () => {
    const teacher = teacherWith({ maxQuestions: 0 });
    const first = await say(teacher, stateOf(['I like comedy with Ada Stone.']));
    const refusal: Message[] = [
      { role: 'assistant', content: first },
      { role: 'user', content: 'No, none of these, sorry.' },
    ];
    expect(await say(teacher, stateOf(['I like comedy with Ada Stone.'], refusal))).toMatch(/\?$/);
    const second = await say(teacher, {
      ...stateOf(['I like comedy with Ada Stone.'], refusal),
      mustRecommend: true,
    });
    expect(titlesIn(second).filter((title) => titlesIn(first).includes(title))).toEqual([]);
  });
  it('does not see the targets', async () => {
    const texts = await Promise.all(
      catalogue.items.map((item) =>
        say(teacherWith({ turnNum: 1 }), stateOf(['I like drama.'], [], { targets: [item] })),
      ),
    );
    expect(new Set(texts).size).toBe(1);
  });
  it('knows less with less knowledge, and errs at its rate', async () => {
    // How often is the item in the list, when a genre and a star were told?
    const found = async (options: Partial<RuleTeacherOptions>) => {
      const teacher = teacherWith({ turnNum: 1, listLength: 5, ...options });
      const hits = await Promise.all(
        catalogue.items.map(async (item, generation) => {
          const told = `I like ${item.genres[0]} with ${item.stars[0]}.`;
          return titlesIn(await say(teacher, stateOf([told], [], { generation }))).includes(item.name);
        }),
      );
      return hits.filter(Boolean).length;
    };
    const all = await found({});
    expect(all).toBeGreaterThan(35);
    expect(await found({ knowledge: 0.5 })).toBeLessThan(all);
    expect(await found({ errorRate: 1 })).toBeLessThan(all);
  });
  it('is deterministic and does not depend on the batch', async () => {
    const teacher = teacherWith({ errorRate: 0.5 });
    const states = Array.from({ length: 12 }, (_, generation) =>
      stateOf(['I like drama.'], [], { generation }),
    );
    const together = (await teacher.respond(states)).map(({ text }) => text);
    const alone = await Promise.all(
      [...states].reverse().map((state) => say(teacherWith({ errorRate: 0.5 }), state)),
    );
    expect(alone.reverse()).toEqual(together);
  });
});
