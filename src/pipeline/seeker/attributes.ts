/**
 * @file What can be said about an item without its title: values by facet, and which facet a question asks for. Shared by
 * the rule seeker (who describes) and the rule teacher (who asks).
 */
import type { Item } from '../types.ts';

/** Kinds of attributes people talk about. */
export const FACETS = ['genre', 'star', 'director', 'writer', 'decade', 'story'] as const;
export type Facet = (typeof FACETS)[number];

/** Values of a facet that are said one at a time. `story` is made of plot words, see `storyWords`. */
export function facetValues(item: Item, facet: Exclude<Facet, 'story'>): string[] {
  switch (facet) {
    case 'genre':
      return item.genres;
    case 'star':
      return item.stars.slice(0, 3);
    case 'director':
      return item.directors;
    case 'writer':
      return item.writers.slice(0, 2);
    case 'decade':
      return item.year === null ? [] : [decadeName(item.year)];
  }
}

/** `1994` → `1990s`. */
export function decadeName(year: number): string {
  return `${Math.floor(year / 10) * 10}s`;
}

/** Words that name a facet in a question. The first facet whose word occurs is asked for. */
const QUESTION_WORDS: [Facet, RegExp][] = [
  ['director', /\b(directors?|directed|filmmakers?|film-makers?)\b/],
  ['writer', /\b(writers?|wrote|written|screenwriters?|authors?)\b/],
  ['star', /\b(actors?|actress(es)?|stars?|starring|cast|performers?)\b/],
  ['decade', /\b(decades?|eras?|years?|periods?|release[ds]?|modern|older|newer|recent|when)\b/],
  ['story', /\b(story|stories|storyline|plots?|themes?|topics?|about what|setting)\b/],
  ['genre', /\b(genres?|kinds?|types?|sorts?|moods?|styles?|tones?)\b/],
];

/** Which facet the last question of a message asks for; null when it is open ("what do you like?"). */
export function askedFacet(message: string): Facet | null {
  const sentences = message.toLowerCase().match(/[^.?!]*[.?!]?/g) ?? [];
  const question = sentences.filter((sentence) => sentence.includes('?')).at(-1) ?? message.toLowerCase();
  return QUESTION_WORDS.find(([, words]) => words.test(question))?.[0] ?? null;
}

const STOP_WORDS = new Set(
  `about after again against along among another around because become becomes before begin begins behind being between
  both bring brings called come comes could does doesn during each even ever every face faces film find finds finding first
  from gets give goes have having help helps himself herself however into itself join just keep know known lead leads leave
  life like live lives living long look make makes making many meet meets more most move movie must name named never once
  only other others over part people place realizes return returns same series since small soon start starts still story
  such take takes taking tells than that their them themselves then there they this those three through time together tries
  trying turn turns under until upon used very want wants well were what when where which while whose will with within
  without work world would year years young your man men woman women two one`.split(/\s+/),
);

/** Up to `count` telling words of the plot: long, no name of a person or place, not in any of the avoided texts. */
export function storyWords(item: Item, count: number, avoid: readonly string[]): string[] {
  const taboo = new Set(avoid.flatMap((text) => words(text)));
  const seen = new Set<string>();
  for (const word of item.plot.match(/\p{L}+/gu) ?? []) {
    const lower = word.toLowerCase();
    // A capital letter is most often a name; names give the film away.
    if (word !== lower || lower.length < 5 || STOP_WORDS.has(lower) || taboo.has(lower)) continue;
    seen.add(lower);
  }
  return [...seen].sort((a, b) => b.length - a.length || (a < b ? -1 : 1)).slice(0, count);
}

/** Lower-case words of a text, accents kept. */
export function words(text: string): string[] {
  return text.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? [];
}

/** Is the phrase said in the text, as whole words, case ignored? */
export function says(text: string, phrase: string): boolean {
  const wanted = words(phrase).join(' ');
  return wanted !== '' && ` ${words(text).join(' ')} `.includes(` ${wanted} `);
}
