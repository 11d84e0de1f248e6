/**
 * @file A language model plays the user. Its answer has to be in the two-part form (seeker_reply.ts); an answer that is not
 * gets one chance to be put right, then the turn is malformed: counted, with an empty reply, and never taken for a success.
 */
import type { ChatModel } from '../../core/chat_model.ts';
import type { ChatTurn } from '../../core/tokenizer.ts';
import { turnSeed } from '../episode/seeds.ts';
import { seekerContext } from '../prompts/contexts.ts';
import type { PromptSet } from '../prompts/prompts.ts';
import type { EpisodeState, Seeker, SeekerReply } from '../types.ts';
import { parseSeekerReply } from './seeker_reply.ts';

export interface LlmSeekerOptions {
  model: ChatModel;
  prompts: PromptSet;
  /** The model sees attributes of the targets, never titles. */
  attributeOnly?: boolean;
  /** Default 0, as in the original. */
  temperature?: number;
  /** Room for both lines; the reply itself should take about 30 tokens. Default 96. */
  maxTokens?: number;
  /** Repair attempts after a malformed answer. Default 1. */
  repairs?: number;
}

/** A seeker by language model. Throws what the model throws (`ProviderError`, the signal's reason). */
export class LlmSeeker implements Seeker {
  readonly name: string;

  constructor(private readonly options: LlmSeekerOptions) {
    this.name = options.model.name;
  }

  reply(states: readonly EpisodeState[], signal?: AbortSignal): Promise<SeekerReply[]> {
    return Promise.all(states.map((state) => this.replyTo(state, signal)));
  }

  private async replyTo(state: EpisodeState, signal?: AbortSignal): Promise<SeekerReply> {
    const { model, prompts, attributeOnly, temperature = 0, maxTokens = 96, repairs = 1 } = this.options;
    const messages: ChatTurn[] = seekerContext(state, prompts, { attributeOnly });
    const usage = { promptTokens: 0, completionTokens: 0, costUsd: 0 };
    let served = model.name;
    for (let attempt = 0; attempt <= repairs; attempt++) {
      const answer = await model.chat({
        messages,
        temperature,
        maxTokens,
        seed: turnSeed(state.seed, state.turn, 'seeker') + attempt,
        signal,
      });
      served = answer.model;
      usage.promptTokens += answer.usage.promptTokens;
      usage.completionTokens += answer.usage.completionTokens;
      usage.costUsd += answer.usage.costUsd ?? 0;
      const parsed = parseSeekerReply(answer.text);
      if (parsed) return { ...parsed, malformedAttempts: attempt, model: served, usage };
      messages.push(
        { role: 'assistant', content: answer.text.trim() || '…' },
        { role: 'user', content: prompts.seekerRepair },
      );
    }
    return {
      intent: 'malformed',
      text: '',
      accepted: false,
      malformedAttempts: repairs + 1,
      model: served,
      usage,
    };
  }
}
