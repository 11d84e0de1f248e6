/** @file Prepare: every drop and rewrite has its reason; real transcripts become SFT data. */
import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { InputError } from '../../core/errors.ts';
import { MemoryStore } from '../../core/memory_store.ts';
import { readCatalogue } from '../data/catalogue.ts';
import { jsonlLine } from '../data/jsonl.ts';
import { readRolloutRows, type RolloutRow } from '../data/rollout_rows.ts';
import { readSftData, writeSftData } from '../data/sft_data.ts';
import { isWellFormed } from '../response/format_check.ts';
import { ResponseJudge } from '../response/judge.ts';
import { parseList } from '../response/list_parser.ts';
import { ListRewriter } from '../response/rerank.ts';
import { TitleLinker } from '../response/title_linker.ts';
import { LexicalRetriever } from '../retrieval/lexical.ts';
import { LinkedTitleReader } from '../seeker/title_reader.ts';
import { openRun } from '../testing/run.ts';
import { smallTools } from '../testing/small_catalogue.ts';
import type { Item, Message } from '../types.ts';
import { prepareRows, runPrepare } from './prepare.ts';

const tools = smallTools();
const { catalogue } = tools;
const [target, other, third] = [0, 1, 2].map((i) => catalogue.items[i]!) as [Item, Item, Item];

const talk = (...contents: string[]): Message[] =>
  contents.map((content, i) => ({ role: i % 2 ? 'user' : 'assistant', content }));
const rowOf = (changes: Partial<RolloutRow> = {}): RolloutRow => ({
  id: 1,
  given_dialog: [{ role: 'user', content: 'Hi' }],
  generated_dialog: talk('What do you like?', 'Drama.', `Try these: 1. ${other.name}2. ${target.name}`, ''),
  rec_success: true,
  rec_names: [target.name],
  rec_ids: [target.id],
  topk_names: [target.name, third.name],
  topk_ids: [target.id, third.id],
  ...changes,
});
const prepare = (
  rows: RolloutRow[],
  options: { successOnly?: boolean; rerank?: boolean; last?: number } = {},
) => prepareRows(rows, 'rows', tools, { successOnly: false, rerank: false, ...options });

describe('prepareRows', () => {
  it('keeps a row as it is, without the empty last reply', async () => {
    const { rows, report } = await prepare([rowOf()]);
    expect(rows).toEqual([
      {
        dialog: [{ role: 'user', content: 'Hi' }],
        interaction: rowOf().generated_dialog.slice(0, 3),
        target_items: [target.name],
        base_turn: 2,
        key: 'rows:0',
      },
    ]);
    expect(report).toEqual({
      read: 1,
      written: 1,
      dropped: {},
      changed: { empty_last_reply_removed: 1 },
      baseTurns: { 2: 1 },
    });
  });

  it('--success_only keeps successes', async () => {
    const { rows, report } = await prepare([rowOf({ rec_success: false }), rowOf({ key: 'k' })], {
      successOnly: true,
    });
    expect(rows.map(({ key }) => key)).toEqual(['k']);
    expect(report.dropped).toEqual({ not_successful: 1 });
  });

  it('--rerank puts hits first in the canonical form, and leaves failures alone', async () => {
    const { rows, report } = await prepare([rowOf(), rowOf({ rec_success: false })], { rerank: true });
    const list = parseList(rows[0]!.interaction[2]!.content)!;
    expect(list.titles.slice(0, 3)).toEqual([target.name, other.name, third.name]);
    expect(isWellFormed(rows[0]!.interaction[2]!.content, 'rule')).toBe(true);
    expect(rows[1]!.interaction[2]!.content).toBe(rowOf().generated_dialog[2]!.content);
    expect(report.changed).toMatchObject({ reranked: 1 });
  });

  it('--rerank makes a list of titles in the text, hits first, and leaves questions alone', async () => {
    const asks = talk(`Have you seen ${other.name}?`, 'Yes!');
    const { rows, report } = await prepare(
      [rowOf({ generated_dialog: asks }), rowOf({ generated_dialog: talk('What do you like?', 'Drama.') })],
      { rerank: true },
    );
    expect(parseList(rows[0]!.interaction[0]!.content)!.titles.slice(0, 2)).toEqual([
      target.name,
      other.name,
    ]);
    expect(rows[1]!.interaction[0]!.content).toBe('What do you like?');
    expect(report.changed).toMatchObject({
      list_written_for_titles_in_text: 1,
      not_reranked_no_recommendation: 1,
    });
  });

  it('--last N moves earlier exchanges into the dialogue', async () => {
    const long = talk('A?', 'a', 'B?', 'b', 'C!', 'c');
    const { rows, report } = await prepare([rowOf({ generated_dialog: long }), rowOf()], { last: 2 });
    expect(rows[0]!.dialog).toEqual([{ role: 'user', content: 'Hi' }, ...long.slice(0, 2)]);
    expect(rows[0]!.interaction).toEqual(long.slice(2));
    expect(rows.map(({ base_turn }) => base_turn)).toEqual([2, 2]);
    expect(report.changed.exchanges_moved_to_dialogue).toBe(1);
  });

  it('puts disorder right where it can and drops the rest, with reasons', async () => {
    const seekerFirst: Message[] = [{ role: 'user', content: 'Well' }, ...talk('A?', 'a')];
    const doubled: Message[] = [
      ...talk('A?'),
      { role: 'assistant', content: 'B?' },
      { role: 'user', content: 'b' },
    ];
    const { rows, report } = await prepare([
      rowOf({ generated_dialog: seekerFirst }),
      rowOf({ generated_dialog: doubled }),
      rowOf({ rec_names: [target.name, 'Nobody (1900)'], rec_ids: [target.id, 9] }),
      rowOf({ rec_names: ['Nobody (1900)'] }),
      rowOf({ generated_dialog: [] }),
      rowOf({ generated_dialog: talk('A?', '', 'B!', 'b') }),
      rowOf({ generated_dialog: talk(' ', 'b') }),
      rowOf({ given_dialog: [{ role: 'user', content: ' ' }] }),
    ]);
    expect(rows[0]!.dialog.at(-1)).toEqual({ role: 'user', content: 'Well' });
    expect(rows[1]!.interaction[0]).toEqual({ role: 'assistant', content: 'A? B?' });
    expect(rows[2]!.target_items).toEqual([target.name]);
    expect(report.dropped).toEqual({
      unknown_targets: 1,
      no_interaction: 1,
      empty_seeker_reply: 1,
      empty_recommender_message: 1,
      empty_dialogue: 1,
    });
    expect(report.changed).toMatchObject({
      leading_seeker_messages_moved: 1,
      same_role_joined: 1,
      unknown_target_removed: 1,
    });
  });

  it('says why nothing is left', async () => {
    await expect(prepare([rowOf({ rec_success: false })], { successOnly: true })).rejects.toThrow(InputError);
    await expect(prepare([rowOf({ rec_success: false })], { successOnly: true })).rejects.toThrow(
      'not_successful 1',
    );
    await expect(prepare([])).rejects.toThrow('the file is empty');
  });
});

describe('runPrepare', () => {
  it('writes the file and tells the log, warning of a torn line', async () => {
    const store = new MemoryStore();
    const context = await openRun(store);
    const file = { name: 'in/rows.jsonl', text: jsonlLine(rowOf()) + '{"id":' };
    const report = await runPrepare({
      file,
      tools,
      options: { successOnly: true, rerank: true },
      path: 'sft.json',
      context,
    });
    expect(report.written).toBe(1);
    const text = new TextDecoder().decode(store.files.get('sft.json'));
    expect(readSftData({ name: 'sft.json', text }).rows).toHaveLength(1);
    const log = new TextDecoder().decode(store.files.get('events.jsonl'));
    expect(log).toContain('"torn'.slice(1));
    expect(log).toContain('"reranked":1');
  });
});

const real = '../shared/data/redial';
describe.skipIf(!existsSync(real))('the real ReDial transcripts', () => {
  it('become SFT data, nothing lost without a reason', async () => {
    const file = (name: string) => ({ name, text: readFileSync(`${real}/${name}`, 'utf8') });
    const { catalogue: redial } = readCatalogue({
      entity2id: file('entity2id.json'),
      id2info: file('id2info.json'),
    });
    const linker = new TitleLinker(redial);
    const { rows } = readRolloutRows(file('rollouts_turn1to3.jsonl'));
    const { rows: sft, report } = await prepareRows(
      rows,
      'redial',
      {
        catalogue: redial,
        judge: new ResponseJudge({
          catalogue: redial,
          linker,
          retriever: new LexicalRetriever(redial, linker),
        }),
        rewriter: new ListRewriter(redial, linker),
        titles: new LinkedTitleReader(linker),
      },
      { successOnly: true, rerank: true },
    );
    expect(report).toMatchObject({ read: 1426, written: 1419, dropped: { empty_seeker_reply: 7 } });
    expect(report.changed.empty_last_reply_removed).toBe(996);
    expect(readSftData({ name: 'x', text: writeSftData(sft) }).problems).toEqual([]);
    for (const { dialog, interaction, target_items } of sft) {
      expect([...dialog, ...interaction].every(({ content }) => content.trim() !== '')).toBe(true);
      expect(interaction.every(({ role }, i) => role === (i % 2 ? 'user' : 'assistant'))).toBe(true);
      expect(target_items.every((name) => redial.byName(name))).toBe(true);
    }
    const rewritten = sft.filter(({ interaction }) =>
      isWellFormed(interaction.findLast(({ role }) => role === 'assistant')!.content, 'rule'),
    );
    expect(rewritten.length).toBeGreaterThan(1370);
  });
});
