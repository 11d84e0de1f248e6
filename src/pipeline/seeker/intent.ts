/**
 * @file What a recommender's message does, read from the words: does it recommend, and which items? A visible list recommends;
 * so does a title after "have you seen", "how about", "you might enjoy" and the like. A title that only recalls what was
 * said before ("since you liked X, what …?") does not.
 */
import type { Intent } from '../types.ts';

/** Finds catalogue items in a text. */
export interface TitleReader {
  /**
   * The visible list: its items in order (null for a title outside the catalogue) and the text around it; null when there
   * is no list.
   */
  list(text: string): { items: (number | null)[]; around: string } | null;
  /** Items named anywhere in running text, with where their titles start. */
  named(text: string): { id: number; start: number }[];
}

export interface ReadMessage {
  intent: Intent;
  /** Items the message recommends. */
  items: number[];
}

const OFFERS =
  /\b(have you (ever )?(seen|watched|tried|heard of)|did you (see|watch)|how about|what about|you (might|may|could|would|will|should|'ll|'d) (also |really |probably )?(like|love|enjoy|appreciate|try|watch|see|check)|i (would |'d |can |could |also )?(recommend|suggest)|check out|give .{0,40}a (try|watch)|try (watching )?|watch|another (great|good) (one|choice|film|movie)|(is|was) (a )?(great|good|classic|perfect|excellent))/gi;
/** Words that introduce what the seeker liked already. */
const RECALLS =
  /\b(since|because|as|that|if) you (really )?(like|liked|love|loved|enjoy|enjoyed|mentioned|said|watched|saw)\b|\byou (really )?(like|liked|love|loved|enjoyed|mentioned)\b/gi;
/** Words that recall only where nothing was offered before them: "films like X", but "you might enjoy films like X". */
const COMPARES = /\b(similar to|such as|like|based on)\b/gi;

/** Read a recommender's message. `before` holds the items named earlier in the conversation. */
export function readMessage(text: string, titles: TitleReader, before: ReadonlySet<number>): ReadMessage {
  const list = titles.list(text);
  if (list) {
    const around = offers(list.around, titles.named(list.around), before);
    const items = [...list.items.filter((id) => id !== null), ...around];
    return { intent: 'recommendation', items: [...new Set(items)] };
  }
  const items = [...new Set(offers(text, titles.named(text), before))];
  return { intent: items.length > 0 ? 'recommendation' : 'inquiry', items };
}

/** Items in running text that are offered rather than recalled. */
function offers(
  text: string,
  named: readonly { id: number; start: number }[],
  before: ReadonlySet<number>,
): number[] {
  return named.filter(({ id, start }) => isOffer(text, start, before.has(id))).map(({ id }) => id);
}

/**
 * The last cue before the title in its sentence decides. Without any cue a title that was not named before is an offer.
 */
function isOffer(text: string, start: number, namedBefore: boolean): boolean {
  const sentence = /[^.!?\n]*$/.exec(text.slice(0, start))![0];
  const offer = lastIndex(sentence, OFFERS);
  const recall = lastIndex(sentence, RECALLS);
  if (offer >= 0 || recall >= 0) return offer >= recall;
  return !namedBefore && lastIndex(sentence, COMPARES) < 0;
}

/** End of the last match, −1 when there is none. */
function lastIndex(text: string, pattern: RegExp): number {
  let last = -1;
  for (const match of text.matchAll(pattern)) last = match.index + match[0].length;
  return last;
}
