/**
 * @file GRPO against the simulated seeker. Dialogues are visited in an order shuffled per epoch; each gives a group of
 * rollouts; kept rollouts collect until `batch_size`, then the policy is updated. No more groups are sampled at once than
 * the batch still needs, so that every rollout is sampled from the policy that it then updates, and the numbers do not
 * depend on how many are in flight. What is random follows from the seed and from names, so a run that was stopped
 * anywhere and continued from its last checkpoint gives the same numbers as an uninterrupted one.
 */
import * as v from 'valibot';
import { CheckpointError, ProviderError, UsageError } from '../../core/errors.ts';
import { groupAdvantages } from '../../core/loss/advantages.ts';
import type { Policy, PolicyFiles } from '../../core/policy.ts';
import {
  advantageOptions,
  assertGrpoOptions,
  grpoObjective,
  type GrpoOptions,
} from '../config/grpo_options.ts';
import { optimizerAt } from '../config/training.ts';
import type { EpisodeParticipants } from '../episode/episode.ts';
import type { ChatTokens } from '../policy/chat_tokens.ts';
import { PolicyRecommender, type ContextCounts } from '../policy/policy_recommender.ts';
import type { PromptSet } from '../prompts/prompts.ts';
import type { KnownTitle } from '../response/list_parser.ts';
import { CheckpointStore } from '../run/checkpoint.ts';
import type { Seeker } from '../types.ts';
import {
  adapterFolder,
  findCheckpoint,
  joinCheckpoint,
  performanceMetrics,
  splitCheckpoint,
  writeFolder,
  type StageContext,
} from './context.ts';
import { counterMetrics, countGroup, newCounters } from './grpo/counters.ts';
import { assertGrpoData, dataFingerprint, dialogueOrder, probeSequences } from './grpo/data.ts';
import { groupDecision } from './grpo/dynamic_sampling.ts';
import { collectGroups, type Group } from './grpo/groups.ts';
import { assertPolicyIsReference, assertSameReference, probeReference } from './grpo/reference.ts';
import type { GrpoRow } from './grpo/rows.ts';
import { scoreRollouts, type KeptRollout } from './grpo/score.ts';
import { grpoStateSchema, type GrpoState } from './grpo/state.ts';
import { brief, updatePolicy } from './grpo/update.ts';

export interface GrpoInput {
  policy: Policy;
  chat: ChatTokens;
  prompts: PromptSet;
  rows: readonly GrpoRow[];
  seeker: Seeker;
  judge: EpisodeParticipants['judge'];
  /** Needed by `rerank`, `last_turn_recommend` and `rec_success_recommend`. */
  rewriter?: EpisodeParticipants['rewriter'];
  isTitle?: KnownTitle | undefined;
  /** Most tokens of a sequence (the model's positions). */
  maxContext: number;
  /**
   * The SFT model: `current` when the policy was just loaded with it, `base` when it is the base model itself, or the files
   * of the adapter (`--ref_path`).
   */
  reference: 'current' | 'base' | PolicyFiles;
  /**
   * The policy starts from the reference, which is then asserted. False only when `--model_path` is a later adapter of an
   * earlier run (`--resume_start`). Default: true unless `resume_start` is above 0.
   */
  startsFromReference?: boolean | undefined;
  options: GrpoOptions;
  context: StageContext;
}

export interface GrpoSummary {
  /** Optimizer steps. */
  steps: number;
  updates: number;
  dialogues: number;
  groups: number;
  /** Kept rollouts that were left when the dialogues ran out before they filled a batch. */
  leftOver: number;
  adapter: string;
}

/**
 * Train. Throws `UsageError` for options that cannot be honoured or a reference that is not the SFT adapter,
 * `CheckpointError` when the checkpoint is of other data or another reference, and the signal's reason after saving when it
 * is aborted.
 */
export async function runGrpo(input: GrpoInput): Promise<GrpoSummary> {
  assertGrpoOptions(input.options);
  assertGrpoData(input);
  return new GrpoRun(input).run();
}

class GrpoRun {
  private readonly checkpoints: CheckpointStore;
  private readonly recommender: PolicyRecommender;
  private readonly objective;
  private readonly advantages;
  private readonly lastDialogue: number;
  private readonly stepsPerUpdate: number;
  private readonly totalSteps: number;
  private state: GrpoState;
  private savedAt = '';

  constructor(private readonly input: GrpoInput) {
    const { options, context, rows, chat, prompts, policy, maxContext } = input;
    this.checkpoints = new CheckpointStore(context.store, { keepLast: options.save_total_limit });
    this.objective = grpoObjective(options);
    this.advantages = advantageOptions(options);
    this.recommender = new PolicyRecommender({
      policy,
      chat,
      prompts,
      maxContext,
      turnNum: options.turn_num,
      sampling: { maxNewTokens: options.max_new_tokens, temperature: options.temperature },
    });
    const start = options.resume_start ?? 0;
    this.lastDialogue = Math.min(options.epoch * rows.length, start + options.step_size);
    if (start >= this.lastDialogue)
      throw new UsageError(
        `--resume_start ${start} leaves none of ${options.epoch * rows.length} dialogues (${options.epoch} epochs).`,
        'Choose it smaller, or raise --epoch.',
      );
    const miniBatches = Math.ceil(options.batch_size / (options.mini_batch_size ?? options.batch_size));
    this.stepsPerUpdate = options.ppo_epoch * miniBatches;
    const updates = Math.ceil(((this.lastDialogue - start) * options.num_generations) / options.batch_size);
    this.totalSteps = Math.min(options.max_steps ?? Infinity, updates * this.stepsPerUpdate);
    this.state = {
      stage: 'grpo',
      step: 0,
      updates: 0,
      cursor: start,
      groups: 0,
      numTokens: 0,
      logPosition: 0,
      data: dataFingerprint(rows),
      probe: [],
      pending: [],
      counters: newCounters(),
    };
  }

  async run(): Promise<GrpoSummary> {
    const { options, context, policy } = this.input;
    await this.begin();
    while (this.state.cursor < this.lastDialogue && this.state.step < this.totalSteps) {
      const { cursor, step } = this.state;
      await this.wave();
      while (this.state.pending.length >= options.batch_size && this.state.step < this.totalSteps)
        await this.update();
      const turns = (n: number): number => Math.floor(n / options.save_turn);
      const steps = (n: number): number => Math.floor(n / options.save_steps);
      if (turns(this.state.cursor) > turns(cursor)) {
        const folder = `adapters/dialogue-${String(this.state.cursor).padStart(6, '0')}`;
        await writeFolder(context.store, folder, await policy.exportWeights());
        await this.save(true);
      } else if (steps(this.state.step) > steps(step)) await this.save(true);
    }
    return this.finish();
  }

  /** Set and check the reference, and go to where the last checkpoint was. */
  private async begin(): Promise<void> {
    const { policy, reference, options, context } = this.input;
    const found = await findCheckpoint(this.checkpoints, context, 'grpo');
    // Before the checkpoint is loaded: `current` means the weights that the host has just loaded, the SFT model.
    await policy.setReference(reference);
    const probe = probeSequences(this.input);
    const scores = await probeReference(policy, probe);
    if (found) {
      const { policy: policyState, stage } = splitCheckpoint(found.files);
      const saved = v.safeParse(grpoStateSchema, stage);
      if (!saved.success || saved.output.data !== this.state.data)
        throw new CheckpointError(
          `${found.path} was made with other training data.`,
          'Continue with the same data, or start another run.',
        );
      assertSameReference(scores, saved.output.probe);
      await policy.loadState(policyState);
      this.state = saved.output;
      await context.log.truncate(this.state.logPosition);
      this.savedAt = this.mark();
      return;
    }
    this.state.probe = scores;
    if (this.input.startsFromReference ?? !options.resume_start)
      await assertPolicyIsReference(policy, probe, scores);
    this.progress();
    context.log.emit({
      type: 'metrics',
      stage: 'grpo',
      name: 'objective',
      metrics: { loss_type: options.loss_type, ...this.objective, advantages: { ...this.advantages } },
    });
  }

  /** Sample as many groups as the batch still needs (and may be in flight), decide about each, keep what is to be kept. */
  private async wave(): Promise<void> {
    const { options, context, rows, policy } = this.input;
    const { clock, signal } = context;
    const { cursor } = this.state;
    const epoch = Math.floor(cursor / rows.length);
    const count = Math.min(
      options.groups_in_flight,
      Math.ceil((options.batch_size - this.state.pending.length) / options.num_generations),
      this.lastDialogue - cursor,
      rows.length - (cursor % rows.length),
      options.save_turn - (cursor % options.save_turn),
    );
    const order = dialogueOrder(options.seed, epoch, rows.length);
    const chosen = order.slice(cursor % rows.length, (cursor % rows.length) + count).map((i) => rows[i]!);
    const started = clock.now();
    const before = { ...this.recommender.counts };
    let groups: Group[];
    try {
      signal?.throwIfAborted();
      groups = await collectGroups(chosen, epoch, { ...this.input, recommender: this.recommender, signal });
    } catch (error) {
      // Nothing of this wave is in the state or the log yet: the run continues at its beginning.
      if (signal?.aborted || error instanceof ProviderError) await this.save(false);
      throw error;
    }
    const kept: KeptRollout[] = [];
    for (const group of groups) kept.push(...this.decide(group));
    const scored = await scoreRollouts(policy, kept, {
      temperature: options.temperature,
      beta: options.init_kl_coef,
      recommendationMask: options.recommendation_mask,
      maxTrainTurn: options.max_train_turn ?? Infinity,
    });
    this.state.pending.push(...scored);
    this.state.counters.seconds += (clock.now() - started) / 1000;
    this.state.cursor += count;
    this.warnOfCuts(before);
    this.progress();
  }

  private warnOfCuts(before: ContextCounts): void {
    const { shortenedDialogues, shortenedReplies } = this.recommender.counts;
    const dialogues = shortenedDialogues - before.shortenedDialogues;
    const replies = shortenedReplies - before.shortenedReplies;
    if (dialogues + replies > 0)
      this.input.context.log.emit({
        type: 'warning',
        stage: 'grpo',
        code: 'contexts_shortened',
        message: `${dialogues} contexts lost their oldest messages and ${replies} seeker replies were cut to fit the model.`,
      });
  }

  /** Rewards → advantages → kept or dropped; everything is logged, the dropped too. */
  private decide(group: Group): KeptRollout[] {
    const { options, context } = this.input;
    const { log } = context;
    const { step } = this.state;
    const number = this.state.groups++;
    const rewards = group.rollouts.map((r) => r.reward.reward);
    // With `scale_rewards batch` the batch's deviation is not known yet: advantages are centred here, divided in the update.
    const scale = this.advantages.scale === 'batch' ? 'none' : this.advantages.scale;
    const { advantages } = groupAdvantages(
      rewards,
      rewards.map(() => 0),
      { ...this.advantages, scale },
    );
    const decision = groupDecision(group.successes, group.rollouts.length, {
      dynamicSampling: options.dynamic_sampling,
      threshold: options.sampling_threshold,
    });
    countGroup(this.state.counters, group, decision.kept);
    for (const { record, transcript } of group.rollouts) {
      const lossMask = new Array<number>(transcript.tokens.length).fill(0);
      for (const { start, end } of transcript.turns) lossMask.fill(1, start, end);
      const logprobs = Array.from(transcript.logprobs, (lp) => (Number.isNaN(lp) ? 0 : brief(lp)));
      const tokens = { ids: transcript.tokens, lossMask, logprobs };
      log.emit({ type: 'rollout', stage: 'grpo', step, rollout: { ...record, tokens } });
    }
    log.emit({
      type: 'group',
      stage: 'grpo',
      step,
      dialogue: group.row.dialogue.key,
      rewards,
      advantages: advantages.map(brief),
      decision,
    });
    const { model, promptTokens, completionTokens, costUsd } = group.seeker;
    if (promptTokens + completionTokens > 0)
      log.emit({ type: 'cost', stage: 'grpo', model, promptTokens, completionTokens, costUsd });
    if (!decision.kept) return [];
    return group.rollouts.map((rollout, i) => ({ rollout, group: number, advantage: advantages[i]! }));
  }

  /** One update on the first `batch_size` kept rollouts. */
  private async update(): Promise<void> {
    const { policy, options, context, rows } = this.input;
    const { log, clock } = context;
    const batch = this.state.pending.splice(0, options.batch_size);
    const rolloutMetrics = counterMetrics(this.state.counters);
    const before = this.state.step;
    let started = clock.now();
    await updatePolicy(
      {
        policy,
        batch,
        objective: this.objective,
        advantages: this.advantages,
        ppoEpochs: options.ppo_epoch,
        miniBatchSize: options.mini_batch_size ?? options.batch_size,
        seed: options.seed,
        update: this.state.updates,
        optimizer: (k) => optimizerAt(options, before + k, this.totalSteps),
      },
      ({ metrics, rollouts, tokens }) => {
        const first = this.state.step === before;
        this.state.step++;
        this.state.numTokens += tokens;
        const now = clock.now();
        log.emit({ type: 'update', stage: 'grpo', step: this.state.step, rollouts });
        log.emit({
          type: 'step',
          stage: 'grpo',
          step: this.state.step,
          metrics: {
            ...metrics,
            ...(first ? rolloutMetrics : {}),
            epoch: this.state.cursor / rows.length,
            num_tokens: this.state.numTokens,
            step_time: (now - started) / 1000,
            ...performanceMetrics(policy, tokens, (now - started) / 1000),
          },
        });
        started = now;
      },
    );
    this.state.updates++;
    this.state.counters = newCounters();
  }

  private async finish(): Promise<GrpoSummary> {
    const { policy, context, options } = this.input;
    const { log, store } = context;
    const left = this.state.pending.length;
    await this.save(true);
    if (left > 0 && this.state.cursor >= this.lastDialogue)
      log.emit({
        type: 'warning',
        stage: 'grpo',
        code: 'rollouts_left_over',
        message: `${left} kept rollouts did not fill a last batch of ${options.batch_size} and were not trained on.`,
      });
    await writeFolder(store, adapterFolder, await policy.exportWeights());
    const summary: GrpoSummary = {
      steps: this.state.step,
      updates: this.state.updates,
      dialogues: this.state.cursor - (options.resume_start ?? 0),
      groups: this.state.groups,
      leftOver: left,
      adapter: adapterFolder,
    };
    log.emit({ type: 'done', stage: 'grpo', summary: { ...summary } });
    await log.flush();
    return summary;
  }

  /** Save the state. A regular checkpoint is an event of the log; one made on stopping is not, so that the log goes on alike. */
  private async save(regular: boolean): Promise<void> {
    const { policy, context } = this.input;
    const { log } = context;
    if (this.savedAt === this.mark()) return;
    const number = this.state.cursor;
    const path = this.checkpoints.pathOf(number);
    if (regular) log.emit({ type: 'checkpoint', stage: 'grpo', step: this.state.step, path });
    await log.flush();
    this.state.logPosition = log.position;
    await this.checkpoints.save(number, joinCheckpoint(await policy.saveState(), this.state));
    this.savedAt = this.mark();
  }

  private mark(): string {
    return `${this.state.cursor}/${this.state.step}`;
  }

  private progress(): void {
    const start = this.input.options.resume_start ?? 0;
    const done = this.state.cursor - start;
    const total = this.lastDialogue - start;
    this.input.context.log.emit({ type: 'progress', stage: 'grpo', done, total, unit: 'dialogues' });
  }
}
