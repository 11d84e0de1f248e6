/** @file A catalogue of forty invented films for tests, and the tools that work on it. */
import { createCatalogue } from '../data/catalogue.ts';
import { ResponseJudge } from '../response/judge.ts';
import { ListRewriter } from '../response/rerank.ts';
import { TitleLinker } from '../response/title_linker.ts';
import { LexicalRetriever } from '../retrieval/lexical.ts';
import { LinkedTitleReader } from '../seeker/title_reader.ts';
import type { Catalogue, Dialogue, Item, Message } from '../types.ts';

const FIRST = ['Silent', 'Golden', 'Broken', 'Hidden', 'Frozen', 'Burning', 'Distant', 'Crimson'];
const SECOND = ['Harbor', 'Garden', 'Mirror', 'Engine', 'Orchard'];
const GENRES = ['comedy', 'drama', 'horror', 'action', 'romance'];
const STARS = [
  'Ada Stone',
  'Ben Marsh',
  'Cleo Vance',
  'Dan Frost',
  'Eva Lind',
  'Finn Holt',
  'Gus Ryder',
  'Ida Wolfe',
];
const DIRECTORS = ['Nora Quill', 'Otto Brand', 'Pia Sato', 'Rex Moran'];

/** Item ids are 100 … 139; every pair of words is one film. */
export function smallCatalogue(): Catalogue {
  const items: Item[] = [];
  FIRST.forEach((first, a) => {
    SECOND.forEach((second, b) => {
      const n = a * SECOND.length + b;
      const year = 1970 + ((n * 7) % 50);
      items.push({
        id: 100 + n,
        name: `${first} ${second} (${year})`,
        genres: [GENRES[(a + b) % 5]!, GENRES[(a + 2 * b + 1) % 5]!].filter(
          (g, i, all) => all.indexOf(g) === i,
        ),
        directors: [DIRECTORS[(a + b) % 4]!],
        stars: [STARS[n % 8]!, STARS[(n + 3) % 8]!],
        writers: [],
        plot: `A locksmith and a telegraph operator quarrel about an inheritance number ${n}`,
        year,
        extra: {},
      });
    });
  });
  return createCatalogue(items);
}

/** Catalogue, linker, reader, judge and rewriter that belong together. */
export function smallTools() {
  const catalogue = smallCatalogue();
  const linker = new TitleLinker(catalogue);
  return {
    catalogue,
    titles: new LinkedTitleReader(linker),
    judge: new ResponseJudge({ catalogue, linker, retriever: new LexicalRetriever(catalogue, linker) }),
    rewriter: new ListRewriter(catalogue, linker),
  };
}

/** Dialogue number `n`: one greeting and the n-th item as target, unless told otherwise. */
export function smallDialogue(
  catalogue: Catalogue,
  n: number,
  options: { dialog?: Message[]; targets?: Item[] } = {},
): Dialogue {
  return {
    key: `small:${n}`,
    index: n,
    dialog: options.dialog ?? [{ role: 'user', content: 'Hello, I want to watch a film tonight.' }],
    targets: options.targets ?? [catalogue.items[n % catalogue.items.length]!],
  };
}
