/**
 * @file The rule seeker: plays the user from catalogue attributes, without a language model. Deterministic for a seed, and
 * imperfect by a seeded rate: now and then it overlooks a film it wants or answers a question vaguely.
 *
 * It accepts when a target is recommended (in a visible list, or "have you seen X?"), refuses anything else briefly, and
 * describes its targets when asked, each time with attributes it has not told yet, answering the question that was asked.
 * When a message recommends and asks at once it only accepts or refuses. It never names a title.
 */
import { hash32, hashString, Rng } from '../../core/random.ts';
import { turnSeed } from '../episode/seeds.ts';
import type { EpisodeState, Item, Seeker, SeekerReply } from '../types.ts';
import { askedFacet, facetValues, says, storyWords, type Facet } from './attributes.ts';
import { readMessage, type TitleReader } from './intent.ts';
import { accept, describe, noPreference, refuse, vague } from './speech.ts';

export interface RuleSeekerOptions {
  titles: TitleReader;
  /** Catalogue item by id; needed by an attribute-only seeker. */
  byId: (id: number) => Item | undefined;
  /** Share of turns in which the seeker errs. Default 0.1. */
  errorRate?: number;
  /**
   * The seeker never compares titles: it accepts an item that has every attribute it would tell of a target (genres,
   * a director or star, decade).
   */
  attributeOnly?: boolean;
  /** How many attributes it tells when the question is open. Default 2. */
  attributesPerReply?: number;
}

/** A seeker by rule. */
export class RuleSeeker implements Seeker {
  readonly name = 'rule';

  constructor(private readonly options: RuleSeekerOptions) {}

  reply(states: readonly EpisodeState[]): Promise<SeekerReply[]> {
    return Promise.resolve(states.map((state) => this.replyTo(state)));
  }

  private replyTo(state: EpisodeState): SeekerReply {
    const message = state.interaction.at(-1)?.content ?? '';
    const read = readMessage(message, this.options.titles, this.namedBefore(state));
    const errs = new Rng(turnSeed(state.seed, state.turn, 'seeker')).chance(this.options.errorRate ?? 0.1);
    // Wording and choice of attributes follow from the conversation, not from the rollout: the same words in a group of
    // rollouts get the same answer, so that rewards differ by what the policy said (and by the rate of errors).
    const voice = new Rng(
      hash32(
        hashString(state.dialogue.key),
        state.turn,
        ...state.interaction.map((m) => hashString(m.content)),
      ),
    );
    const pick = <T>(items: readonly T[]): T => voice.pick(items);
    if (read.intent === 'recommendation') {
      const accepted = !errs && read.items.some((id) => this.wants(id, state.dialogue.targets));
      return answer('recommendation', accepted ? accept(pick) : refuse(pick), accepted);
    }
    return answer('inquiry', errs ? vague(pick) : this.describe(state, message, voice), false);
  }

  private wants(id: number, targets: readonly Item[]): boolean {
    if (!this.options.attributeOnly) return targets.some((target) => target.id === id);
    const item = this.options.byId(id);
    return item !== undefined && targets.some((target) => fits(item, target));
  }

  private namedBefore(state: EpisodeState): Set<number> {
    const earlier = [...state.given, ...state.interaction.slice(0, -1)];
    return new Set(earlier.flatMap(({ content }) => this.options.titles.named(content).map(({ id }) => id)));
  }

  /** Attributes not told yet: the one asked for first, then others. */
  private describe(state: EpisodeState, message: string, voice: Rng): string {
    const pick = <T>(items: readonly T[]): T => voice.pick(items);
    const told = [...state.given, ...state.interaction]
      .filter(({ role }) => role === 'user')
      .map(({ content }) => content)
      .join('\n');
    const { targets } = state.dialogue;
    // One target at a time, the same all through the dialogue; the others join when it has nothing left to tell.
    const order = new Rng(hashString(state.dialogue.key)).shuffle(targets);
    const asked = askedFacet(message);
    const said: string[] = [];
    const sentences: string[] = [];
    const tell = (facet: Facet): boolean => {
      const value = freshValue(order, facet, `${told}\n${said.join('\n')}`, targets);
      if (value === null) return false;
      said.push(value);
      sentences.push(describe(facet, value, pick));
      return true;
    };
    if (asked && !tell(asked)) sentences.push(noPreference(asked));
    const wanted = asked && said.length > 0 ? 1 : (this.options.attributesPerReply ?? 2);
    const others: Facet[] = [
      'genre',
      ...voice.shuffle<Facet>(['star', 'director', 'decade']),
      'writer',
      'story',
    ];
    for (const facet of others) {
      if (said.length >= wanted) break;
      if (facet !== asked) tell(facet);
    }
    // Everything was told before: say the plainest thing again.
    if (said.length === 0) {
      const genre = order.flatMap((item) => item.genres)[0];
      sentences.push(genre ? describe('genre', genre, pick) : vague(pick));
    }
    return sentences.join(' ');
  }
}

/** The first value of a facet that was not told yet; null when all were. */
function freshValue(
  order: readonly Item[],
  facet: Facet,
  told: string,
  targets: readonly Item[],
): string | null {
  for (const item of order) {
    if (facet === 'story') {
      const story = storyWords(item, 2, [told, ...targets.map(({ name }) => name)]);
      if (story.length > 0) return story.join(' and ');
      continue;
    }
    const value = facetValues(item, facet).find((candidate) => !says(told, candidate));
    if (value !== undefined) return value;
  }
  return null;
}

/** Has the item every attribute a seeker would tell of the target? */
function fits(item: Item, target: Item): boolean {
  const genres = new Set(item.genres);
  const people = new Set([...item.directors, ...item.stars]);
  const wanted = [...target.directors, ...target.stars];
  const [decade] = facetValues(target, 'decade');
  return (
    target.genres.every((genre) => genres.has(genre)) &&
    (wanted.length === 0 || wanted.some((person) => people.has(person))) &&
    (decade === undefined || facetValues(item, 'decade')[0] === decade)
  );
}

function answer(intent: SeekerReply['intent'], text: string, accepted: boolean): SeekerReply {
  return { intent, text, accepted, malformedAttempts: 0 };
}
