/** @file Writing a recommendation: one line, the canonical phrase, a numbered list. The parser's inverse. */

/** The phrase every recommendation carries, as the prompts ask for it. */
export const RECOMMENDATION_PHRASE = 'here are some recommendations:';

/** `1. A (1999) 2. B (2000) …` on one line. Line breaks inside a title become spaces. */
export function renderItems(titles: readonly string[]): string {
  return titles.map((title, i) => `${i + 1}. ${title.replace(/\s+/g, ' ').trim()}`).join(' ');
}

/**
 * A whole recommendation: `<lead>, here are some recommendations: 1. A (1999) 2. B (2000) …`.
 * @param lead the one short reason before the phrase; its last punctuation is replaced by a comma.
 */
export function renderRecommendation(titles: readonly string[], lead = ''): string {
  const reason = lead
    .replace(/\s+/g, ' ')
    .trim()
    .replace(/[\s.,:;!…-]+$/u, '');
  const list = renderItems(titles);
  if (reason === '') return `Here${RECOMMENDATION_PHRASE.slice(4)} ${list}`;
  return /\?$/.test(reason)
    ? `${reason} Here${RECOMMENDATION_PHRASE.slice(4)} ${list}`
    : `${reason}, ${RECOMMENDATION_PHRASE} ${list}`;
}
