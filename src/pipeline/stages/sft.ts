/**
 * @file Supervised fine-tuning on the teacher's dialogues. One optimizer step takes batch_size · gradient_accumulation_steps
 * examples in an order shuffled per epoch by a stream of its own; its loss is the sum over supervised tokens divided by
 * their number in the whole step. A resumed run gives the same numbers as an uninterrupted one: the order follows from seed
 * and epoch, weights, moments and counters from the engine's state.
 */
import * as v from 'valibot';
import { CheckpointError, InputError } from '../../core/errors.ts';
import type { Policy } from '../../core/policy.ts';
import { Rng } from '../../core/random.ts';
import { assertSftOptions, examplesPerStep, type SftOptions } from '../config/sft_options.ts';
import { optimizerAt } from '../config/training.ts';
import type { SftRow } from '../data/sft_data.ts';
import type { ChatTokens } from '../policy/chat_tokens.ts';
import type { PromptSet } from '../prompts/prompts.ts';
import { CheckpointStore } from '../run/checkpoint.ts';
import {
  adapterFolder,
  findCheckpoint,
  joinCheckpoint,
  performanceMetrics,
  splitCheckpoint,
  writeFolder,
  type StageContext,
} from './context.ts';
import { fingerprint, sftExample, type SftExample } from './sft/examples.ts';

export interface SftInput {
  policy: Policy;
  chat: ChatTokens;
  prompts: PromptSet;
  rows: readonly SftRow[];
  /** Rows whose loss is logged after every epoch. */
  validation?: readonly SftRow[] | undefined;
  /** Most tokens of a sequence (the model's positions); `max_length` lowers it. */
  maxContext: number;
  options: SftOptions;
  context: StageContext;
}

export interface SftSummary {
  steps: number;
  examples: number;
  /** Loss of the last step; NaN when no step was made. */
  loss: number;
  evalLoss?: number;
  /** Folder of the run that holds the trained weights. */
  adapter: string;
}

const stateSchema = v.object({
  stage: v.literal('sft'),
  step: v.number(),
  logPosition: v.number(),
  numTokens: v.number(),
  loss: v.nullable(v.number()),
  evalLoss: v.nullable(v.number()),
  data: v.number(),
});
type State = v.InferOutput<typeof stateSchema>;

/**
 * Train. Throws `UsageError` for options that cannot be honoured, `InputError` for rows that cannot be trained on,
 * `CheckpointError` when the checkpoint belongs to other data, and the signal's reason after saving when it is aborted.
 */
export async function runSft(input: SftInput): Promise<SftSummary> {
  const { policy, options, context } = input;
  const { log, store, clock, signal } = context;
  assertSftOptions(options);
  const checkpoints = new CheckpointStore(store, { keepLast: options.save_total_limit });
  const found = await findCheckpoint(checkpoints, context, 'sft');
  const examples = tokenise(input, input.rows, 'train_data');
  const validation = input.validation ? tokenise(input, input.validation, 'valid_data') : [];
  const data = fingerprint(examples);

  const perStep = examplesPerStep(options);
  const stepsPerEpoch = Math.ceil(examples.length / perStep);
  const total = Math.min(options.max_steps ?? Infinity, options.epoch * stepsPerEpoch);
  const state: State = {
    stage: 'sft',
    step: 0,
    logPosition: 0,
    numTokens: 0,
    loss: null,
    evalLoss: null,
    data,
  };
  if (found) {
    const { policy: policyState, stage } = splitCheckpoint(found.files);
    const saved = v.safeParse(stateSchema, stage);
    if (!saved.success || saved.output.data !== data)
      throw new CheckpointError(
        `${found.path} was made with other training data.`,
        'Continue with the same data, prompts and model, or start another run.',
      );
    Object.assign(state, saved.output);
    await policy.loadState(policyState);
    await log.truncate(state.logPosition);
  } else {
    log.emit({ type: 'progress', stage: 'sft', done: 0, total, unit: 'steps' });
    warnOfCuts(input, examples);
  }

  let savedAt = found ? state.step : -1;
  const save = async (regular: boolean): Promise<void> => {
    if (savedAt === state.step) return;
    if (regular)
      log.emit({ type: 'checkpoint', stage: 'sft', step: state.step, path: checkpoints.pathOf(state.step) });
    await log.flush();
    state.logPosition = log.position;
    await checkpoints.save(state.step, joinCheckpoint(await policy.saveState(), state));
    savedAt = state.step;
  };

  while (state.step < total) {
    if (signal?.aborted) {
      await save(false);
      signal.throwIfAborted();
    }
    const started = clock.now();
    const epoch = Math.floor(state.step / stepsPerEpoch);
    const order = epochOrder(options.seed, epoch, examples.length);
    const from = (state.step % stepsPerEpoch) * perStep;
    const batch = order.slice(from, from + perStep).map((i) => examples[i]!);
    const { metrics } = await policy.trainStep(
      batch,
      { kind: 'sft' },
      optimizerAt(options, state.step, total),
    );
    const tokens = batch.reduce((n, e) => n + e.tokens.length, 0);
    const seconds = (clock.now() - started) / 1000;
    state.step++;
    state.numTokens += tokens;
    state.loss = metrics['loss'] ?? null;
    log.emit({
      type: 'step',
      stage: 'sft',
      step: state.step,
      metrics: {
        ...metrics,
        epoch: epoch + Math.min(1, (from + batch.length) / examples.length),
        num_tokens: state.numTokens,
        step_time: seconds,
        ...performanceMetrics(policy, tokens, seconds),
      },
    });
    log.emit({ type: 'progress', stage: 'sft', done: state.step, total, unit: 'steps' });
    if (validation.length > 0 && (state.step % stepsPerEpoch === 0 || state.step === total)) {
      state.evalLoss = await meanLoss(policy, validation);
      log.emit({ type: 'step', stage: 'sft', step: state.step, metrics: { eval_loss: state.evalLoss } });
    }
    if (state.step % options.save_steps === 0 || state.step === total) await save(true);
  }

  await writeFolder(store, adapterFolder, await policy.exportWeights());
  const summary: SftSummary = {
    steps: state.step,
    examples: examples.length,
    loss: state.loss ?? Number.NaN,
    ...(state.evalLoss === null ? {} : { evalLoss: state.evalLoss }),
    adapter: adapterFolder,
  };
  log.emit({ type: 'done', stage: 'sft', summary: { ...summary } });
  await log.flush();
  return summary;
}

/** Which example comes when in an epoch: a shuffle by a stream named after the epoch. */
export function epochOrder(seed: number, epoch: number, examples: number): number[] {
  return new Rng(seed).fork('sft-order', epoch).shuffle(Array.from({ length: examples }, (_, i) => i));
}

/** Mean cross-entropy over the supervised tokens of all examples, scored in chunks. */
export async function meanLoss(policy: Policy, examples: readonly SftExample[], chunk = 16): Promise<number> {
  let sum = 0;
  let n = 0;
  for (let at = 0; at < examples.length; at += chunk) {
    const part = examples.slice(at, at + chunk);
    const scores = await policy.logprobs(part.map((e) => e.tokens));
    part.forEach(({ lossMask }, i) =>
      lossMask.forEach((m, t) => {
        if (m === 0) return;
        sum -= scores[i]![t]!;
        n++;
      }),
    );
  }
  return sum / n;
}

function tokenise(input: SftInput, rows: readonly SftRow[], what: string): SftExample[] {
  const { options, chat, prompts, maxContext } = input;
  if (rows.length === 0)
    throw new InputError(`${what} has no rows.`, 'Give a file with at least one dialogue.');
  const settings = {
    trainOnlyInteraction: options.train_only_interaction,
    trainSeekerTokens: options.train_seeker_tokens,
    maxLength: Math.min(maxContext, options.max_length ?? maxContext),
  };
  return rows.map((row, i) => sftExample(chat, prompts, row, settings, `${what} ${row.key ?? `row ${i}`}`));
}

function warnOfCuts({ context }: SftInput, examples: readonly SftExample[]): void {
  const shortened = examples.filter((e) => e.droppedMessages > 0);
  const cut = examples.filter((e) => e.cutTokens > 0);
  if (shortened.length + cut.length === 0) return;
  const messages = shortened.reduce((n, e) => n + e.droppedMessages, 0);
  context.log.emit({
    type: 'warning',
    stage: 'sft',
    code: 'examples_shortened',
    message:
      `${shortened.length} of ${examples.length} examples were too long and lost ${messages} of their oldest messages; ` +
      `${cut.length} had to be cut inside a message.`,
  });
}
