/** @file Flags of every run: its name, folder, seed, and how it is shown. */
import type { FlagTable } from '../flag_types.ts';

/** Every command. */
export const runFlags = {
  config: { type: 'string', group: 'Run', help: 'JSON file of flags; flags on the command line win.' },
  log_name: { type: 'string', group: 'Run', help: 'Name of the run; its folder is <output_dir>/<log_name>.' },
  output_dir: { type: 'string', default: 'runs', group: 'Run', help: 'Where runs live.' },
  seed: { type: 'int', default: 0, min: 0, group: 'Run', help: 'Seed of everything random in the run.' },
  resume: {
    type: 'bool',
    default: false,
    group: 'Run',
    help: 'Continue the run of this name after its last good checkpoint or row.',
  },
  json: {
    type: 'bool',
    default: false,
    group: 'Run',
    help: 'Print events as JSON lines (always so when the output is not a terminal).',
  },
} as const satisfies FlagTable;
