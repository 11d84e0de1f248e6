/** @file The rule seeker's sentences. Short, varied, and never a title. */
import type { Facet } from './attributes.ts';

const DESCRIBE: Record<Facet, readonly string[]> = {
  genre: ['I am in the mood for {v}.', 'Something with {v} would be nice.', 'I usually enjoy {v}.'],
  star: ['I like films with {v}.', 'I would love to see {v} in it.', 'Anything with {v}, please.'],
  director: ['I like the films of {v}.', 'Something directed by {v} would be great.'],
  writer: ['I like what {v} writes.', 'Something written by {v} would be nice.'],
  decade: ['It should be from the {v}.', 'I like films from the {v}.'],
  story: ['A story about {v} would be nice.', 'I would like a story with {v}.'],
};

const NO_PREFERENCE: Record<Facet, string> = {
  genre: 'I am open about the genre.',
  star: 'I do not mind who plays in it.',
  director: 'I do not mind who directs it.',
  writer: 'I do not mind who wrote it.',
  decade: 'I do not mind when it was made.',
  story: 'I do not mind what the story is.',
};

const ACCEPT = [
  'Yes, I would love to watch that!',
  'That sounds perfect, thank you.',
  'Great, I will watch that one.',
];
const REFUSE = ['No, none of these, sorry.', 'These are not what I am looking for.', 'No, not for me.'];
const VAGUE = ['I am not sure, anything good.', 'Hard to say, surprise me.', 'I do not really know.'];

type Pick = <T>(items: readonly T[]) => T;

export const describe = (facet: Facet, value: string, pick: Pick): string =>
  pick(DESCRIBE[facet]).replace('{v}', value);
export const noPreference = (facet: Facet): string => NO_PREFERENCE[facet];
export const accept = (pick: Pick): string => pick(ACCEPT);
export const refuse = (pick: Pick): string => pick(REFUSE);
export const vague = (pick: Pick): string => pick(VAGUE);
