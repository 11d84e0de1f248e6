import { describe, expect, it } from 'vitest';
import { film, trickyCatalogue } from '../../../tests/support/tricky_catalogue.ts';
import { LexicalRetriever } from '../retrieval/lexical.ts';
import type { Item, Judgement } from '../types.ts';
import { readList, ResponseJudge, succeeds } from './judge.ts';
import { parseList } from './list_parser.ts';
import { ListRewriter } from './rerank.ts';
import { TitleLinker } from './title_linker.ts';

const linker = new TitleLinker(trickyCatalogue);
const retriever = new LexicalRetriever(trickyCatalogue, linker);
const judge = new ResponseJudge({ catalogue: trickyCatalogue, linker, retriever, topk: 3 });
const judgeOne = async (text: string, targets: Item[]): Promise<Judgement> =>
  (await judge.judge([{ text, targets }]))[0]!;

describe('ResponseJudge', () => {
  it('tells listed, linked, shown and retrieved apart', async () => {
    const text = 'Here: 1. Heat (1996) 2. Made Up Film (2020) 3. Se7en (1995) 4. Up (2009) 5. It (2017)';
    const judgement = await judgeOne(text, [film('It (2017)'), film('Seven (1995)')]);
    expect(judgement.listed).toEqual([
      'Heat (1996)',
      'Made Up Film (2020)',
      'Se7en (1995)',
      'Up (2009)',
      'It (2017)',
    ]);
    expect(judgement.linked).toEqual([
      film('Heat (1995)').id,
      null,
      film('Seven (1995)').id,
      film('Up (2009)').id,
      film('It (2017)').id,
    ]);
    expect(judgement.shownTargets).toEqual([film('It (2017)').id, film('Seven (1995)').id]);
    // topk is 3: Heat, Seven, Up.
    expect(judgement.retrievedTargets).toEqual([film('Seven (1995)').id]);
    expect(judgement.retrieved).toHaveLength(trickyCatalogue.items.length);
  });

  it('retrieves for a message without a list, which shows nothing', async () => {
    const judgement = await judgeOne('A crime drama with Al Pacino and Robert De Niro?', [
      film('Heat (1995)'),
    ]);
    expect(judgement).toMatchObject({
      listed: [],
      linked: [],
      shownTargets: [],
      retrievedTargets: [film('Heat (1995)').id],
    });
  });

  it('gives every message of a batch what it would get alone', async () => {
    const messages = ['1. Heat 2. Up', 'horror by Stanley Kubrick', ''].map((text) => ({
      text,
      targets: [film('Up (2009)')],
    }));
    const together = await judge.judge(messages);
    for (const [i, message] of messages.entries())
      expect(await judge.judge([message])).toEqual([together[i]]);
  });

  it('shows an undated catalogue entry by its dated title', () => {
    const undated = film('Back to the Future');
    expect(readList('1. Back to the Future (1985) 2. Up (2009)', [undated], linker).shownTargets).toEqual([
      undated.id,
    ]);
  });
});

describe('succeeds', () => {
  const targets = [film('Heat (1995)')];
  const base: Judgement = { listed: [], linked: [], retrieved: [], shownTargets: [], retrievedTargets: [] };
  const of = (
    part: Partial<Judgement>,
    success: 'original' | 'shown' | 'strict',
    accepted: boolean,
    training: boolean,
  ) => succeeds({ ...base, ...part }, targets, { success, accepted, training });

  it('original: retrieved, or a verbatim title in training', () => {
    expect(of({ retrievedTargets: [100] }, 'original', false, false)).toBe(true);
    expect(of({ listed: ['Heat (1995)'], shownTargets: [100] }, 'original', true, false)).toBe(false);
    expect(of({ listed: ['Heat (1995)'] }, 'original', false, true)).toBe(true);
    expect(of({ listed: ['Heat (1996)'], shownTargets: [100] }, 'original', true, true)).toBe(false);
  });

  it('shown and strict: the visible list, and the seeker', () => {
    expect(of({ retrievedTargets: [100] }, 'shown', true, true)).toBe(false);
    expect(of({ shownTargets: [100] }, 'shown', false, true)).toBe(true);
    expect(of({ shownTargets: [100] }, 'strict', false, true)).toBe(false);
    expect(of({ shownTargets: [100] }, 'strict', true, false)).toBe(true);
    expect(of({ retrievedTargets: [100] }, 'strict', true, true)).toBe(false);
  });
});

describe('ListRewriter', () => {
  const rewriter = new ListRewriter(trickyCatalogue, linker);

  it('puts hits first, keeps the list in order without repeats, and refills to ten', async () => {
    const text =
      'You like crime, so here are a few films you might enjoy:\n1. Up\n2. Heat (1995)\n3. heat (1995)\n4. Made Up Film (2020)\n5. Se7en (1995)\nEnjoy!';
    const judgement = await new ResponseJudge({ catalogue: trickyCatalogue, linker, retriever }).judge([
      { text, targets: [film('Seven (1995)')] },
    ]);
    const out = rewriter.rerank(text, judgement[0]!);
    const list = parseList(out)!;
    expect(list.titles.slice(0, 4)).toEqual([
      'Seven (1995)',
      'Up (2009)',
      'Heat (1995)',
      'Made Up Film (2020)',
    ]);
    expect(list.titles).toHaveLength(10);
    expect(new Set(list.titles).size).toBe(10);
    expect(out).toMatch(/^You like crime, so, here are some recommendations: 1\. Seven/);
    expect(out).not.toContain('\n');
    expect(out).not.toContain('Enjoy');
  });

  it('changes nothing but the hit order when it is applied again', async () => {
    const all = new ResponseJudge({ catalogue: trickyCatalogue, linker, retriever });
    const targets = [film('Up (2009)')];
    const first = (await all.judge([{ text: 'Here are some recommendations: 1. Heat 2. Up', targets }]))[0]!;
    const once = rewriter.rerank('Here are some recommendations: 1. Heat 2. Up', first);
    const again = (await all.judge([{ text: once, targets }]))[0]!;
    expect(rewriter.rerank(once, again)).toBe(once);
  });

  it('writes what was retrieved as a list', async () => {
    const judgement = await judgeOne('horror by Stanley Kubrick', []);
    const list = parseList(rewriter.retrievedList(judgement))!;
    expect(list.titles).toHaveLength(10);
    expect(list.titles[0]).toBe('The Shining (1980)');
  });
});
