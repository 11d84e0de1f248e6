/**
 * @file What the demo model is trained on before anybody teaches it to recommend: *film facts* (cards of single films, lists of
 * films that share attributes, films alike) and *conversations* in which a recommender speaks well and recommends badly.
 * It asks sensible questions and gives well-formed lists, but what it lists is mostly its favourites, whatever the seeker
 * said. So the model speaks the domain and knows the films, yet has to learn to bring the two together.
 *
 * Conversations begin with dialogues of the training split only.
 */
import { Rng } from '../../src/core/random.ts';
import type { ChatTurn } from '../../src/core/tokenizer.ts';
import { createCatalogue, itemFromInfo } from '../../src/pipeline/data/catalogue.ts';
import { DEMO_PROMPTS } from '../../src/pipeline/prompts/prompts.ts';
import { renderItems, renderRecommendation } from '../../src/pipeline/response/render_list.ts';
import { TitleLinker } from '../../src/pipeline/response/title_linker.ts';
import { FACETS } from '../../src/pipeline/seeker/attributes.ts';
import { RuleSeeker } from '../../src/pipeline/seeker/rule_seeker.ts';
import { describe, noPreference } from '../../src/pipeline/seeker/speech.ts';
import { LinkedTitleReader } from '../../src/pipeline/seeker/title_reader.ts';
import type { Catalogue, EpisodeState, Message } from '../../src/pipeline/types.ts';
import { DialogueGenerator, type GeneratedDialogue, likeness, pickWeighted } from './dialogues.ts';
import { catalogueFiles, FAVOURITES, type Film } from './films.ts';
import { ALL_QUESTIONS, type Hint, sayHints } from './phrases.ts';

/** A text of the corpus: plain, or a conversation for the chat template. */
export type Document = { text: string } | { messages: ChatTurn[] };

/** Share of conversations among the documents. */
const CONVERSATIONS = 0.4;
/** In a conversation: how often the recommender asks first, and asks again. */
const ASKS_FIRST = 0.4;
const ASKS_AGAIN = 0.15;
/** How a list in a conversation comes about: favourites and whatever, films of one genre that was named, fitting films. */
const LIST_SHARES = { favourites: 0.8, genre: 0.12, fitting: 0.08 };
/** How much likelier a favourite is to be listed than another film. */
const FAVOURITE_WEIGHT = 25;

/** Questions of the rule teacher and open ones, beside those of the dialogues. */
const QUESTIONS = [
  ...ALL_QUESTIONS,
  'What kind of films do you like?',
  'Is there an actor you would like to see?',
  'Is there a director whose films you enjoy?',
  'Which decade should the film be from?',
  'What are you in the mood for?',
  'Can you tell me more?',
];

/** Writes documents about the films of a catalogue; seeded. */
export class CorpusWriter {
  private readonly weights: number[];
  private readonly dialogues: DialogueGenerator;
  private readonly seeker: RuleSeeker;
  private readonly catalogue: Catalogue;

  constructor(private readonly films: readonly Film[]) {
    this.weights = films.map((film) => (FAVOURITES.includes(film.name) ? FAVOURITE_WEIGHT : 1));
    this.dialogues = new DialogueGenerator(films);
    this.catalogue = demoCatalogue(films);
    const titles = new LinkedTitleReader(new TitleLinker(this.catalogue));
    this.seeker = new RuleSeeker({ titles, byId: (id) => this.catalogue.byId(id), errorRate: 0.1 });
  }

  /** `count` documents. The same seed gives the same documents. */
  async write(count: number, seed: number): Promise<Document[]> {
    const rng = new Rng(seed).fork('corpus');
    const conversations = Math.round(count * CONVERSATIONS);
    const documents: Document[] = [];
    const openings = this.dialogues.generate('train', conversations, rng.int(2 ** 31));
    for (const [i, opening] of openings.entries())
      documents.push(await this.conversation(rng.fork(i), opening, i));
    while (documents.length < count) documents.push({ text: this.facts(rng) });
    return rng.shuffle(documents);
  }

  private facts(rng: Rng): string {
    const film = rng.pick(this.films);
    const kind = rng.next();
    if (kind < 0.2) return this.card(rng, film);
    if (kind < 0.4) return this.alike(rng, film);
    return this.sharing(rng, film);
  }

  /** "Heat (1995) is a crime and action film from the 1990s by Michael Mann with Al Pacino and Val Kilmer." */
  private card(rng: Rng, film: Film): string {
    const parts = rng.shuffle([
      `from the ${film.decade}`,
      `by ${film.directors.join(' and ')}`,
      `with ${rng.shuffle(film.stars).join(' and ')}`,
    ]);
    const genres = rng.shuffle(film.genres).join(' and ');
    return `Film: ${film.name} is a ${genres} film ${parts.join(' ')}.`;
  }

  /** Films like one film. */
  private alike(rng: Rng, film: Film): string {
    return `Films like ${film.name}: ${this.best(rng, [{ facet: 'liked', value: film.name }])}`;
  }

  /** What some seeker could say of a film, and the films it fits. */
  private sharing(rng: Rng, film: Film): string {
    const hints: Hint[] = [
      { facet: 'genre' as const, value: rng.pick(film.genres) },
      { facet: 'decade' as const, value: film.decade },
      { facet: 'star' as const, value: rng.pick(film.stars) },
      { facet: 'director' as const, value: rng.pick(film.directors) },
    ];
    const chosen = rng.shuffle(hints).slice(0, rng.pick([1, 1, 2, 2, 2, 3]));
    const said = rng.chance(0.4)
      ? sayHints(rng, chosen, { open: true })
      : chosen
          .map(({ facet, value }) =>
            facet === 'liked' || facet === 'avoid' ? '' : describe(facet, value, (x) => rng.pick(x)),
          )
          .join(' ');
    return `${said} Fitting films: ${this.best(rng, chosen)}`;
  }

  /** The ten films that fit hints best, those that fit equally in any order. */
  private best(rng: Rng, hints: readonly Hint[]): string {
    return renderItems(this.fitting(rng, hints).map((film) => film.name));
  }

  private fitting(rng: Rng, hints: readonly Hint[]): Film[] {
    return this.films
      .map((film) => ({ film, score: fit(film, hints, this.films) + 0.9 * rng.next() }))
      .sort((a, b) => b.score - a.score)
      .slice(0, 10)
      .map(({ film }) => film);
  }

  private async conversation(rng: Rng, opening: GeneratedDialogue, index: number): Promise<Document> {
    const dialogue = {
      key: `corpus:${index}`,
      index,
      dialog: opening.dialog,
      targets: opening.target_items.map((name) => this.catalogue.byName(name)!),
    };
    const interaction: Message[] = [];
    const state: EpisodeState = {
      key: `corpus:${index}`,
      dialogue,
      given: opening.dialog,
      interaction,
      turn: 1,
      seed: rng.int(2 ** 31),
    };
    let asks = rng.chance(ASKS_FIRST);
    for (; state.turn <= 3; state.turn++) {
      interaction.push({
        role: 'assistant',
        content: asks ? rng.pick(QUESTIONS) : this.recommendation(rng, opening.hints),
      });
      if (!asks && (state.turn > 1 || rng.chance(0.5))) break;
      const [reply] = await this.seeker.reply([state]);
      interaction.push({ role: 'user', content: reply!.text });
      asks = asks && rng.chance(ASKS_AGAIN);
    }
    if (interaction.at(-1)?.role === 'user') interaction.pop();
    const system: ChatTurn = { role: 'system', content: DEMO_PROMPTS.recommender };
    return { messages: [system, ...opening.dialog.slice(-5), ...interaction] };
  }

  private recommendation(rng: Rng, hints: readonly Hint[]): string {
    const shares = Object.entries(LIST_SHARES);
    const kind = pickWeighted(
      rng,
      shares,
      shares.map(([, share]) => share),
    )[0];
    const genre = hints.filter((hint) => hint.facet === 'genre');
    const films =
      kind === 'fitting' && hints.length > 0
        ? this.fitting(rng, hints)
        : kind === 'genre' && genre.length > 0
          ? this.fitting(rng, genre)
          : this.favourites(rng);
    return renderRecommendation(
      films.map((film) => film.name),
      this.reason(rng, hints),
    );
  }

  private reason(rng: Rng, hints: readonly Hint[]): string {
    const positive = hints.filter(({ facet }) => facet !== 'avoid');
    if (positive.length === 0 || rng.chance(0.2)) return 'To begin with';
    const said = positive.slice(0, 2).map(({ facet, value }) => {
      if (facet === 'decade') return `the ${value}`;
      return facet === 'liked' ? value.replace(/\s*\(\d{4}\)$/, '') : value;
    });
    return `Since you like ${said.join(' and ')}`;
  }

  /** Ten different films, favourites first of all. */
  private favourites(rng: Rng): Film[] {
    return this.films
      .map((film, i) => ({ film, key: -Math.log(rng.next()) / this.weights[i]! }))
      .sort((a, b) => a.key - b.key)
      .slice(0, 10)
      .map(({ film }) => film);
  }
}

/** How well a film fits hints: a point a genre or decade, three a person, up to three for likeness. */
function fit(film: Film, hints: readonly Hint[], films: readonly Film[]): number {
  let score = 0;
  for (const { facet, value } of hints) {
    if (facet === 'genre') score += film.genres.includes(value) ? 1 : 0;
    else if (facet === 'decade') score += film.decade === value ? 1 : 0;
    else if (facet === 'star') score += film.stars.includes(value) ? 3 : 0;
    else if (facet === 'director') score += film.directors.includes(value) ? 3 : 0;
    else if (facet === 'avoid') score -= film.genres.includes(value) ? 3 : 0;
    else {
      const liked = films.find(({ name }) => name === value);
      if (liked && liked !== film) score += Math.min(3, likeness(film, liked));
    }
  }
  return score;
}

/** Everything a seeker may say, to learn merges from. */
export function seekerSentences(): string[] {
  const first = <T>(items: readonly T[]): T => items[0]!;
  const last = <T>(items: readonly T[]): T => items.at(-1)!;
  return FACETS.flatMap((facet) => [
    describe(facet, '', first),
    describe(facet, '', last),
    noPreference(facet),
  ]);
}

/** The demo's catalogue as the recipe reads it. */
export function demoCatalogue(films: readonly Film[]): Catalogue {
  const { id2info } = catalogueFiles(films);
  return createCatalogue(
    Object.entries(id2info).map(([id, info]) =>
      itemFromInfo(Number(id), info as { name: string }, () => undefined),
    ),
  );
}
