/** @file Everything that reads and judges messages about items, made once from a catalogue and shared by the stages. */
import { ResponseJudge } from './response/judge.ts';
import { ListRewriter } from './response/rerank.ts';
import { TitleLinker } from './response/title_linker.ts';
import { LexicalRetriever } from './retrieval/lexical.ts';
import { LinkedTitleReader } from './seeker/title_reader.ts';
import type { Catalogue, Retriever } from './types.ts';

export interface ItemTools {
  catalogue: Catalogue;
  linker: TitleLinker;
  titles: LinkedTitleReader;
  retriever: Retriever;
  judge: ResponseJudge;
  rewriter: ListRewriter;
}

/** The tools of a catalogue. `topk` = how many retrieved items count; the retriever is lexical unless another is given. */
export function createItemTools(
  catalogue: Catalogue,
  options: { topk?: number; retriever?: Retriever } = {},
): ItemTools {
  const linker = new TitleLinker(catalogue);
  const retriever = options.retriever ?? new LexicalRetriever(catalogue, linker);
  return {
    catalogue,
    linker,
    titles: new LinkedTitleReader(linker),
    retriever,
    judge: new ResponseJudge({ catalogue, linker, retriever, topk: options.topk }),
    rewriter: new ListRewriter(catalogue, linker),
  };
}
