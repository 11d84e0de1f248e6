/** @file What `tart` says and how it exits when it is asked for help, or for something that cannot be. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { tart } from './tart.ts';

let folder: string;
beforeAll(() => (folder = mkdtempSync(join(tmpdir(), 'tart-usage-'))));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const file = (name: string, text: string): string => {
  writeFileSync(join(folder, name), text);
  return join(folder, name);
};
const out = (): string => `--output_dir=${join(folder, 'runs')}`;

describe('help', () => {
  it('explains the commands and each command, exit 0', async () => {
    const all = await tart(['--help']);
    expect(all.code).toBe(0);
    for (const command of [
      'explore',
      'prepare',
      'sft',
      'grpo',
      'inference',
      'evaluate',
      'demo',
      'bench',
      'export',
    ])
      expect(all.stdout).toContain(command);
    const grpo = await tart(['grpo', '--help']);
    expect([grpo.code, grpo.stdout]).toEqual([0, expect.stringContaining('--num_generations')]);
  });
});

describe('wrong usage is exit 2 with the flag and the remedy', () => {
  it.each([
    [['gprq'], /Unknown command "gprq"/],
    [['explor'], /Did you mean `tart explore`/],
    [['grpo', '--num_generation=8'], /--num_generation.*--num_generations/],
    [['sft', '--hardcore'], /--hardcore is a flag of .*grpo.*not of tart sft/],
    [['sft', '--epoch=two'], /--epoch is "two"; expected a number/],
    [['sft', '--epoch=0'], /--epoch.*at least 1/],
    [['explore', '--kg_dataset=redail'], /did you mean redial/],
    [['explore'], /--test_data is missing/],
    [['sft', '--train_data=x', '--nproc_per_node=2'], /--nproc_per_node 2/],
    [['grpo', '--train_data=x', '--model_name=demo', '--ref_model=other'], /--ref_model other/],
    [['explore', '--test_data=demo_processed_test.json', '--gpt_model=gemini-2.5-pro'], /gemini/],
    [['explore', '--test_data=demo_processed_test.json', '--gpt_model=gpt-4.1'], /OPENAI_API_KEY/],
    [['explore', '--test_data=demo_processed_test.json', '--teacher=local:m'], /--base_url/],
  ])('tart %j', async (args, message) => {
    const ended = await tart([...args, out()], { env: { OPENAI_API_KEY: '', OPENAI_BASE_URL: '' } });
    expect(ended.stderr).toMatch(message);
    expect(ended.code).toBe(2);
  });
});

describe('--config', () => {
  it('is merged, flags win, and the resolved configuration is stored with the run', async () => {
    const config = file(
      'config.json',
      JSON.stringify({ test_data: 'demo_processed_test.json', end: 3, seed: 5 }),
    );
    const ended = await tart(['explore', `--config=${config}`, '--end=2', '--log_name=merged', out()]);
    expect(ended.code).toBe(0);
    const stored = ended.events.find((e) => e.type === 'config') as { config: Record<string, unknown> };
    expect(stored.config).toMatchObject({ end: 2, seed: 5, test_data: 'demo_processed_test.json' });
  });

  it('refuses an unknown flag and broken JSON by name', async () => {
    const unknown = await tart(['explore', `--config=${file('a.json', '{"num_beam": 5}')}`, out()]);
    expect([unknown.code, unknown.stderr]).toEqual([2, expect.stringContaining('--num_beams')]);
    const broken = await tart(['explore', `--config=${file('b.json', '{"seed": ')}`, out()]);
    expect([broken.code, broken.stderr]).toEqual([1, expect.stringContaining('b.json')]);
  });
});

describe('bad input is exit 1 with file, row and field', () => {
  const message = (content: string, role = 'user') => ({ role, content });
  const rows: [string, unknown, RegExp][] = [
    [
      'unknown target',
      [{ dialog: [message('hi')], target_items: ['Grondhog Day (1993)'] }],
      /row 0.*target_items.*Groundhog Day/,
    ],
    ['empty dialogue', [{ dialog: [], target_items: ['Groundhog Day (1993)'] }], /row 0.*dialog/],
    [
      'wrong role',
      [{ dialog: [message('hi', 'bot')], target_items: ['Groundhog Day (1993)'] }],
      /row 0.*dialog\[0\].role/,
    ],
    ['missing field', [{ dialog: [message('hi')] }], /row 0.*target_items/],
  ];
  it.each(rows)('%s', async (name, value, pattern) => {
    const path = file(`${name}.json`, JSON.stringify(value));
    const ended = await tart(['explore', `--test_data=${path}`, out(), `--log_name=${name}`]);
    expect(ended.stderr).toMatch(pattern);
    expect(ended.stderr).toContain(`${name}.json`);
    expect(ended.code).toBe(1);
  });

  it('broken JSON, and a file that is not there', async () => {
    const broken = await tart(['explore', `--test_data=${file('broken.json', '[{"dialog": [')}`, out()]);
    expect([broken.code, broken.stderr]).toEqual([1, expect.stringContaining('broken.json')]);
    const absent = await tart(['explore', '--test_data=absent.json', out()]);
    expect([absent.code, absent.stderr]).toEqual([1, expect.stringMatching(/--test_data absent\.json/)]);
  });

  it('two messages of one role, emoji and a very long message are handled', async () => {
    const dialog = [message('🎬 hello'), message('x'.repeat(20_000)), message('👩‍👩‍👧 a comedy please')];
    const path = file('odd.json', JSON.stringify([{ dialog, target_items: ['Groundhog Day (1993)'] }]));
    const ended = await tart(['explore', `--test_data=${path}`, out(), '--log_name=odd']);
    expect(ended.code).toBe(0);
    expect(ended.events.filter((e) => e.type === 'warning').length).toBeGreaterThan(0);
  });
});

describe('a run that failed before it began', () => {
  it('leaves its name free', async () => {
    const args = ['explore', '--test_data=demo_processed_test.json', '--end=2', '--log_name=again', out()];
    const failed = await tart([...args, '--teacher=local:m'], { env: { OPENAI_BASE_URL: '' } });
    expect(failed.code).toBe(2);
    expect((await tart(args)).code).toBe(0);
    expect((await tart(args)).code).toBe(2);
  });

  it('two runs that nobody named do not collide', async () => {
    const args = ['explore', '--test_data=demo_processed_test.json', '--end=1', out()];
    const codes = [await tart(args), await tart(args), await tart(args)].map(({ code }) => code);
    expect(codes).toEqual([0, 0, 0]);
  });
});
