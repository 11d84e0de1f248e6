/**
 * @file Real ReDial files for tests, from `../shared/data/redial` beside the checkout. A public clone has none: tests that need
 * them are skipped by name (`describe.skipIf(!hasRedial)`).
 */
import { existsSync, readFileSync } from 'node:fs';
import { readCatalogue } from '../../src/pipeline/data/catalogue.ts';
import { type RolloutRow, readRolloutRows } from '../../src/pipeline/data/rollout_rows.ts';
import type { SourceFile } from '../../src/pipeline/data/source_file.ts';
import type { Catalogue } from '../../src/pipeline/types.ts';

const FOLDER = new URL('../../../shared/data/', import.meta.url);

/** Whether the ReDial files are there. */
export const hasRedial = existsSync(new URL('redial/entity2id.json', FOLDER));

/** A file of the shared data folder, e.g. `redial/id2info.json`. */
export function sharedFile(path: string): SourceFile {
  return { name: path, text: readFileSync(new URL(path, FOLDER), 'utf8') };
}

/** A dataset's catalogue. */
export function sharedCatalogue(dataset: 'redial' | 'opendialkg'): Catalogue {
  return readCatalogue({
    entity2id: sharedFile(`${dataset}/entity2id.json`),
    id2info: sharedFile(`${dataset}/id2info.json`),
  }).catalogue;
}

/** The 1,426 real transcripts. */
export function redialRollouts(): RolloutRow[] {
  return readRolloutRows(sharedFile('redial/rollouts_turn1to3.jsonl')).rows;
}
