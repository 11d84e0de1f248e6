/**
 * @file Prompts in the cache. Requests with the same prompt share one: its tokens enter the cache once, its last hidden state is kept, and
 * both stay until the last request that wants them has ended.
 */
import type { GenerateRequest } from '../../core/policy.ts';
import type { Decoder } from './decoder.ts';
import type { EntryRange } from './kv_pool.ts';

/** A prompt shared by `users` requests that have not ended. */
export interface SharedPrompt {
  tokens: readonly number[];
  /** Requests that have it, by index, in order. */
  requests: number[];
  users: number;
  /** Where it lies once it is in the cache. */
  held: { range: EntryRange; slot: number } | null;
}

/** Distinct prompts in order of first appearance. */
export function sharePrompts(requests: readonly GenerateRequest[]): SharedPrompt[] {
  const byText = new Map<string, SharedPrompt>();
  requests.forEach(({ prompt }, index) => {
    const key = prompt.join();
    const shared = byText.get(key) ?? { tokens: prompt, requests: [], users: 0, held: null };
    byText.set(key, shared);
    shared.requests.push(index);
    shared.users++;
  });
  return [...byText.values()];
}

/** Which prompts are in the cache of a decoder, and where. */
export class PromptCache {
  private readonly freeSlots: number[];
  private readonly held = new Set<SharedPrompt>();

  constructor(private readonly decoder: Decoder) {
    this.freeSlots = Array.from({ length: decoder.sizes.prompts }, (_, i) => i).reverse();
  }

  /** Take room for a prompt that is not held; false when there is none. The caller prefills it. */
  take(prompt: SharedPrompt): boolean {
    const slot = this.freeSlots.pop();
    if (slot === undefined) return false;
    const range = this.decoder.cache.ranges.take(prompt.tokens.length);
    if (!range) {
      this.freeSlots.push(slot);
      return false;
    }
    prompt.held = { range, slot };
    this.held.add(prompt);
    return true;
  }

  /** One request of the prompt has ended. */
  release(prompt: SharedPrompt): void {
    if (--prompt.users === 0) this.forget(prompt);
  }

  /** Forget every held prompt; those still wanted must be prefilled again. */
  clear(): void {
    for (const prompt of this.held) this.forget(prompt);
  }

  /** Give a prompt's room back, though requests may still want it. */
  forget(prompt: SharedPrompt): void {
    if (!prompt.held) return;
    this.decoder.cache.ranges.give(prompt.held.range);
    this.freeSlots.push(prompt.held.slot);
    prompt.held = null;
    this.held.delete(prompt);
  }
}
