/**
 * @file The policy as a recommender: all live episodes of a turn in one generate call, each with its own seed, each under the
 * exact tokens of its own past (see chat_tokens.ts). A message that was rewritten before the seeker saw it (re-ranking) is
 * written into the context as the seeker saw it.
 */
import { InputError } from '../../core/errors.ts';
import type { GenerateOptions, Policy, SamplingOptions } from '../../core/policy.ts';
import { turnSeed } from '../episode/seeds.ts';
import { recommenderContext } from '../prompts/contexts.ts';
import type { PromptSet } from '../prompts/prompts.ts';
import type { EpisodeState, Recommender, RecommenderTurn } from '../types.ts';
import type { ChatTokens } from './chat_tokens.ts';
import { firstContextRoom, fitContext } from './fit_context.ts';

export interface PolicyRecommenderOptions {
  policy: Policy;
  chat: ChatTokens;
  prompts: PromptSet;
  /** How turns are sampled; stop tokens are the tokenizer's. */
  sampling: Omit<SamplingOptions, 'stopTokens'>;
  /** Most tokens of a context with its completion (the model's positions). */
  maxContext: number;
  /** T: room is kept for this many turns, so that an episode does not outgrow the context half-way. Default 1. */
  turnNum?: number;
  /** Name in logs. */
  name?: string;
  onTokens?: GenerateOptions['onTokens'];
  /** Told when a first context or a reply had to be shortened to fit. */
  onShortened?: (key: string, what: 'dialogue' | 'reply') => void;
}

/** What is remembered of an episode between two turns. */
interface Memory {
  /** Number of the turn that was written last. */
  turn: number;
  prompt: number[];
  tokens: number[];
  text: string;
}

/** Counts of what did not fit the model's context. */
export interface ContextCounts {
  /** First contexts whose oldest given messages were left out. */
  shortenedDialogues: number;
  /** Seeker replies that were cut. */
  shortenedReplies: number;
}

/** Episodes remembered at once, far more than are ever in flight; the ones spoken in longest ago are forgotten. */
const mostRemembered = 4096;

/** `Recommender` over a `Policy`. */
export class PolicyRecommender implements Recommender {
  readonly name: string;
  readonly counts: ContextCounts = { shortenedDialogues: 0, shortenedReplies: 0 };
  private readonly memory = new Map<string, Memory>();

  constructor(private readonly options: PolicyRecommenderOptions) {
    this.name = options.name ?? 'policy';
  }

  async respond(states: readonly EpisodeState[], signal?: AbortSignal): Promise<RecommenderTurn[]> {
    const { policy, chat, sampling, onTokens } = this.options;
    if (states.length === 0) return [];
    const prompts = states.map((state) => this.context(state));
    const completions = await policy.generate(
      states.map((state, i) => ({
        prompt: prompts[i]!,
        seed: turnSeed(state.seed, state.turn, 'recommender'),
      })),
      {
        ...sampling,
        stopTokens: chat.tokenizer.stopTokens,
        ...(signal ? { signal } : {}),
        ...(onTokens ? { onTokens } : {}),
      },
    );
    return states.map((state, i) => {
      const { tokens, logprobs, finishReason } = completions[i]!;
      const prompt = prompts[i]!;
      const text = chat.text(tokens);
      this.remember(state.key, { turn: state.turn, prompt, tokens, text });
      return {
        text,
        sample: { prompt, tokens, logprobs: [...logprobs], finishReason },
        model: this.name,
        usage: { promptTokens: prompt.length, completionTokens: tokens.length },
      };
    });
  }

  /** Forget every episode. Call between batches of episodes; keys may then be used again. */
  reset(): void {
    this.memory.clear();
  }

  private remember(key: string, memory: Memory): void {
    this.memory.delete(key);
    this.memory.set(key, memory);
    for (const oldest of this.memory.keys()) {
      if (this.memory.size <= mostRemembered) return;
      this.memory.delete(oldest);
    }
  }

  /** The exact context of the next turn. [T] */
  private context(state: EpisodeState): number[] {
    if (state.turn === 1) return this.firstContext(state);
    const past = this.memory.get(state.key);
    if (!past || past.turn !== state.turn - 1)
      throw new InputError(
        `Episode ${state.key} has no recorded turn ${state.turn - 1}.`,
        'Run an episode from its first turn; a prefix belongs to the given dialogue.',
      );
    const { chat, sampling, maxContext } = this.options;
    const [said, reply] = state.interaction.slice(-2);
    const written = said!.content === past.text ? past.tokens : chat.assistantTurn(said!.content);
    const userText = this.withOrder(state, reply!.content);
    const context = chat.extend(past.prompt, written, userText);
    const over = context.length + sampling.maxNewTokens - maxContext;
    if (over <= 0) return context;
    this.counts.shortenedReplies++;
    this.options.onShortened?.(state.key, 'reply');
    const ids = chat.tokenizer.encode(userText);
    if (over >= ids.length)
      throw new InputError(
        `Episode ${state.key} does not fit ${maxContext} tokens in turn ${state.turn}.`,
        'Lower --max_new_tokens or --turn_num, or use a model with a longer context.',
      );
    const kept = chat.tokenizer.decode(ids.slice(0, ids.length - over)).replace(/\uFFFD+$/u, '');
    const shorter = chat.extend(past.prompt, written, kept);
    return shorter.length + sampling.maxNewTokens <= maxContext
      ? shorter
      : chat.extend(past.prompt, written, '');
  }

  private firstContext(state: EpisodeState): number[] {
    const { chat, prompts, sampling, maxContext, turnNum = 1 } = this.options;
    const messages = recommenderContext({ given: state.given, interaction: [] }, prompts);
    if (state.mustRecommend && prompts.mustRecommend !== '') {
      const last = messages.length - 1;
      const at = messages[last]?.role === 'assistant' ? 0 : last;
      const message = messages[at];
      if (message) messages[at] = { ...message, content: this.withOrder(state, message.content) };
    }
    const room = firstContextRoom(maxContext, turnNum, sampling.maxNewTokens);
    const fitted = fitContext(chat, messages, room, state.key);
    if (fitted.shortened) {
      this.counts.shortenedDialogues++;
      this.options.onShortened?.(state.key, 'dialogue');
    }
    return fitted.tokens;
  }

  /** In the last exchange of `--last_turn_recommend` the order to recommend is added to what the seeker said. */
  private withOrder(state: EpisodeState, text: string): string {
    const order = this.options.prompts.mustRecommend;
    return state.mustRecommend && order !== '' ? `${text}\n${order}` : text;
  }
}
