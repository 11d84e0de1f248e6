/**
 * @file The two-part form a language-model seeker answers in, read strictly:
 *
 *     Intent: recommendation, accepted | recommendation, refused | recommendation | inquiry
 *     Reply: …
 *
 * Anything else is malformed; nothing is guessed. A bare `recommendation` is taken as accepted only when the reply says so.
 */
import type { Intent } from '../types.ts';

export interface ParsedReply {
  intent: Intent;
  text: string;
  accepted: boolean;
}

const FORM =
  /^\s*(?:1[.)]\s*)?\**intent\**\s*:\s*\**\s*(recommendation|inquiry)\b([^\n]*?)\s*(?:\n+|\s+(?=(?:2[.)]\s*)?\**(?:reply|response)\**\s*:))\s*(?:2[.)]\s*)?\**(?:reply|response)\**\s*:\s*\**\s*([\s\S]+?)\s*$/i;

/** Parse a seeker's answer; null when it is not exactly in the form. */
export function parseSeekerReply(answer: string): ParsedReply | null {
  const match = FORM.exec(answer.replace(/\r\n?/g, '\n'));
  if (!match) return null;
  const intent = match[1]!.toLowerCase() as Intent;
  const verdict = match[2]!
    .replace(/[\s*.,;:()[\]–—-]+/g, ' ')
    .trim()
    .toLowerCase();
  const text = unquote(match[3]!);
  if (text === '' || /(^|\n)\s*(?:[12][.)]\s*)?\**(?:intent|reply|response)\**\s*:/i.test(text)) return null;
  if (intent === 'inquiry') return verdict === '' ? { intent, text, accepted: false } : null;
  if (verdict === '') return { intent, text, accepted: readsAsAcceptance(text) };
  if (/^accept(ed|s)?$/.test(verdict)) return { intent, text, accepted: true };
  if (/^(refus|reject|declin)(e|ed|es|s)?$/.test(verdict)) return { intent, text, accepted: false };
  return null;
}

/** A clear yes without a no. */
export function readsAsAcceptance(text: string): boolean {
  const lower = text.toLowerCase().replace(/[’‘]/g, "'");
  if (/\b(no|not|none|neither|nope|don't|doesn't|isn't|aren't|wasn't|won't|nothing)\b/.test(lower))
    return false;
  return /\b(yes|yeah|yep|perfect|exactly|i accept|i'll take|i'll watch|i will watch|i'd (love|like) to|i would (love|like) to|sounds (good|great|lovely|like)|great choice|sure)\b/.test(
    lower,
  );
}

function unquote(text: string): string {
  const trimmed = text.trim();
  const match = /^["“”'](.*)["“”']$/s.exec(trimmed);
  return (match ? match[1]! : trimmed).trim();
}
