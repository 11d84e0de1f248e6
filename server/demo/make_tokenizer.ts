/**
 * @file Trains the demo model's tokenizer and writes it, with the model's config.json, into `public/demo/model`:
 *
 *     npx tsx server/demo/make_tokenizer.ts
 *
 * The same source and seed give the same files. A changed tokenizer needs a newly trained model (`train_model.ts`).
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { configToJson } from '../../src/gpu/formats/config.ts';
import type { ModelConfig } from '../../src/gpu/model/config.ts';
import { CorpusWriter, type Document, seekerSentences } from './corpus.ts';
import { readFilms } from './films.ts';
import { DATA_SEED } from './make_data.ts';
import { modelFolder } from './places.ts';
import { tokenizerFiles } from './tokenizer_files.ts';

/** Merges beside bytes and entity tokens. */
const MERGES = 280;
/** Documents the merges are learnt from. */
const DOCUMENTS = 4000;

/** Shape of the demo model. */
export function demoConfig(vocabSize: number): ModelConfig {
  return {
    family: 'llama',
    vocabSize,
    hiddenSize: 96,
    intermediateSize: 256,
    numLayers: 3,
    numHeads: 4,
    numKvHeads: 2,
    headDim: 24,
    rmsNormEps: 1e-5,
    ropeTheta: 10000,
    ropeScaling: null,
    maxPositionEmbeddings: 512,
    tieWordEmbeddings: true,
    attentionBias: false,
    qkNorm: false,
  };
}

const textOf = (document: Document): string =>
  'text' in document ? document.text : document.messages.map((m) => m.content).join('\n');

async function main(): Promise<void> {
  const films = readFilms();
  const documents = await new CorpusWriter(films).write(DOCUMENTS, DATA_SEED);
  const texts = [...documents.map(textOf), ...seekerSentences()];
  const { files, vocabSize, bosId, eotId, padId } = tokenizerFiles(films, texts, MERGES);
  const ids = { bos_token_id: bosId, eos_token_id: eotId, pad_token_id: padId };
  mkdirSync(modelFolder, { recursive: true });
  const config = `${JSON.stringify(configToJson(demoConfig(vocabSize), ids), null, 2)}\n`;
  for (const [name, text] of Object.entries({ ...files, 'config.json': config }))
    writeFileSync(join(modelFolder, name), text);
  console.log(
    `${vocabSize} tokens: 256 bytes, ${MERGES} merges, ${vocabSize - 256 - MERGES} specials and entities`,
  );
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main();
