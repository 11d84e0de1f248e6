/** @file A few films for unit tests, with the titles that trouble parsers and linkers. */
import { createCatalogue, itemFromInfo } from '../../src/pipeline/data/catalogue.ts';
import type { Catalogue, Item } from '../../src/pipeline/types.ts';

/** An item from its name and, if they matter, its other fields. */
export function item(id: number, name: string, fields: Record<string, unknown> = {}): Item {
  return itemFromInfo(id, { name, ...fields }, (field, what) => {
    throw new Error(`${name}, ${field}: ${what}`);
  });
}

const FILMS: [name: string, fields?: Record<string, unknown>][] = [
  [
    'Heat (1995)',
    { genre: ['action', 'crime'], star: ['Al Pacino', 'Robert De Niro'], director: ['Michael Mann'] },
  ],
  [
    "Ocean's Eleven (2001)",
    { genre: ['crime', 'thriller'], star: ['George Clooney'], director: ['Steven Soderbergh'] },
  ],
  ['Seven (1995)', { genre: ['crime', 'mystery'], star: ['Brad Pitt'], director: ['David Fincher'] }],
  ['2001: A Space Odyssey (1968)', { genre: ['sci-fi'], director: ['Stanley Kubrick'] }],
  ['12 Angry Men (1957)', { genre: ['drama'], star: ['Henry Fonda'] }],
  ['Blade Runner 2049 (2017)', { genre: ['sci-fi'] }],
  ['Blade Runner (1982)', { genre: ['sci-fi'], star: ['Harrison Ford'] }],
  ['10 Things I Hate About You (1999)', { genre: ['comedy', 'romance'] }],
  ['The Naked Gun: From the Files of Police Squad! (1988)', { genre: ['comedy'] }],
  ['Star Wars: Episode V – The Empire Strikes Back (1980)', { genre: ['sci-fi'] }],
  ['Amélie (2001)', { genre: ['comedy', 'romance'] }],
  ['It (2017)', { genre: ['horror'] }],
  ['Up (2009)', { genre: ['animation'] }],
  ['Ghostbusters (1984)', { genre: ['comedy'] }],
  ['Ghostbusters (2016)', { genre: ['comedy'] }],
  ['Back to the Future', { genre: ['sci-fi'] }],
  ['Back to the Future (1985)', { genre: ['sci-fi'], star: ['Michael J. Fox'] }],
  ['The Godfather Part II (1974)', { genre: ['crime'], star: ['Al Pacino'] }],
  ['The Godfather (1972)', { genre: ['crime'], star: ['Marlon Brando', 'Al Pacino'] }],
  ['Toy Story 2 (1999)', { genre: ['animation'] }],
  ['Mr. & Mrs. Smith (2005)', { genre: ['action'], star: ['Brad Pitt'] }],
  ['The Shining (1980)', { genre: ['horror'], director: ['Stanley Kubrick'] }],
];

/** Items numbered from 100 in this order. */
export const trickyCatalogue: Catalogue = createCatalogue(
  FILMS.map(([name, fields], i) => item(100 + i, name, fields)),
);

/** An item of the tricky catalogue. */
export function film(name: string): Item {
  const found = trickyCatalogue.byName(name);
  if (!found) throw new Error(`"${name}" is not in the tricky catalogue.`);
  return found;
}
