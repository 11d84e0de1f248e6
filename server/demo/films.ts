/**
 * @file The films of the embedded demo: reads `films.txt`, a table written by us from facts, one film a line:
 * `name (year) | genres | directors | stars | writers | what it is about`.
 */
import { readFileSync } from 'node:fs';
import { InputError } from '../../src/core/errors.ts';

/** One film of the demo catalogue. */
export interface Film {
  /** Title with its year in brackets, as it is recommended. */
  name: string;
  genres: string[];
  directors: string[];
  stars: string[];
  writers: string[];
  plot: string;
  /** `1990s` */
  decade: string;
}

/** The genres a film of the demo may have, in the order of frequency. */
export const GENRES = [
  ...[
    'drama',
    'action',
    'comedy',
    'thriller',
    'crime',
    'adventure',
    'romance',
    'sci-fi',
    'mystery',
    'fantasy',
  ],
  ...['biography', 'family', 'history', 'horror', 'war', 'musical', 'animation', 'western', 'sport'],
];

/**
 * Parse the table. Lines that begin with `#` and empty lines are skipped.
 * @throws InputError naming file, line and field when a line is not what it should be or a film is listed twice.
 */
export function parseFilms(text: string, file = 'films.txt'): Film[] {
  const films: Film[] = [];
  const names = new Set<string>();
  text.split('\n').forEach((line, row) => {
    if (line.trim() === '' || line.startsWith('#')) return;
    const wrong = (what: string) =>
      new InputError(
        `${file}, line ${row + 1}: ${what}.`,
        'Write: name (year) | genres | directors | stars | writers | plot',
      );
    const fields = line.split(' | ').map((field) => field.trim());
    if (fields.length !== 6 || fields.some((field) => field === '')) throw wrong('expected six fields');
    const [name, genres, directors, stars, writers, plot] = fields as [
      string,
      string,
      string,
      string,
      string,
      string,
    ];
    const year = /\((\d{4})\)$/.exec(name)?.[1];
    if (!year) throw wrong(`"${name}" does not end with a year in brackets`);
    if (names.has(name)) throw wrong(`"${name}" is listed twice`);
    names.add(name);
    const list = (field: string): string[] => field.split(', ');
    const foreign = list(genres).find((genre) => !GENRES.includes(genre));
    if (foreign) throw wrong(`genre "${foreign}" is not one of ${GENRES.join(', ')}`);
    films.push({
      name,
      genres: list(genres),
      directors: list(directors),
      stars: list(stars),
      writers: list(writers),
      plot,
      decade: `${year.slice(0, 3)}0s`,
    });
  });
  return films;
}

/** The films of `films.txt`. */
export function readFilms(): Film[] {
  return parseFilms(readFileSync(new URL('films.txt', import.meta.url), 'utf8'));
}

/** `entity2id.json` and `id2info.json` of the demo: films are numbered first, then the values of their attributes. */
export function catalogueFiles(films: readonly Film[]): {
  entity2id: Record<string, number>;
  id2info: Record<string, Record<string, unknown>>;
} {
  const values = films.flatMap((f) => [...f.genres, ...f.directors, ...f.stars, ...f.writers]);
  const names = new Set([...films.map((f) => f.name), ...values]);
  const entity2id = Object.fromEntries([...names].map((name, id) => [name, id]));
  const id2info = Object.fromEntries(
    films.map((f) => [
      String(entity2id[f.name]),
      {
        name: f.name,
        genre: f.genres,
        director: f.directors,
        star: f.stars,
        writer: f.writers,
        plot: f.plot,
      },
    ]),
  );
  return { entity2id, id2info };
}

/** The films an uninspired recommender names whatever it was told. */
export const FAVOURITES: readonly string[] = [
  ...['The Godfather (1972)', 'Jaws (1975)', 'Star Wars (1977)', 'Alien (1979)', 'The Shining (1980)'],
  ...[
    'Back to the Future (1985)',
    'Die Hard (1988)',
    'Rain Man (1988)',
    'Goodfellas (1990)',
    'Pretty Woman (1990)',
  ],
  ...[
    'The Silence of the Lambs (1991)',
    'Jurassic Park (1993)',
    'Forrest Gump (1994)',
    'Pulp Fiction (1994)',
  ],
  ...[
    'The Shawshank Redemption (1994)',
    'Toy Story (1995)',
    'Seven (1995)',
    'Titanic (1997)',
    'The Matrix (1999)',
  ],
  ...['Fight Club (1999)', 'Gladiator (2000)', 'Shrek (2001)', 'Finding Nemo (2003)', 'The Notebook (2004)'],
  ...[
    'The Dark Knight (2008)',
    'Avatar (2009)',
    'Inception (2010)',
    'The Avengers (2012)',
    'Interstellar (2014)',
  ],
  'La La Land (2016)',
];

/** How often people of a film appear in the catalogue: a stand-in for how widely known it is. At least 1. */
export function popularity(films: readonly Film[]): Map<string, number> {
  const count = new Map<string, number>();
  const people = (f: Film): string[] => [...f.directors, ...f.stars];
  for (const f of films) for (const p of people(f)) count.set(p, (count.get(p) ?? 0) + 1);
  return new Map(
    films.map((f) => [f.name, 1 + people(f).reduce((sum, p) => sum + Math.min(count.get(p)! - 1, 5), 0)]),
  );
}
