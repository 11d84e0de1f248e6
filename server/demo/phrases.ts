/**
 * @file How people in the demo dialogues put things: openers, hints about a wanted film, questions of the recommender and
 * short answers. Titles and names always stand after a space, so that the tokenizer's title tokens are met.
 */
import type { Rng } from '../../src/core/random.ts';

/** One thing a seeker lets slip about the film it wants. */
export interface Hint {
  facet: 'genre' | 'decade' | 'star' | 'director' | 'liked' | 'avoid';
  value: string;
}

const article = (word: string): string => (/^[aeiou]/.test(word) ? `an ${word}` : `a ${word}`);

const OPENERS = ['Hi!', 'Hello!', 'Hey!', 'Hi there.', 'Good evening.', 'Hello there.'];
const WISHES = [
  (what: string) => `I am looking for ${article(what)}`,
  (what: string) => `I would like to see ${article(what)}`,
  (what: string) => `I am in the mood for ${article(what)}`,
  (what: string) => `Can you suggest ${article(what)}`,
  (what: string) => `Please recommend ${article(what)}`,
];
const LIKED = [
  (title: string) => `I loved ${title}.`,
  (title: string) => `I really enjoyed ${title}.`,
  (title: string) => `My favourite is ${title}.`,
  (title: string) => `Something like ${title} would be great.`,
];
const AVOID = [
  (value: string) => `Please no ${value}.`,
  (value: string) => `I do not like ${value}.`,
  (value: string) => `Nothing with ${value}.`,
];
const VAGUE = [
  'Can you recommend a film for tonight?',
  'I need a film for the weekend.',
  'What should I watch?',
  'I want to see something good.',
];
const WITH_STAR = [(name: string) => `with ${name}`, (name: string) => `starring ${name}`];
const BY_DIRECTOR = [(name: string) => `by ${name}`, (name: string) => `directed by ${name}`];

/** What a seeker says to let the hints slip, e.g. "Hi! I am looking for a comedy film from the 1990s with Bill Murray." */
export function sayHints(rng: Rng, hints: readonly Hint[], options: { open: boolean }): string {
  const value = (facet: Hint['facet']) => hints.find((hint) => hint.facet === facet)?.value;
  const noun = rng.pick(['film', 'movie']);
  const [genre, decade, star, director] = [value('genre'), value('decade'), value('star'), value('director')];
  const details = [
    director && rng.pick(BY_DIRECTOR)(director),
    decade && `from the ${decade}`,
    star && rng.pick(WITH_STAR)(star),
  ].filter((part) => part !== undefined && part !== '');
  const sentences: string[] = [];
  if (genre !== undefined || details.length > 0) {
    const wish = rng.pick(WISHES)([genre ? `${genre} ${noun}` : noun, ...details].join(' '));
    sentences.push(wish + (wish.startsWith('Can') ? '?' : '.'));
  }
  const liked = value('liked');
  if (liked !== undefined) sentences.push(rng.pick(LIKED)(liked));
  if (sentences.length === 0) sentences.push(rng.pick(VAGUE));
  const avoid = value('avoid');
  if (avoid !== undefined) sentences.push(rng.pick(AVOID)(avoid));
  if (options.open && rng.chance(0.6)) sentences.unshift(rng.pick(OPENERS));
  return sentences.join(' ');
}

const ANSWERS: Record<Hint['facet'], ((value: string) => string)[]> = {
  genre: [(v) => `I like ${v}.`, (v) => `Mostly ${v} films.`, (v) => `Something with ${v}.`],
  decade: [(v) => `From the ${v}.`, (v) => `I like films from the ${v}.`],
  star: [(v) => `I like ${v}.`, (v) => `Something with ${v}.`],
  director: [(v) => `I like films by ${v}.`, (v) => `Maybe by ${v}.`],
  liked: [(v) => `I loved ${v}.`, (v) => `I really enjoyed ${v}.`],
  avoid: [(v) => `Please no ${v}.`, (v) => `I do not like ${v}.`],
};

/** A seeker's answer to a question about one facet. */
export const answerQuestion = (rng: Rng, hint: Hint): string => rng.pick(ANSWERS[hint.facet])(hint.value);

const QUESTIONS: Record<Hint['facet'], string[]> = {
  genre: ['What genre do you like?', 'Which genre are you in the mood for?'],
  decade: ['Which decade do you prefer?', 'From which decade should it be?'],
  star: ['Do you have a favourite actor?', 'Which actor would you like to see?'],
  director: ['Do you have a favourite director?', 'Which director do you like?'],
  liked: ['Which film did you enjoy lately?', 'What is a film that you loved?'],
  avoid: ['Is there anything you do not like?'],
};

/** A recommender's question about one facet. */
export const askAbout = (rng: Rng, facet: Hint['facet']): string => rng.pick(QUESTIONS[facet]);

/** Every question in `QUESTIONS`, for the training text. */
export const ALL_QUESTIONS: readonly string[] = Object.values(QUESTIONS).flat();

const GREETINGS = [
  'Hi! What are you looking for?',
  'Hello! What do you want to watch?',
  'Hi! What films do you like?',
];
/** A recommender's greeting. */
export const greet = (rng: Rng): string => rng.pick(GREETINGS);

const SUGGESTIONS = [(title: string) => `Have you seen ${title}?`, (title: string) => `How about ${title}?`];
const SEEN = [
  'I have seen it already.',
  'No, something else.',
  'Yes, I know it. What else?',
  'That is not for me.',
];
/** A recommender names one film and the seeker turns it down. */
export const suggestion = (rng: Rng, title: string): [question: string, answer: string] => [
  rng.pick(SUGGESTIONS)(title),
  rng.pick(SEEN),
];
