/**
 * @file Which messages each participant sees (spec: pipeline, section 3). The recommender: its system prompt, the last five
 * messages of the given dialogue and the whole interaction. A teacher: the full history. A seeker: the full history with the
 * roles swapped (it speaks as the assistant of its own model) and its secret in the system prompt.
 */
import type { ChatTurn } from '../../core/tokenizer.ts';
import type { Dialogue, EpisodeState, Item, Message } from '../types.ts';
import { fillPrompt, type PromptSet } from './prompts.ts';

/** Messages of the given dialogue that the recommender sees. */
export const GIVEN_WINDOW = 5;
/** About how long a seeker's reply should be. */
const SEEKER_WORDS = 20;

/** The parts of an episode that a context is built from. */
export type ContextState = Pick<EpisodeState, 'given' | 'interaction'>;

/** System prompt (none when the set's is empty), the last five given messages, the whole interaction. */
export function recommenderContext(state: ContextState, prompts: PromptSet): ChatTurn[] {
  return [...system(prompts.recommender), ...state.given.slice(-GIVEN_WINDOW), ...state.interaction];
}

/** The teacher's context: full history, and the order to recommend when this turn has to be a recommendation. */
export function teacherContext(
  state: ContextState & Pick<EpisodeState, 'mustRecommend'>,
  prompts: PromptSet,
): ChatTurn[] {
  const instruction =
    state.mustRecommend && prompts.mustRecommend
      ? `${prompts.teacher}\n${prompts.mustRecommend}`
      : prompts.teacher;
  return [...system(instruction), ...userFirst([...state.given, ...state.interaction])];
}

/** The seeker's context: roles swapped, titles (or only attributes) of the targets in the system prompt. */
export function seekerContext(
  state: ContextState & { dialogue: Pick<Dialogue, 'targets'> },
  prompts: PromptSet,
  options: { attributeOnly?: boolean } = {},
): ChatTurn[] {
  const { targets } = state.dialogue;
  const instruction = options.attributeOnly
    ? fillPrompt(prompts.attributeSeeker, {
        attributes: targets.map(describeAttributes).join('; or '),
        words: SEEKER_WORDS,
      })
    : fillPrompt(prompts.seeker, {
        targets: targets.map((item) => `"${item.name}"`).join(', '),
        words: SEEKER_WORDS,
      });
  return [...system(instruction), ...userFirst(swapRoles([...state.given, ...state.interaction]))];
}

/** What can be said of an item without its title: "comedy, crime; with A, B; directed by C; from the 1990s". */
export function describeAttributes(item: Item): string {
  const parts = [
    item.genres.slice(0, 3).join(', '),
    item.stars.length ? `with ${item.stars.slice(0, 2).join(' and ')}` : '',
    item.directors.length ? `directed by ${item.directors[0]}` : '',
    item.year === null ? '' : `from the ${Math.floor(item.year / 10) * 10}s`,
  ].filter((part) => part !== '');
  return parts.length ? parts.join('; ') : 'a film people like';
}

function swapRoles(messages: readonly Message[]): Message[] {
  return messages.map(({ role, content }) => ({
    role: role === 'user' ? 'assistant' : 'user',
    // Chat APIs refuse empty messages; a policy may write one.
    content: content.trim() === '' ? '…' : content,
  }));
}

/** Many chat APIs refuse a conversation that the assistant opens: a neutral greeting goes first. */
function userFirst(messages: Message[]): Message[] {
  return messages[0]?.role === 'assistant' ? [{ role: 'user', content: 'Hello.' }, ...messages] : messages;
}

function system(content: string): ChatTurn[] {
  return content === '' ? [] : [{ role: 'system', content }];
}
