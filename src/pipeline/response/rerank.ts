/**
 * @file Re-rank (`prepare --rerank`, and successful rollouts with `--rerank`): the targets that were hit first, then the
 * visible titles in order without repeats, refilled to ten from the retrieved items; one line, canonical phrase. The
 * reason before the list is kept, the remark after it is not.
 */
import type { Rewriter } from '../episode/episode.ts';
import type { Catalogue, Judgement } from '../types.ts';
import { parseList } from './list_parser.ts';
import { renderRecommendation } from './render_list.ts';
import { titleKey } from './title_key.ts';
import type { TitleLinker } from './title_linker.ts';

/** How many titles a rewritten list has. */
export const LIST_LENGTH = 10;

/** The phrase that announces a list, in the forms models write it: it is replaced by the canonical one. */
const ANNOUNCEMENT =
  /[\s,;.:–—-]*\b(?:with that in mind,?\s*)?here(?:['’]s| are| is)\s(?:(?!\.\s)[^:?!]){0,160}:?\s*$/iu;

/** Rewrites messages with the catalogue's own titles. */
export class ListRewriter implements Rewriter {
  constructor(
    private readonly catalogue: Catalogue,
    private readonly linker: TitleLinker,
  ) {}

  /** The message with its list re-ranked. A listed title outside the catalogue keeps its place and its wording. */
  rerank(text: string, judgement: Judgement): string {
    return renderRecommendation(this.rerankedTitles(judgement), this.leadOf(text));
  }

  /** The first ten retrieved items as a recommendation without a reason. */
  retrievedList(judgement: Judgement): string {
    return renderRecommendation(judgement.retrieved.slice(0, LIST_LENGTH).map((id) => this.nameOf(id)));
  }

  /** The titles of the re-ranked list: at most ten, no item twice. */
  rerankedTitles(judgement: Judgement): string[] {
    const titles: string[] = [];
    const seen = new Set<string>();
    const add = (mark: string, title: string) => {
      if (titles.length >= LIST_LENGTH || seen.has(mark)) return;
      seen.add(mark);
      titles.push(title);
    };
    const addItem = (id: number) => add(`#${id}`, this.nameOf(id));
    for (const id of judgement.retrieved) if (judgement.retrievedTargets.includes(id)) addItem(id);
    judgement.shownTargets.forEach(addItem);
    judgement.listed.forEach((title, i) => {
      const id = judgement.linked[i] ?? null;
      if (id !== null) addItem(id);
      else {
        const { key, year } = titleKey(title);
        add(`${key}|${year}`, title);
      }
    });
    judgement.retrieved.forEach(addItem);
    return titles;
  }

  /** What stands before the list, without the words that announce it. */
  private leadOf(text: string): string {
    const list = parseList(text, (title) => this.linker.isTitle(title));
    return (list ? list.before : '').replace(ANNOUNCEMENT, '');
  }

  private nameOf(id: number): string {
    const item = this.catalogue.byId(id);
    if (!item) throw new RangeError(`The retriever named item ${id}, which is not in the catalogue.`);
    return item.name;
  }
}
