/**
 * @file Writes the demo's catalogue and dialogues into `public/demo`:
 *
 *     npx tsx server/demo/make_data.ts
 *
 * The same source and seed give the same files. The first 600 rows of the training set are for explore and SFT, the rest
 * for GRPO: no dialogue serves both.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { DialogueGenerator, type Split } from './dialogues.ts';
import { demoFolder } from '../paths.ts';
import { catalogueFiles, readFilms } from './films.ts';
import { demoFile } from './places.ts';

/** Seed of the published dialogues. */
export const DATA_SEED = 2026;
/** Rows of each set. */
export const SIZES: Record<Split, number> = { train: 1200, valid: 60, test: 250 };

function main(): void {
  const films = readFilms();
  mkdirSync(demoFolder, { recursive: true });
  const { entity2id, id2info } = catalogueFiles(films);
  writeFileSync(demoFile('entity2id.json'), oneRowALine(Object.entries(entity2id), 'object'));
  writeFileSync(demoFile('id2info.json'), oneRowALine(Object.entries(id2info), 'object'));
  const generator = new DialogueGenerator(films);
  for (const [split, count] of Object.entries(SIZES) as [Split, number][]) {
    const rows = generator.generate(split, count, DATA_SEED);
    const plain = rows.map(({ dialog, target_items }) => ({ dialog, target_items }));
    writeFileSync(demoFile(`demo_processed_${split}.json`), oneRowALine(plain, 'array'));
    console.log(`${split}: ${rows.length} dialogues`);
  }
}

/** JSON with one row a line, so that files can be read and compared. */
function oneRowALine(rows: readonly unknown[], kind: 'array' | 'object'): string {
  if (kind === 'array') return `[\n${rows.map((row) => JSON.stringify(row)).join(',\n')}\n]\n`;
  const entries = rows as [string, unknown][];
  return `{\n${entries.map(([key, value]) => `${JSON.stringify(key)}:${JSON.stringify(value)}`).join(',\n')}\n}\n`;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) main();
