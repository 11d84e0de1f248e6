/**
 * @file A toy world for tests of GRPO: four films that are one token each, a question, a badly formed list; a seeker that wants
 * one film; a judge that retrieves the film a message names. The bigram policy begins every turn with one of six tokens.
 */
import type { Judge, Rewriter } from '../episode/episode.ts';
import { ChatTokens } from '../policy/chat_tokens.ts';
import type { GrpoRow } from '../stages/grpo/rows.ts';
import type { EpisodeState, Item, Judgement, Seeker } from '../types.ts';
import { BigramPolicy } from './bigram_policy.ts';
import { toyTokenizer, type ToyTemplate } from './toy_tokenizer.ts';

export const films = ['Heat (1995)', 'Jaws (1975)', 'Alien (1979)', 'Fargo (1996)'];
export const question = 'genre?';
/** A list that is not numbered 1 … 10. */
export const badList = '1. Heat (1995) 2. Jaws (1975)';
const openings = [...films, question, badList];
const words = [...openings, 'ten best: ', 'what about', 'yes please', 'no thanks', 'dark and slow'];

export const items: Item[] = films.map((name, id) => ({
  id,
  name,
  genres: [],
  directors: [],
  stars: [],
  writers: [],
  plot: '',
  year: null,
  extra: {},
}));

export interface ToyWorld {
  chat: ChatTokens;
  policy: BigramPolicy;
  seeker: Seeker;
  judge: Judge;
  rewriter: Rewriter;
  rows: GrpoRow[];
}

export interface ToyOptions {
  template?: ToyTemplate;
  dialogues?: number;
  /** Log-odds of an opening against every other token. */
  strength?: number;
  /** Extra log-odds of single openings. */
  bias?: Record<string, number>;
  /** The seeker cannot be understood in the first n replies it gives. */
  malformedReplies?: number;
}

/** A new world; two made with the same options are the same. */
export function toyWorld(options: ToyOptions = {}): ToyWorld {
  const tokenizer = toyTokenizer(words, options.template ?? 'qwen');
  const chat = new ChatTokens(tokenizer);
  return {
    chat,
    policy: new BigramPolicy(tokenizer.vocabSize, 1, openingTable(chat, options)),
    seeker: toySeeker(options.malformedReplies ?? 0),
    judge: { judge: async (messages) => messages.map(({ text, targets }) => judgement(text, targets)) },
    rewriter: {
      rerank: (_, { retrievedTargets }) => `ten best: ${films[retrievedTargets[0] ?? 0]!}`,
      retrievedList: ({ retrieved }) => films[retrieved[0] ?? 0]!,
    },
    rows: Array.from({ length: options.dialogues ?? 8 }, (_, i) => ({
      dialogue: {
        key: `toy:${i}`,
        index: i,
        dialog: [{ role: 'user' as const, content: `film ${i}` }],
        targets: [items[0]!],
      },
      interaction: [
        { role: 'assistant' as const, content: question },
        { role: 'user' as const, content: 'dark and slow' },
        { role: 'assistant' as const, content: 'what about' },
        { role: 'user' as const, content: 'no thanks' },
        { role: 'assistant' as const, content: 'Heat (1995)' },
        { role: 'user' as const, content: 'yes please' },
      ],
      baseTurn: 3,
    })),
  };
}

/** `row[line break] → openings`, `row[opening] → end of turn`, everything else flat. */
function openingTable(chat: ChatTokens, { strength = 9, bias = {} }: ToyOptions): Float64Array {
  const { tokenizer } = chat;
  const V = tokenizer.vocabSize;
  const table = new Float64Array(V * V);
  const newline = tokenizer.encode('\n')[0]!;
  for (const opening of openings) {
    const token = tokenizer.encode(opening)[0]!;
    table[newline * V + token] = strength + (bias[opening] ?? 0);
    table[token * V + chat.endOfTurn] = strength;
  }
  return table;
}

function judgement(text: string, targets: readonly Item[]): Judgement {
  const named = films.flatMap((film, id) => (text.includes(film) ? [id] : []));
  const hits = targets.filter((t) => named.includes(t.id)).map((t) => t.id);
  return {
    listed: named.map((id) => films[id]!),
    linked: named,
    retrieved: named,
    shownTargets: hits,
    retrievedTargets: hits,
  };
}

function toySeeker(malformedReplies: number): Seeker {
  let given = 0;
  const reply = ({ dialogue, interaction }: EpisodeState) => {
    if (given++ < malformedReplies)
      return { intent: 'malformed' as const, text: '', accepted: false, malformedAttempts: 2 };
    const text = interaction.at(-1)!.content;
    const recommends = films.some((film) => text.includes(film)) || text === badList;
    const accepted = dialogue.targets.some((t) => text.includes(t.name));
    return {
      intent: recommends ? ('recommendation' as const) : ('inquiry' as const),
      text: accepted ? 'yes please' : recommends ? 'no thanks' : 'dark and slow',
      accepted,
      malformedAttempts: 0,
    };
  };
  return { name: 'toy', reply: async (states) => states.map(reply) };
}
