/** @file A language model as the teacher: full history, temperature 0, list with line breaks (spec: pipeline, section 3). */
import type { ChatModel } from '../../core/chat_model.ts';
import { turnSeed } from '../episode/seeds.ts';
import { teacherContext } from '../prompts/contexts.ts';
import type { PromptSet } from '../prompts/prompts.ts';
import type { EpisodeState, Recommender, RecommenderTurn } from '../types.ts';

export interface LlmTeacherOptions {
  model: ChatModel;
  prompts: PromptSet;
  /** Default 0, as in the original. */
  temperature?: number;
  /** Default 400: a reason and ten titles. */
  maxTokens?: number;
}

/** A recommender by language model. Throws what the model throws (`ProviderError`, the signal's reason). */
export class LlmTeacher implements Recommender {
  readonly name: string;

  constructor(private readonly options: LlmTeacherOptions) {
    this.name = options.model.name;
  }

  respond(states: readonly EpisodeState[], signal?: AbortSignal): Promise<RecommenderTurn[]> {
    const { model, prompts, temperature = 0, maxTokens = 400 } = this.options;
    return Promise.all(
      states.map(async (state) => {
        const answer = await model.chat({
          messages: teacherContext(state, prompts),
          temperature,
          maxTokens,
          seed: turnSeed(state.seed, state.turn, 'recommender'),
          signal,
        });
        return { text: answer.text.trim(), model: answer.model, usage: answer.usage };
      }),
    );
  }
}
