/**
 * @file A first context that fits: the oldest messages are left out, whole, until it does; a single message that is still
 * too long loses its beginning. The system prompt stays. Callers count what was shortened; nothing is cut silently.
 */
import { InputError } from '../../core/errors.ts';
import type { ChatTurn } from '../../core/tokenizer.ts';
import type { ChatTokens } from './chat_tokens.ts';

export interface FittedContext {
  tokens: number[];
  messages: ChatTurn[];
  shortened: boolean;
}

/** Tokens kept for a seeker's reply and the template around it. */
const replyRoom = 96;

/** Room for the first context of an episode, so that `turnNum` turns fit `maxContext` tokens. */
export function firstContextRoom(maxContext: number, turnNum: number, maxNewTokens: number): number {
  return maxContext - turnNum * maxNewTokens - (turnNum - 1) * replyRoom;
}

/**
 * Fit `[system?, …messages]` into `room` tokens, generation prompt included. Throws `InputError` naming `where` when not even
 * the template and the system prompt fit.
 */
export function fitContext(
  chat: ChatTokens,
  context: readonly ChatTurn[],
  room: number,
  where: string,
): FittedContext {
  const whole = chat.prompt(context);
  if (whole.length <= room) return { tokens: whole, messages: [...context], shortened: false };
  const system = context[0]?.role === 'system' ? [context[0]] : [];
  let rest = context.slice(system.length);
  while (rest.length > 1) {
    rest = rest.slice(1);
    const tokens = chat.prompt([...system, ...rest]);
    if (tokens.length <= room) return { tokens, messages: [...system, ...rest], shortened: true };
  }
  const last = rest[0];
  const ids = last ? chat.tokenizer.encode(last.content) : [];
  for (let keep = ids.length; last && keep > 0;) {
    const over = chat.prompt([...system, last]).length - ids.length + keep - room;
    keep -= Math.max(1, over);
    if (keep <= 0) break;
    const content = chat.tokenizer.decode(ids.slice(-keep)).replace(/^\uFFFD+/u, '');
    const messages = [...system, { ...last, content }];
    const tokens = chat.prompt(messages);
    if (tokens.length <= room) return { tokens, messages, shortened: true };
  }
  throw new InputError(
    `${where}: the prompt alone needs more than the ${room} tokens there is room for.`,
    'Lower --max_new_tokens or --turn_num, shorten the system prompt (--prompts), or use a model with a longer context.',
  );
}
