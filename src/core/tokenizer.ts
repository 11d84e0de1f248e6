/** @file Text ⇄ tokens, done once, at the edge of the engine. */
import type { Message } from './message.ts';

export interface Tokenizer {
  readonly vocabSize: number;
  /** Tokens that end a turn (from generation_config.json, config.json and the tokenizer). */
  readonly stopTokens: readonly number[];
  /** Encode text as is: no BOS, special tokens in the text are recognised. */
  encode(text: string): number[];
  decode(tokens: readonly number[], options?: { skipSpecialTokens?: boolean }): string;
  /** Render messages with the model's chat template. */
  render(messages: readonly ChatTurn[], options?: { addGenerationPrompt?: boolean }): string;
}

/** A message of a chat template: the dialogue's roles plus `system`. */
export type ChatTurn = Message | { role: 'system'; content: string };
