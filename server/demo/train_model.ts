/**
 * @file Trains the demo model from random weights with the project's own engine and writes `public/demo/model/model.safetensors`:
 *
 *     npx tsx server/demo/train_model.ts                          minutes on a GPU, a day on a software one
 *     npx tsx server/demo/train_model.ts --steps 20 --out /tmp    a trial
 *
 * All weights are trained on the corpus of `corpus.ts`, SFT objective, every token supervised. Everything is seeded: the same
 * device gives the same weights. The tokenized corpus is kept in `.cache/demo-corpus.json`; delete it when the corpus or the
 * tokenizer has changed.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { Rng } from '../../src/core/random.ts';
import { createEngine, type Engine, loadTokenizer, openModel, randomModel } from '../../src/gpu/index.ts';
import { readConfig } from '../../src/gpu/formats/config.ts';
import { releaseDawn, requestDawnDevice } from '../dawn.ts';
import { folderFiles } from '../files.ts';
import { CorpusWriter } from './corpus.ts';
import { readFilms } from './films.ts';
import { modelFolder } from './places.ts';
import { SPECIAL } from './tokenizer_files.ts';

const SEED = 2026;
/** Documents of the corpus; training passes over them several times, each time in another order. */
const DOCUMENTS = 120_000;
const CORPUS_CACHE = '.cache/demo-corpus.json';
/** Tokens of an optimizer step. */
const TOKENS_PER_STEP = 16_384;
const STEPS = 1125;
const WARMUP = 100;
const PEAK_RATE = 6e-3;
const LAST_RATE = 1e-5;

/** The corpus as token sequences. */
async function corpus(): Promise<number[][]> {
  if (existsSync(CORPUS_CACHE)) return JSON.parse(readFileSync(CORPUS_CACHE, 'utf8')) as number[][];
  const tokenizer = await loadTokenizer(folderFiles(modelFolder));
  const documents = await new CorpusWriter(readFilms()).write(DOCUMENTS, SEED);
  const rows = documents.map((document) =>
    tokenizer.encode(
      'text' in document
        ? `${SPECIAL.bos}${document.text}${SPECIAL.eot}`
        : tokenizer.render(document.messages),
    ),
  );
  mkdirSync('.cache', { recursive: true });
  writeFileSync(CORPUS_CACHE, JSON.stringify(rows));
  return rows;
}

/** Endless batches of about `tokens` tokens; a new order for every pass. */
function* batches(rows: readonly number[][], tokens: number, rng: Rng): Generator<number[][]> {
  let batch: number[][] = [];
  let size = 0;
  for (;;)
    for (const row of rng.shuffle(rows)) {
      if (size + row.length > tokens) {
        yield batch;
        batch = [];
        size = 0;
      }
      batch.push(row);
      size += row.length;
    }
}

/** Linear warm-up, then linear decay. */
const rateAt = (step: number, steps: number): number =>
  LAST_RATE + PEAK_RATE * Math.min(step / WARMUP, 1) * (1 - step / steps);

async function train(engine: Engine, rows: readonly number[][], steps: number): Promise<void> {
  const source = batches(rows, TOKENS_PER_STEP, new Rng(SEED).fork('order'));
  const started = Date.now();
  let sum = 0;
  for (let step = 1; step <= steps; step++) {
    const batch = source.next().value as number[][];
    const result = await engine.trainStep(
      batch.map((tokens) => ({ tokens, lossMask: new Uint8Array(tokens.length).fill(1) })),
      { kind: 'sft' },
      { learningRate: rateAt(step, steps), maxGradNorm: 1, betas: [0.9, 0.98] },
    );
    sum += result.metrics.loss!;
    if (step % 100 === 0 || step === steps) {
      const span = step % 100 || 100;
      console.log(
        `step ${step}  loss ${(sum / span).toFixed(4)}  ${((Date.now() - started) / 1000).toFixed(0)} s`,
      );
      sum = 0;
    }
  }
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: { steps: { type: 'string' }, out: { type: 'string' }, from: { type: 'string' } },
  });
  const rows = await corpus();
  const tokens = rows.reduce((total, row) => total + row.length, 0);
  console.log(`corpus: ${rows.length} documents, ${tokens} tokens`);
  const device = await requestDawnDevice();
  const files = folderFiles(values.from ?? modelFolder);
  const model = values.from ? await openModel(files) : randomModel(await readConfig(files), SEED, 0.08);
  const engine = await createEngine({ device, model, tokensPerMicroBatch: TOKENS_PER_STEP });
  await train(engine, rows, Number(values.steps ?? STEPS));
  const out = values.out ?? modelFolder;
  mkdirSync(out, { recursive: true });
  for (const [name, bytes] of await engine.exportWeights()) writeFileSync(join(out, name), bytes);
  engine.destroy();
  device.destroy();
  releaseDawn();
}

await main();
