/**
 * @file Seeded generator of the demo's dialogues in the processed format `{dialog, target_items}`.
 *
 * A dialogue lets slip zero to three hints about one or two wanted films: the fewer, the more a recommender gains by asking.
 * The split is by *combination*: the set of hints (with the targets too when there are fewer than two hints). A
 * combination belongs to exactly one of train, valid and test, so no test dialogue repeats what training could have learnt
 * by heart.
 */
import { hash32, hashString, Rng } from '../../src/core/random.ts';
import type { Message } from '../../src/core/message.ts';
import { popularity, type Film } from './films.ts';
import { answerQuestion, askAbout, greet, type Hint, sayHints, suggestion } from './phrases.ts';

/** A row of a processed set. */
export interface DialogueRow {
  dialog: Message[];
  target_items: string[];
}

export type Split = 'train' | 'valid' | 'test';

/** A dialogue and what it was made from. */
export interface GeneratedDialogue extends DialogueRow {
  hints: Hint[];
}

/** Share of dialogues by number of hints, from 0. */
const HINT_SHARES = [0.12, 0.5, 0.28, 0.1];
/** How often a facet is chosen for a hint. */
const FACET_WEIGHTS: [Hint['facet'], number][] = [
  ['genre', 5],
  ['decade', 3],
  ['liked', 3],
  ['star', 1.5],
  ['director', 1],
  ['avoid', 1],
];
const SECOND_TARGET = 0.25;

/** Makes dialogues about the films of a catalogue. */
export class DialogueGenerator {
  private readonly weights: number[];
  private readonly byName: Map<string, Film>;

  constructor(private readonly films: readonly Film[]) {
    const known = popularity(films);
    this.weights = films.map((film) => Math.sqrt(known.get(film.name)!));
    this.byName = new Map(films.map((film) => [film.name, film]));
  }

  /** `count` different dialogues of a split. The same seed gives the same dialogues. */
  generate(split: Split, count: number, seed: number): GeneratedDialogue[] {
    const rng = new Rng(seed).fork('dialogues', split);
    const rows: GeneratedDialogue[] = [];
    const seen = new Set<string>();
    while (rows.length < count) {
      const row = this.one(rng.fork(rng.int(2 ** 31)));
      if (splitOf(row) !== split) continue;
      const text = JSON.stringify([row.dialog, row.target_items]);
      if (seen.has(text)) continue;
      seen.add(text);
      rows.push(row);
    }
    return rows;
  }

  private one(rng: Rng): GeneratedDialogue {
    const target = pickWeighted(rng, this.films, this.weights);
    const count = pickWeighted(rng, [0, 1, 2, 3], HINT_SHARES);
    const hints = this.hintsAbout(rng, target, count);
    const targets = [target];
    if (rng.chance(SECOND_TARGET)) {
      const rivals = this.films.filter(
        (film) => film !== target && hints.every((hint) => this.fits(film, hint)),
      );
      if (rivals.length > 0) targets.push(rng.pick(rivals));
    }
    return { dialog: this.talk(rng, hints, targets), target_items: targets.map((film) => film.name), hints };
  }

  private hintsAbout(rng: Rng, target: Film, count: number): Hint[] {
    const hints: Hint[] = [];
    let facets = FACET_WEIGHTS;
    while (hints.length < count) {
      const facet = pickWeighted(
        rng,
        facets,
        facets.map(([, weight]) => weight),
      )[0];
      facets = facets.filter(([other]) => other !== facet);
      const value = this.valueOf(rng, target, facet);
      if (value !== undefined) hints.push({ facet, value });
    }
    return hints;
  }

  private valueOf(rng: Rng, film: Film, facet: Hint['facet']): string | undefined {
    switch (facet) {
      case 'genre':
        return rng.pick(film.genres);
      case 'decade':
        return film.decade;
      case 'star':
        return rng.pick(film.stars);
      case 'director':
        return rng.pick(film.directors);
      case 'liked': {
        const similar = this.films.filter((other) => other !== film && likeness(film, other) >= 3);
        return similar.length > 0 ? rng.pick(similar).name : undefined;
      }
      case 'avoid': {
        const others = ['horror', 'musical', 'war', 'western', 'romance', 'animation', 'crime', 'sci-fi'];
        return rng.pick(others.filter((genre) => !film.genres.includes(genre)));
      }
    }
  }

  private fits(film: Film, { facet, value }: Hint): boolean {
    switch (facet) {
      case 'genre':
        return film.genres.includes(value);
      case 'decade':
        return film.decade === value;
      case 'star':
        return film.stars.includes(value);
      case 'director':
        return film.directors.includes(value);
      case 'liked':
        return film.name !== value && likeness(film, this.byName.get(value)!) >= 3;
      case 'avoid':
        return !film.genres.includes(value);
    }
  }

  /** Wraps the hints in one of five courses a conversation takes. */
  private talk(rng: Rng, hints: readonly Hint[], targets: readonly Film[]): Message[] {
    const user = (content: string): Message => ({ role: 'user', content });
    const assistant = (content: string): Message => ({ role: 'assistant', content });
    const course = rng.int(5);
    const last = hints.at(-1);
    if (course === 1) return [assistant(greet(rng)), user(sayHints(rng, hints, { open: false }))];
    if (course === 2 && hints.length === 1 && last)
      return [
        user(sayHints(rng, [], { open: true })),
        assistant(askAbout(rng, last.facet)),
        user(answerQuestion(rng, last)),
      ];
    if (course === 2 && hints.length > 1 && last)
      return [
        user(sayHints(rng, hints.slice(0, -1), { open: true })),
        assistant(askAbout(rng, last.facet)),
        user(answerQuestion(rng, last)),
      ];
    if (course === 3) {
      const named = pickWeighted(rng, this.films, this.weights);
      if (
        !targets.includes(named) &&
        hints.every((hint) => hint.facet !== 'liked' || hint.value !== named.name)
      ) {
        const [question, answer] = suggestion(rng, named.name);
        return [user(sayHints(rng, hints, { open: true })), assistant(question), user(answer)];
      }
    }
    return [user(sayHints(rng, hints, { open: true }))];
  }
}

/** How alike two films are: one point a shared genre or decade, two points a shared person. */
export function likeness(a: Film, b: Film): number {
  const shared = (x: readonly string[], y: readonly string[]) =>
    x.filter((value) => y.includes(value)).length;
  return (
    shared(a.genres, b.genres) +
    (a.decade === b.decade ? 1 : 0) +
    2 * shared([...a.directors, ...a.stars], [...b.directors, ...b.stars])
  );
}

/** What must not be shared between splits: two or more hints, or fewer with the targets. */
export function combination(row: Pick<GeneratedDialogue, 'hints' | 'target_items'>): string {
  const hints = row.hints.map(({ facet, value }) => `${facet}=${value}`).sort();
  return (hints.length >= 2 ? hints : [...hints, ...row.target_items].sort()).join('|');
}

/** The split a dialogue belongs to, by a hash of its combination: 70 % train, 5 % valid, 25 % test. */
export function splitOf(row: Pick<GeneratedDialogue, 'hints' | 'target_items'>): Split {
  const share = hash32(hashString(combination(row)), 1) / 2 ** 32;
  return share < 0.7 ? 'train' : share < 0.75 ? 'valid' : 'test';
}

/** One of the values, with probability proportional to its weight. */
export function pickWeighted<T>(rng: Rng, values: readonly T[], weights: readonly number[]): T {
  let left = rng.next() * weights.reduce((a, b) => a + b, 0);
  for (let i = 0; i < values.length; i++) {
    left -= weights[i]!;
    if (left < 0) return values[i]!;
  }
  return values.at(-1)!;
}
