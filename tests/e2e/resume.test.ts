/**
 * @file Stop at any moment and continue: every stage is run once in peace and once with interruptions (kill −9, Ctrl-C); the
 * results must be the same bytes.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { comparableEvents, fingerprints, tart, type TartOptions } from './tart.ts';

let runs: string;
const at = (...parts: string[]): string => join(runs, ...parts);
const common = (name: string): string[] => [`--output_dir=${runs}`, `--log_name=${name}`, '--json'];

async function ok(args: readonly string[], options?: TartOptions): Promise<void> {
  const ended = await tart(args, options);
  expect(ended.stderr.replace(/^!.*$/gm, '').trim()).toBe('');
  expect(ended.code).toBe(0);
}

/** Kill the process at the n-th event of a type. */
function killAt(type: string, n: number, signal: NodeJS.Signals): TartOptions {
  let seen = 0;
  return {
    onEvent: (event, kill) => {
      if (event.type === type && ++seen === n) kill(signal);
    },
  };
}

beforeAll(async () => {
  runs = mkdtempSync(join(tmpdir(), 'tart-resume-'));
  await ok(['explore', '--test_data=demo_processed_train.json', '--end=24', ...common('teacher')]);
  await ok(['prepare', '--from=teacher', '--success_only', '--rerank', ...common('data')]);
});
afterAll(() => rmSync(runs, { recursive: true, force: true }));

const sft = (name: string): string[] => [
  ...['sft', '--model_name=demo', '--train_data=data', '--train_only_interaction', '--epoch=1'],
  ...['--batch_size=2', '--gradient_accumulation_steps=1', '--max_steps=5', '--save_steps=2', '--lora_r=4'],
  ...['--learning_rate=1e-3', '--lora_dropout=0.1', ...common(name)],
];
const grpo = (name: string): string[] => [
  ...['grpo', '--model_name=demo', '--model_path=sft', '--train_data=data', '--max_new_tokens=32'],
  ...['--num_generations=4', '--batch_size=8', '--mini_batch_size=4', '--max_steps=4', '--save_steps=1'],
  ...['--learning_rate=1e-3', '--hardcore', '--new_tgi', ...common(name)],
];
const inference = (name: string): string[] => [
  ...[
    'inference',
    '--model_name=demo',
    '--model_path=sft',
    '--test_data=demo_processed_test.json',
    '--end=6',
  ],
  ...['--num_concurrent=2', '--max_new_tokens=24', '--do_sample', ...common(name)],
];

describe('a stopped run continues as if nothing had happened', () => {
  it('explore, killed twice', async () => {
    const args = (name: string) => [
      'explore',
      '--test_data=demo_processed_train.json',
      '--end=24',
      '--num_concurrent=4',
      ...common(name),
    ];
    await ok(args('explore'));
    await tart(args('explore_cut'), killAt('rollout', 3, 'SIGKILL'));
    await tart([...args('explore_cut'), '--resume'], killAt('rollout', 3, 'SIGKILL'));
    await ok([...args('explore_cut'), '--resume']);
    expect(readFileSync(at('explore_cut/rows.jsonl'), 'utf8')).toBe(
      readFileSync(at('explore/rows.jsonl'), 'utf8'),
    );
  });

  it('sft, killed after its second and stopped by Ctrl-C after its fourth step', async () => {
    await ok(sft('sft'));
    const killed = await tart(sft('sft_cut'), killAt('step', 3, 'SIGKILL'));
    expect(killed.signal).toBe('SIGKILL');
    const stopped = await tart([...sft('sft_cut'), '--resume'], killAt('step', 1, 'SIGINT'));
    expect([stopped.code, stopped.stderr]).toEqual([1, expect.stringContaining('--resume')]);
    await ok([...sft('sft_cut'), '--resume']);
    expect(fingerprints(at('sft_cut/adapter'))).toEqual(fingerprints(at('sft/adapter')));
    expect(comparableEvents(at('sft_cut'))).toEqual(comparableEvents(at('sft')));
  });

  it('grpo, killed in the middle of collecting and after an update', async () => {
    await ok(grpo('grpo'));
    await tart(grpo('grpo_cut'), killAt('rollout', 2, 'SIGKILL'));
    await tart([...grpo('grpo_cut'), '--resume'], killAt('step', 1, 'SIGKILL'));
    await ok([...grpo('grpo_cut'), '--resume']);
    expect(fingerprints(at('grpo_cut/adapter'))).toEqual(fingerprints(at('grpo/adapter')));
    expect(comparableEvents(at('grpo_cut'))).toEqual(comparableEvents(at('grpo')));
  });

  it('inference, killed', async () => {
    await ok(inference('inference'));
    await tart(inference('inference_cut'), killAt('rollout', 2, 'SIGKILL'));
    await ok([...inference('inference_cut'), '--resume']);
    expect(readFileSync(at('inference_cut/rows.jsonl'), 'utf8')).toBe(
      readFileSync(at('inference/rows.jsonl'), 'utf8'),
    );
  });

  it('another configuration under the same name is refused', async () => {
    const again = await tart(sft('sft'));
    expect([again.code, again.stderr]).toEqual([2, expect.stringContaining('--resume')]);
    const other = await tart([...sft('sft'), '--resume', '--seed=7']);
    expect([other.code, other.stderr]).toEqual([2, expect.stringContaining('--seed')]);
  });
});
