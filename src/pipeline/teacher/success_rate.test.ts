/** @file How well the rule teacher does with the rule seeker: it succeeds more often than not, and it fails sometimes. */
import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { readCatalogue } from '../data/catalogue.ts';
import { readProcessedSet } from '../data/processed_set.ts';
import { runEpisodes } from '../episode/episode.ts';
import { createItemTools } from '../item_tools.ts';
import { RuleSeeker } from '../seeker/rule_seeker.ts';
import { RuleTeacher } from './rule_teacher.ts';

/** Share of dialogues that succeed by the original's criterion, for each T. */
async function successRates(
  folder: string,
  set: string,
  rows: number,
  turnNums: number[],
): Promise<number[]> {
  const file = (name: string) => ({ name, text: readFileSync(`${folder}/${name}`, 'utf8') });
  const { catalogue } = readCatalogue({ entity2id: file('entity2id.json'), id2info: file('id2info.json') });
  const { dialogues } = readProcessedSet(file(set), catalogue, { end: rows, mode: 'report' });
  const { titles, judge } = createItemTools(catalogue);
  const rates: number[] = [];
  for (const turnNum of turnNums) {
    const results = await runEpisodes(
      dialogues.map((dialogue) => ({ dialogue })),
      {
        recommender: new RuleTeacher({ catalogue, titles, seed: 0, turnNum }),
        seeker: new RuleSeeker({ titles, byId: (id) => catalogue.byId(id) }),
        judge,
      },
      { seed: 0, turnNum, success: 'original' },
    );
    rates.push(results.filter(({ record }) => record.success.rewarded).length / results.length);
  }
  return rates;
}

describe('rule teacher with rule seeker', () => {
  const demo = 'public/demo';
  it.skipIf(!existsSync(demo))('on the demo, two turns: between 55 % and 85 %', async () => {
    const [rate] = await successRates(demo, 'demo_processed_test.json', 250, [2]);
    expect(rate).toBeGreaterThan(0.55);
    expect(rate).toBeLessThan(0.85);
  });
  const redial = '../shared/data/redial';
  it.skipIf(!existsSync(redial))(
    'on ReDial with its 6,583 items: far above chance, more with more turns',
    async () => {
      const [two, five] = await successRates(redial, 'redial_processed_valid.json', 50, [2, 5]);
      expect(two).toBeGreaterThan(0.12);
      expect(five).toBeGreaterThan(two!);
      expect(five).toBeGreaterThan(0.6);
    },
  );
});
