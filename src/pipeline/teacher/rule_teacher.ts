/**
 * @file The rule teacher: recommends from what the conversation says, without a language model and without the targets. It
 * asks when it knows too little, otherwise it gives the ten best-scored items in the canonical form.
 *
 * It knows less than the seeker: of every item it remembers only a seeded part of the attributes, and in a seeded share of
 * its turns it forgets the most telling thing it was told. So it fails sometimes, and a policy can surpass it.
 */
import { hash32, hashString, Rng, toUnit } from '../../core/random.ts';
import { turnSeed } from '../episode/seeds.ts';
import { renderRecommendation } from '../response/render_list.ts';
import { facetValues, type Facet } from '../seeker/attributes.ts';
import type { TitleReader } from '../seeker/intent.ts';
import type { Catalogue, EpisodeState, Item, Recommender, RecommenderTurn } from '../types.ts';
import { ClueReader, type Clue, type Understanding } from './clues.ts';

export interface RuleTeacherOptions {
  catalogue: Catalogue;
  titles: TitleReader;
  /** Seed of what it remembers; the same for a whole run. */
  seed: number;
  /** Share of (item, attribute) pairs it remembers. Default 0.85. */
  knowledge?: number;
  /** Share of turns in which it forgets the most telling clue. Default 0.1. */
  errorRate?: number;
  /** Bits of evidence it wants before it recommends. Default 5. */
  confidence?: number;
  /** Questions it asks before it recommends anyway; every refused list allows one more. Default 1. */
  maxQuestions?: number;
  /** T, where it is known: the last turn is no time for a question. */
  turnNum?: number;
  /** Items it recommends. Default 10. */
  listLength?: number;
  /** How often people like an item, any scale; a small part of the score. Default: unknown. */
  popularity?: (item: Item) => number;
}

/** Weight of the likeness to one liked title, of popularity, and of a title that was named before, in bits. */
const LIKENESS = 1.5;
const POPULARITY = 0.5;
const NAMED_BEFORE = 1;

const QUESTIONS: Record<Exclude<Facet, 'story' | 'writer'>, string> = {
  genre: 'What kind of films do you like?',
  star: 'Is there an actor you would like to see?',
  director: 'Is there a director whose films you enjoy?',
  decade: 'Which decade should the film be from?',
};
const QUESTION_ORDER = ['genre', 'star', 'director', 'decade'] as const;

/** A recommender by rule. */
export class RuleTeacher implements Recommender {
  readonly name = 'rule';
  private readonly clueReader: ClueReader;
  /** `facet value` → how many items have it. */
  private readonly frequency = new Map<string, number>();
  private readonly attributes = new Map<number, Set<string>>();

  constructor(private readonly options: RuleTeacherOptions) {
    this.clueReader = new ClueReader(options.catalogue, options.titles);
    for (const item of options.catalogue.items) {
      const all = attributesOf(item);
      for (const attribute of all) this.frequency.set(attribute, (this.frequency.get(attribute) ?? 0) + 1);
      this.attributes.set(item.id, new Set(all.filter((attribute) => this.remembers(item.id, attribute))));
    }
  }

  respond(states: readonly EpisodeState[]): Promise<RecommenderTurn[]> {
    return Promise.resolve(states.map((state) => ({ text: this.say(state), model: 'rule' })));
  }

  private say(state: EpisodeState): string {
    const rng = new Rng(turnSeed(state.seed, state.turn, 'recommender'));
    const understood = this.clueReader.read(state.given, state.interaction);
    if (rng.chance(this.options.errorRate ?? 0.1)) this.forget(understood);
    const question = this.question(understood, state);
    return question ?? this.recommend(understood, rng);
  }

  /** The question to ask, or null when it is time to recommend. */
  private question(understood: Understanding, state: EpisodeState): string | null {
    const { confidence = 5, maxQuestions = 1, turnNum = Infinity, titles } = this.options;
    const mine = state.interaction.filter(({ role }) => role === 'assistant');
    const lists = mine.filter(({ content }) => titles.list(content) !== null).length;
    const asked = mine.length - lists;
    if (state.mustRecommend || state.turn >= turnNum || asked >= maxQuestions + lists) return null;
    const bits =
      understood.clues.reduce((sum, clue) => sum + (clue.positive ? this.bits(clue) : 0), 0) +
      LIKENESS * Math.min(2, understood.liked.length);
    // After a refusal more evidence is needed than before.
    if (bits >= confidence * (1 + lists)) return null;
    const known = new Set(understood.clues.map(({ facet }) => facet));
    const facet = QUESTION_ORDER.find((candidate) => !known.has(candidate)) ?? 'genre';
    return QUESTIONS[facet];
  }

  private recommend(understood: Understanding, rng: Rng): string {
    const { catalogue, listLength = 10 } = this.options;
    const refused = new Set(understood.refused);
    const salt = rng.int(2 ** 31);
    const scored = catalogue.items
      .filter((item) => !refused.has(item.id))
      .map((item) => ({ item, score: this.score(item, understood), tie: hash32(salt, item.id) }))
      .sort((a, b) => b.score - a.score || a.tie - b.tie);
    const titles = scored.slice(0, listLength).map(({ item }) => item.name);
    return renderRecommendation(titles, this.reason(understood));
  }

  private score(item: Item, understood: Understanding): number {
    const mine = this.attributes.get(item.id)!;
    let score = POPULARITY * (this.options.popularity?.(item) ?? 0);
    for (const clue of understood.clues) {
      const applies = mine.has(`${clue.facet} ${clue.value}`);
      if (applies) score += (clue.positive ? 1 : -2) * this.bits(clue);
    }
    for (const id of new Set(understood.liked)) {
      const other = this.attributes.get(id);
      if (other && id !== item.id) score += LIKENESS * this.likeness(mine, other);
    }
    if (understood.offeredBefore.includes(item.id)) score += NAMED_BEFORE;
    return score;
  }

  /** Shared information over all information of two items, in [0, 1]. */
  private likeness(a: ReadonlySet<string>, b: ReadonlySet<string>): number {
    let shared = 0;
    let all = 0;
    for (const attribute of a) {
      const bits = this.information(attribute);
      all += bits;
      if (b.has(attribute)) shared += bits;
    }
    for (const attribute of b) if (!a.has(attribute)) all += this.information(attribute);
    return all === 0 ? 0 : shared / all;
  }

  /** How telling a clue is: −log2 of the share of items it fits. */
  private bits(clue: Clue): number {
    return this.information(`${clue.facet} ${clue.value}`);
  }

  private information(attribute: string): number {
    const count = this.frequency.get(attribute) ?? 0;
    return Math.log2((this.options.catalogue.items.length + 1) / (count + 1));
  }

  private remembers(id: number, attribute: string): boolean {
    const { seed, knowledge = 0.85 } = this.options;
    return toUnit(hash32(seed, hashString('knowledge'), id, hashString(attribute))) < knowledge;
  }

  private forget(understood: Understanding): void {
    if (understood.clues.length === 0) return;
    const telling = understood.clues.reduce((best, clue) =>
      this.bits(clue) > this.bits(best) ? clue : best,
    );
    understood.clues.splice(understood.clues.indexOf(telling), 1);
  }

  /** "Since you like comedy and Tom Hanks": the two most telling clues, or a liked title. */
  private reason(understood: Understanding): string {
    const values = understood.clues
      .filter(({ positive }) => positive)
      .sort((a, b) => this.bits(b) - this.bits(a))
      .map(({ facet, value }) => (facet === 'decade' ? `the ${value}` : value));
    const unique = [...new Set(values)].slice(0, 2);
    if (unique.length > 0) return `Since you like ${unique.join(' and ')}`;
    const liked = understood.liked.at(-1);
    const title = liked === undefined ? undefined : this.options.catalogue.byId(liked)?.name;
    return title ? `Since you like ${title.replace(/\s*\(\d{4}\)$/, '')}` : 'To begin with';
  }
}

function attributesOf(item: Item): string[] {
  const facets = ['genre', 'star', 'director', 'writer', 'decade'] as const;
  return facets.flatMap((facet) =>
    [...new Set(facetValues(item, facet))].map((value) => `${facet} ${value}`),
  );
}
