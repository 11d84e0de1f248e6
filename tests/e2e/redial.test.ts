/**
 * @file Real input: the recipe on ReDial transcripts, the 6,583-row ReDial catalogue and a checkpoint in Hugging Face
 * format, shortened. Skipped by name where the data is not there.
 */
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { root, tart, type Ended } from './tart.ts';

const data = join(root, '../shared/data');
const model = join(root, '../shared/golden/qwen2-tiny');
const here =
  existsSync(join(data, 'redial/rollouts_turn1to3.jsonl')) && existsSync(join(model, 'config.json'));

describe.skipIf(!here)('ReDial (../shared/data/redial, ../shared/golden/qwen2-tiny)', () => {
  let runs: string;
  beforeAll(() => (runs = mkdtempSync(join(tmpdir(), 'tart-redial-'))));
  afterAll(() => rmSync(runs, { recursive: true, force: true }));

  const run = (command: string, name: string, ...args: string[]): Promise<Ended> =>
    tart([
      command,
      '--kg_dataset=redial',
      `--data_dir=${data}`,
      `--output_dir=${runs}`,
      `--log_name=${name}`,
      ...args,
    ]);
  async function done(ended: Ended): Promise<Record<string, unknown>> {
    expect(ended.stderr).toBe('');
    expect(ended.code).toBe(0);
    const last = ended.events.find((event) => event.type === 'done') as { summary: Record<string, unknown> };
    return last.summary;
  }

  it('prepare reads the real transcripts', async () => {
    const summary = await done(
      await run(
        'prepare',
        'data',
        '--from=rollouts_turn1to3.jsonl',
        '--success_only',
        '--rerank',
        '--end=200',
      ),
    );
    const dropped = Object.values(summary.dropped as Record<string, number>).reduce((a, b) => a + b, 0);
    expect(summary.read).toBe(200);
    expect((summary.written as number) + dropped).toBe(200);
    expect(summary.written).toBeGreaterThan(150);
    const rows = JSON.parse(readFileSync(join(runs, 'data/sft.json'), 'utf8')) as {
      interaction: unknown[];
    }[];
    expect(rows).toHaveLength(summary.written as number);
  });

  it('sft, grpo and five-beam inference run on them', async () => {
    const sft = await done(
      await run(
        'sft',
        'sft',
        `--model_name=${model}`,
        '--train_data=data',
        '--train_only_interaction',
        '--lora_r=4',
        '--epoch=1',
        '--max_steps=2',
        '--batch_size=1',
        '--gradient_accumulation_steps=2',
      ),
    );
    expect(sft.steps).toBe(2);
    expect(Number.isFinite(sft.loss)).toBe(true);
    const grpo = await done(
      await run(
        'grpo',
        'grpo',
        `--model_name=${model}`,
        '--model_path=sft',
        '--train_data=data',
        '--hardcore',
        '--dynamic_sampling',
        '--rerank',
        '--new_tgi',
        '--num_generations=2',
        '--batch_size=2',
        '--max_new_tokens=16',
        '--step_size=3',
        '--max_attempts=1',
        '--end=4',
      ),
    );
    expect(grpo.dialogues).toBe(3);
    const inference = await done(
      await run(
        'inference',
        'test',
        `--model_name=${model}`,
        '--model_path=grpo',
        '--test_data=redial_processed_valid.json',
        '--num_beams=5',
        '--max_new_tokens=16',
        '--turn_num=1',
        '--end=2',
      ),
    );
    expect(inference.dialogues).toBe(2);
    const evaluated = await tart([
      'evaluate',
      `--output_dir=${runs}`,
      '--log_name=test',
      '--json',
      '--kg_dataset=redial',
      `--data_dir=${data}`,
    ]);
    expect(evaluated.code).toBe(0);
    expect(JSON.parse(evaluated.stdout)).toMatchObject({ dialogues: 2, hit10: expect.any(Number) as number });
  });

  it('evaluate gives the original figures to the last digit', async () => {
    const expected = JSON.parse(readFileSync(join(data, 'redial/expected_metrics.json'), 'utf8')) as Record<
      string,
      object
    >;
    for (const [file, figures] of Object.entries(expected)) {
      const ended = await tart(['evaluate', `--log_name=${join(data, 'redial', file)}`, '--json']);
      expect(JSON.parse(ended.stdout)).toMatchObject(figures);
    }
  });
});
