/**
 * @file The leak filter: a seeker that names a target gives the answer away. The title is replaced, the sentence stays.
 * On in training and in evaluation. A target that was named before (in the given dialogue, or by the recommender, whom the
 * seeker then accepts by name) is no secret any more and is left alone.
 */
import type { Message } from '../../core/message.ts';
import type { Dialogue, Item } from '../types.ts';
import { findMentions, mentions, type Mention } from './title_pattern.ts';

/** What a title is replaced by. */
export const REDACTED = '[title]';

export interface Redaction {
  text: string;
  /** What was replaced; empty when nothing leaked. Positions are those of the original text. */
  leaks: Mention[];
}

/** Replace every mention of the given items in a text. */
export function redactTitles(text: string, secrets: readonly Item[], replacement = REDACTED): Redaction {
  const found = secrets.flatMap((item) => findMentions(text, item));
  found.sort((a, b) => a.start - b.start || b.end - a.end);
  const leaks: Mention[] = [];
  let out = '';
  let at = 0;
  for (const mention of found) {
    if (mention.start < at) continue;
    out += text.slice(at, mention.start) + replacement;
    at = mention.end;
    leaks.push(mention);
  }
  return { text: leaks.length === 0 ? text : out + text.slice(at), leaks };
}

/** Redact a seeker's reply: only targets that no earlier message names are secret. */
export function redactReply(
  reply: string,
  targets: readonly Item[],
  earlier: readonly Message[],
  replacement = REDACTED,
): Redaction {
  return redactTitles(reply, secretTargets(targets, earlier), replacement);
}

/** Targets that no message names. */
export function secretTargets(targets: readonly Item[], messages: readonly Message[]): Item[] {
  return targets.filter((item) => !messages.some((m) => mentions(m.content, item)));
}

/** A target named in the given dialogue. */
export interface GivenLeak extends Mention {
  /** Index of the message in `dialog`. */
  message: number;
  role: Message['role'];
}

/** Targets that a given dialogue names already: reported, never changed. */
export function givenLeaks(dialogue: Pick<Dialogue, 'dialog' | 'targets'>): GivenLeak[] {
  return dialogue.dialog.flatMap(({ role, content }, message) =>
    dialogue.targets.flatMap((item) => findMentions(content, item).map((m) => ({ ...m, message, role }))),
  );
}
