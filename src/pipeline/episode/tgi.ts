/**
 * @file Turn-level generalised initialisation (TGI): an episode does not start at the given dialogue but a few of the teacher's
 * exchanges later. Static prefixes (`_last2` data) are already part of the data; `--new_tgi` draws a prefix at run time.
 */
import { Rng } from '../../core/random.ts';
import { InputError } from '../../core/errors.ts';
import type { Message } from '../types.ts';

/**
 * `--new_tgi`: how many of the teacher's `baseTurn` exchanges come before the episode: uniform in 0 … baseTurn − T when
 * `baseTurn > turnNum`, else 0. One draw a group: it depends on seed, dialogue and epoch only.
 */
export function drawTgiOffset(options: {
  seed: number;
  dialogue: string;
  epoch: number;
  baseTurn: number;
  turnNum: number;
}): number {
  const { seed, dialogue, epoch, baseTurn, turnNum } = options;
  if (baseTurn <= turnNum) return 0;
  return new Rng(seed).fork('tgi', dialogue, epoch).int(baseTurn - turnNum + 1);
}

/** The first `offset` exchanges of a teacher's interaction (assistant, user, assistant, user, …). */
export function tgiPrefix(interaction: readonly Message[], offset: number): Message[] {
  const prefix = interaction.slice(0, 2 * offset);
  const whole = prefix.length === 2 * offset;
  if (!whole || prefix.some((message, i) => message.role !== (i % 2 ? 'user' : 'assistant'))) {
    throw new InputError(
      `The interaction does not hold ${offset} whole exchanges.`,
      'Prepare the data again with `tart prepare`.',
    );
  }
  return prefix;
}
