/** @file What GRPO asks of its data: the order of visits, a fingerprint for checkpoints, probe sequences, and what flags need. */
import { InputError, UsageError } from '../../../core/errors.ts';
import { hash32, hashString, Rng } from '../../../core/random.ts';
import type { GrpoOptions } from '../../config/grpo_options.ts';
import type { Rewriter } from '../../episode/episode.ts';
import type { ChatTokens } from '../../policy/chat_tokens.ts';
import { recommenderContext } from '../../prompts/contexts.ts';
import type { PromptSet } from '../../prompts/prompts.ts';
import type { GrpoRow } from './rows.ts';

/** Which dialogue comes when in an epoch: a shuffle by a stream named after the epoch. */
export function dialogueOrder(seed: number, epoch: number, dialogues: number): number[] {
  return new Rng(seed).fork('grpo-order', epoch).shuffle(Array.from({ length: dialogues }, (_, i) => i));
}

/** A number that changes when a dialogue, a teacher's message or a target changes. */
export function dataFingerprint(rows: readonly GrpoRow[]): number {
  return rows.reduce(
    (h, { dialogue, interaction }) =>
      hash32(
        h,
        hashString(dialogue.key),
        ...[...dialogue.dialog, ...interaction].map((m) => hashString(m.content)),
        ...dialogue.targets.map((t) => t.id),
      ),
    rows.length,
  );
}

/** Throw for options that ask of the data, or of the host, what is not there. */
export function assertGrpoData({
  rows,
  options,
  rewriter,
}: {
  rows: readonly GrpoRow[];
  options: GrpoOptions;
  rewriter?: Rewriter | undefined;
}): void {
  if (rows.length === 0)
    throw new InputError('The training data has no rows.', 'Give a file with at least one dialogue.');
  const taught = rows.some((row) => row.interaction.length > 0);
  for (const flag of ['new_tgi', 'off_policy'] as const)
    if (options[flag] && !taught)
      throw new UsageError(
        `--${flag} needs the teacher's interactions, and the data has none.`,
        'Give data made by `tart prepare --base_turn`.',
      );
  if (options.bonus > 0 && rows.every((row) => row.baseTurn === 0))
    throw new UsageError(
      '--bonus compares with the number of exchanges the teacher took, and the data does not say it.',
      'Give data made by `tart prepare --base_turn`.',
    );
  for (const flag of ['rerank', 'last_turn_recommend', 'rec_success_recommend'] as const)
    if (options[flag] && !rewriter) throw new UsageError(`--${flag} needs a rewriter of lists.`);
}

/** A few sequences of the data, to recognise the reference by. */
export function probeSequences(input: {
  chat: ChatTokens;
  rows: readonly GrpoRow[];
  prompts: PromptSet;
  maxContext: number;
}): number[][] {
  const { chat, rows, prompts, maxContext } = input;
  return rows.slice(0, 2).map(({ dialogue, interaction }) => {
    const context = recommenderContext({ given: dialogue.dialog, interaction: [] }, prompts);
    const said = interaction[0]?.content ?? dialogue.targets[0]?.name ?? '';
    return [...chat.prompt(context), ...chat.assistantTurn(said)].slice(-Math.min(256, maxContext));
  });
}
