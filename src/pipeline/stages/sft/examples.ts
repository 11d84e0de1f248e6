/**
 * @file SFT rows as training sequences. The prompt is the one the policy will see (system prompt, last messages of the given
 * dialogue), the interaction is written in the very pieces of a sampled episode, and the loss mask marks what the
 * recommender wrote, end-of-turn token included.
 */
import { InputError } from '../../../core/errors.ts';
import type { TrainSequence } from '../../../core/policy.ts';
import { splitExchanges, type SftRow } from '../../data/sft_data.ts';
import type { ChatTokens, TokenisedDialogue } from '../../policy/chat_tokens.ts';
import { recommenderContext } from '../../prompts/contexts.ts';
import type { PromptSet } from '../../prompts/prompts.ts';
import type { Message } from '../../types.ts';

export interface ExampleOptions {
  trainOnlyInteraction: boolean;
  trainSeekerTokens: boolean;
  /** Most tokens of an example. */
  maxLength: number;
}

/** A training sequence and what had to be left out of it. */
export interface SftExample extends TrainSequence {
  tokens: number[];
  lossMask: Uint8Array;
  /** Messages left out from the beginning because the example was too long. */
  droppedMessages: number;
  /** Tokens cut from the beginning of the single message that was left. */
  cutTokens: number;
}

/**
 * Tokenise one row. An example that is too long loses its oldest messages, whole (given dialogue first, then the earliest
 * exchanges); only when one exchange alone is too long, tokens are cut from its left. Throws `InputError` naming `where`
 * when the interaction is empty or nothing of it would be trained on.
 */
export function sftExample(
  chat: ChatTokens,
  prompts: PromptSet,
  row: Pick<SftRow, 'dialog' | 'interaction'>,
  options: ExampleOptions,
  where: string,
): SftExample {
  let given: Message[] = recommenderContext({ given: row.dialog, interaction: [] }, prompts).filter(
    (m): m is Message => m.role !== 'system',
  );
  let exchanges = splitExchanges(row.interaction).map(mergedExchange);
  let droppedMessages = 0;
  for (;;) {
    const { tokens, spans } = tokenise(chat, prompts, given, exchanges.flat(), options);
    if (tokens.length <= options.maxLength || (given.length === 0 && exchanges.length <= 1)) {
      const cut = Math.max(0, tokens.length - options.maxLength);
      const lossMask = maskOf({ tokens, spans }, options).slice(cut);
      if (!lossMask.includes(1))
        throw new InputError(
          `${where}: no recommender token is left to train on.`,
          'Remove the row, or raise --max_length.',
        );
      return { tokens: tokens.slice(cut), lossMask, droppedMessages, cutTokens: cut };
    }
    if (given.length > 0) {
      given = given.slice(1);
      droppedMessages++;
    } else {
      droppedMessages += exchanges[0]!.length;
      exchanges = exchanges.slice(1);
    }
  }
}

/** The loss mask of a tokenised dialogue. [T] */
function maskOf({ tokens, spans }: TokenisedDialogue, options: ExampleOptions): Uint8Array {
  const mask = new Uint8Array(tokens.length);
  for (const span of spans) {
    if (span.part === 'given' && options.trainOnlyInteraction) continue;
    if (span.role === 'seeker' && !options.trainSeekerTokens) continue;
    mask.fill(1, span.start, span.end);
  }
  mask[0] = 0;
  return mask;
}

function tokenise(
  chat: ChatTokens,
  prompts: PromptSet,
  given: readonly Message[],
  interaction: readonly Message[],
  options: ExampleOptions,
): TokenisedDialogue {
  const context = recommenderContext({ given: [...given], interaction: [] }, prompts);
  // Nothing after the last recommender turn is trained on, unless seeker tokens are.
  const end = options.trainSeekerTokens ? interaction.length : interaction.findLastIndex(isAssistant) + 1;
  return chat.dialogue(context, interaction.slice(0, end));
}

const isAssistant = (message: Message): boolean => message.role === 'assistant';

/** One recommender message and one seeker message: further messages of the seeker join the first. */
function mergedExchange(exchange: readonly Message[]): Message[] {
  const [said, ...replies] = exchange;
  if (replies.length <= 1) return [...exchange];
  return [said!, { role: 'user', content: replies.map((m) => m.content).join('\n') }];
}

/** A number that changes when any token or mask of the data changes, to tell a checkpoint of other data. */
export function fingerprint(examples: readonly Pick<SftExample, 'tokens' | 'lossMask'>[]): number {
  let h = 0x811c9dc5;
  const mix = (x: number): void => {
    h = Math.imul(h ^ x, 0x01000193) >>> 0;
  };
  for (const { tokens, lossMask } of examples) {
    mix(tokens.length);
    tokens.forEach((token, t) => mix(2 * token + lossMask[t]!));
  }
  return h;
}
