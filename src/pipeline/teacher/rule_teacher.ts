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
import { topK } from '../retrieval/top_k.ts';
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
/** Ties are broken by less than any evidence weighs. */
const TIE = 1e-9;

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
  private readonly items: readonly Item[];
  private readonly positions: ReadonlyMap<number, number>;
  /** `facet value` → how telling it is: −log2 of the share of items it fits. */
  private readonly information = new Map<string, number>();
  /** What is remembered: attributes of every item, and the items of every attribute, by position. */
  private readonly remembered: string[][] = [];
  private readonly having = new Map<string, number[]>();
  /** Sum of the information of an item's remembered attributes. [items] */
  private readonly totals: Float64Array;

  constructor(private readonly options: RuleTeacherOptions) {
    const { catalogue, titles } = options;
    this.clueReader = new ClueReader(catalogue, titles);
    this.items = catalogue.items;
    this.positions = new Map(this.items.map(({ id }, position) => [id, position]));
    const all = this.items.map(attributesOf);
    const frequency = new Map<string, number>();
    for (const attribute of all.flat()) frequency.set(attribute, (frequency.get(attribute) ?? 0) + 1);
    for (const [attribute, count] of frequency) {
      this.information.set(attribute, Math.log2((this.items.length + 1) / (count + 1)));
    }
    this.totals = new Float64Array(this.items.length);
    this.items.forEach(({ id }, position) => {
      const mine = all[position]!.filter((attribute) => this.remembers(id, attribute));
      this.remembered.push(mine);
      for (const attribute of mine) {
        this.totals[position]! += this.bitsOf(attribute);
        const having = this.having.get(attribute);
        if (having) having.push(position);
        else this.having.set(attribute, [position]);
      }
    });
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
    const { listLength = 10 } = this.options;
    const scores = this.scores(understood);
    const salt = rng.int(2 ** 31);
    // Equal scores: in an order of this turn's own, not the catalogue's.
    this.items.forEach(({ id }, position) => {
      scores[position]! += toUnit(hash32(salt, id)) * TIE;
    });
    for (const id of understood.refused) scores[this.positions.get(id)!] = -Infinity;
    const best = topK(
      this.items.map(({ id }) => id),
      scores,
      listLength,
    );
    const titles = best
      .filter(({ score }) => score > -Infinity)
      .map(({ id }) => this.items[this.positions.get(id)!]!.name);
    return renderRecommendation(titles, this.reason(understood));
  }

  /** Evidence for every item, in bits. [items] */
  private scores(understood: Understanding): Float64Array {
    const { popularity } = this.options;
    const scores = Float64Array.from(this.items, (item) => (popularity ? POPULARITY * popularity(item) : 0));
    for (const clue of understood.clues) {
      const weight = (clue.positive ? 1 : -2) * this.bits(clue);
      for (const position of this.having.get(`${clue.facet} ${clue.value}`) ?? [])
        scores[position]! += weight;
    }
    for (const id of new Set(understood.liked)) this.addLikeness(scores, this.positions.get(id)!);
    for (const id of new Set(understood.offeredBefore)) scores[this.positions.get(id)!]! += NAMED_BEFORE;
    return scores;
  }

  /** Add the likeness to one item: shared information over all information of both, in [0, 1]. */
  private addLikeness(scores: Float64Array, other: number): void {
    const shared = new Map<number, number>();
    for (const attribute of this.remembered[other]!) {
      for (const position of this.having.get(attribute)!) {
        shared.set(position, (shared.get(position) ?? 0) + this.bitsOf(attribute));
      }
    }
    shared.delete(other);
    for (const [position, bits] of shared) {
      scores[position]! += (LIKENESS * bits) / (this.totals[other]! + this.totals[position]! - bits);
    }
  }

  private bits(clue: Clue): number {
    return this.bitsOf(`${clue.facet} ${clue.value}`);
  }

  private bitsOf(attribute: string): number {
    return this.information.get(attribute) ?? 0;
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
