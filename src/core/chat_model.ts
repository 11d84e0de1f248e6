/** @file `ChatModel`: any language model that answers a list of messages (teacher, seeker), wherever it runs. */
import type { ChatTurn } from './tokenizer.ts';

export interface ChatRequest {
  messages: readonly ChatTurn[];
  temperature?: number;
  maxTokens?: number;
  seed?: number;
  signal?: AbortSignal;
}

export interface ChatReply {
  text: string;
  /** The model that really answered. */
  model: string;
  usage: { promptTokens: number; completionTokens: number; costUsd?: number };
}

export interface ChatModel {
  /** `provider:model`, e.g. `local:qwen2.5-7b`. */
  readonly name: string;
  /** Throws `ProviderError` (retries are the implementation's own business). */
  chat(request: ChatRequest): Promise<ChatReply>;
}
