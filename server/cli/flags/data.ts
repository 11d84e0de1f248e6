/** @file Where dialogues and items come from, and which rows. */
import type { FlagTable } from '../flag_types.ts';
import { positive } from './ranges.ts';

/** Where dialogues and items come from. */
export const dataFlags = {
  kg_dataset: {
    type: 'choice',
    choices: ['redial', 'inspired', 'inspired2', 'opendialkg', 'demo'],
    default: 'demo',
    group: 'Data',
    help: 'Which catalogue and conventions.',
  },
  data_dir: {
    type: 'string',
    default: 'data',
    group: 'Data',
    help: 'Folder with <kg_dataset>/entity2id.json and id2info.json; a file given by a bare name is looked for there too.',
  },
  start: { type: 'int', default: 0, min: 0, group: 'Data', help: 'First row to use.' },
  end: { type: 'int', min: 0, group: 'Data', help: 'Row after the last one to use. Absent = all rows.' },
  bad_rows: {
    type: 'choice',
    choices: ['refuse', 'skip'],
    default: 'refuse',
    group: 'Data',
    help: 'What to do about a row that cannot be used: stop and name it, or leave it out and say so.',
  },
  topk: { type: 'int', default: 10, ...positive, group: 'Data', help: 'How many retrieved items count.' },
} as const satisfies FlagTable;

export const testDataFlag = {
  test_data: { type: 'string', group: 'Data', help: 'Processed set to run on (JSON).' },
} as const satisfies FlagTable;

export const trainDataFlag = {
  train_data: {
    type: 'string',
    group: 'Data',
    help: 'Training data (JSON; for sft and grpo as `tart prepare` writes it).',
  },
} as const satisfies FlagTable;
