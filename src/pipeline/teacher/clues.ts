/**
 * @file What the rule teacher understands of a conversation: genres, people, decades and titles, found in the text by the
 * catalogue's own vocabulary, with a sign (a clue that was denied counts against).
 */
import type { Catalogue, Message } from '../types.ts';
import { decadeName, words, type Facet } from '../seeker/attributes.ts';
import type { TitleReader } from '../seeker/intent.ts';

/** One thing the seeker said. `positive` is false for what it does not want. */
export interface Clue {
  facet: Exclude<Facet, 'story'>;
  value: string;
  positive: boolean;
}

/** Everything understood so far. */
export interface Understanding {
  clues: Clue[];
  /** Items the seeker named without dislike, in order. */
  liked: number[];
  /** Items the recommender named in the given dialogue. */
  offeredBefore: number[];
  /** Items recommended in this episode: the conversation went on, so they were not it. */
  refused: number[];
}

/** Other words for genres; a genre counts only where the catalogue has it. */
const GENRE_WORDS: Record<string, string[]> = {
  horror: ['scary', 'horrors', 'frightening', 'spooky', 'slasher'],
  comedy: ['comedies', 'funny', 'hilarious', 'laugh', 'comedic', 'humor', 'humour'],
  romance: ['romantic', 'romances', 'romcom', 'love story'],
  'sci-fi': ['science fiction', 'scifi', 'sci fi', 'space', 'futuristic'],
  'science fiction': ['sci-fi', 'scifi', 'sci fi', 'space', 'futuristic'],
  action: ['action-packed', 'fighting'],
  animation: ['animated', 'cartoon', 'cartoons', 'anime'],
  family: ['kids', 'children', 'family-friendly', 'child'],
  thriller: ['thrillers', 'suspense', 'suspenseful', 'thrilling'],
  drama: ['dramas', 'dramatic'],
  mystery: ['mysteries', 'detective', 'whodunit', 'mysterious'],
  crime: ['gangster', 'gangsters', 'mafia', 'heist', 'criminal'],
  war: ['military', 'soldiers', 'wars'],
  western: ['westerns', 'cowboy', 'cowboys'],
  musical: ['musicals', 'singing'],
  music: ['musical', 'musicals', 'singing'],
  documentary: ['documentaries'],
  biography: ['biographical', 'biopic', 'biopics', 'true story'],
  history: ['historical', 'historic'],
  sport: ['sports'],
  fantasy: ['fantasies', 'magic', 'magical'],
  adventure: ['adventures', 'adventurous'],
};
const DECADE_WORDS: Record<string, string> = {
  twenties: '1920s',
  thirties: '1930s',
  forties: '1940s',
  fifties: '1950s',
  sixties: '1960s',
  seventies: '1970s',
  eighties: '1980s',
  nineties: '1990s',
};
const DENIALS = new Set([
  'not',
  'no',
  'never',
  'hate',
  'dislike',
  'without',
  'don',
  'dont',
  'didn',
  'doesn',
  'except',
]);
/** How many words a denial reaches forward. */
const DENIAL_REACH = 6;

interface Entry {
  facet: Clue['facet'];
  value: string;
}

/** Understands conversations about one catalogue. */
export class ClueReader {
  /** Phrase (lower-case words joined by spaces) → what it says. */
  private readonly vocabulary = new Map<string, Entry[]>();
  private longest = 1;

  constructor(
    catalogue: Catalogue,
    private readonly titles: TitleReader,
  ) {
    const genres = new Set(catalogue.items.flatMap((item) => item.genres));
    for (const genre of genres) {
      for (const phrase of [genre, ...(GENRE_WORDS[genre.toLowerCase()] ?? [])]) {
        this.add(phrase, { facet: 'genre', value: genre });
      }
    }
    for (const item of catalogue.items) {
      for (const value of item.stars) this.addPerson('star', value);
      for (const value of item.directors) this.addPerson('director', value);
      for (const value of item.writers) this.addPerson('writer', value);
    }
    for (const [word, value] of Object.entries(DECADE_WORDS)) this.add(word, { facet: 'decade', value });
  }

  /** Read what was said before this turn. */
  read(given: readonly Message[], interaction: readonly Message[]): Understanding {
    const out: Understanding = { clues: [], liked: [], offeredBefore: [], refused: [] };
    for (const message of given) this.hear(message, message.role === 'user' ? 'seeker' : 'before', out);
    for (const message of interaction)
      this.hear(message, message.role === 'user' ? 'seeker' : 'episode', out);
    return out;
  }

  private hear(message: Message, who: 'seeker' | 'before' | 'episode', out: Understanding): void {
    const named = this.titles.named(message.content).map(({ id }) => id);
    if (who === 'before') out.offeredBefore.push(...named);
    if (who === 'episode') {
      const listed = this.titles.list(message.content)?.items.filter((id) => id !== null) ?? [];
      out.refused.push(...new Set([...listed, ...named]));
    }
    if (who !== 'seeker') return;
    out.liked.push(...named);
    for (const sentence of message.content.split(/(?<=[.!?;])\s+|\n/)) {
      for (const clue of this.cluesOf(sentence)) {
        const old = out.clues.findIndex((c) => c.facet === clue.facet && c.value === clue.value);
        if (old >= 0) out.clues[old] = clue;
        else out.clues.push(clue);
      }
    }
  }

  /** Clues of one sentence, longest phrase first at every word. */
  private cluesOf(sentence: string): Clue[] {
    const heard = words(sentence);
    const found: Clue[] = [];
    for (let i = 0; i < heard.length; i++) {
      const positive = !heard.slice(Math.max(0, i - DENIAL_REACH), i).some((word) => DENIALS.has(word));
      const decade = decadeOf(heard[i]!, heard[i - 1]);
      if (decade) found.push({ facet: 'decade', value: decade, positive });
      for (let count = Math.min(this.longest, heard.length - i); count >= 1; count--) {
        const entries = this.vocabulary.get(heard.slice(i, i + count).join(' '));
        if (!entries) continue;
        found.push(...entries.map((entry) => ({ ...entry, positive })));
        i += count - 1;
        break;
      }
    }
    return found;
  }

  private addPerson(facet: 'star' | 'director' | 'writer', name: string): void {
    // One word is too little: "Cher", "Common", "Prince".
    if (words(name).length >= 2) this.add(name, { facet, value: name });
  }

  private add(phrase: string, entry: Entry): void {
    const parts = words(phrase);
    if (parts.length === 0) return;
    const key = parts.join(' ');
    const entries = this.vocabulary.get(key) ?? [];
    if (entries.some(({ facet, value }) => facet === entry.facet && value === entry.value)) return;
    this.vocabulary.set(key, [...entries, entry]);
    this.longest = Math.max(this.longest, parts.length);
  }
}

/** "1990s", "90s", "from 1994"; a year after anything else is most often part of a title. */
function decadeOf(word: string, before: string | undefined): string | null {
  const full = /^((?:19|20)\d)0s$/.exec(word);
  if (full) return `${full[1]}0s`;
  const short = /^([2-9]0)s$/.exec(word);
  if (short) return `19${short[1]}s`;
  const year = /^(?:19|20)\d\d$/.exec(word);
  return year && (before === 'in' || before === 'from' || before === 'around')
    ? decadeName(Number(word))
    : null;
}
