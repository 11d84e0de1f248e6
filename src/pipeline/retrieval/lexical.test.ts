import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { hasRedial, redialRollouts, sharedCatalogue, sharedFile } from '../../../tests/support/redial.ts';
import { film, trickyCatalogue } from '../../../tests/support/tricky_catalogue.ts';
import { createCatalogue } from '../data/catalogue.ts';
import { readProcessedSet } from '../data/processed_set.ts';
import { renderRecommendation } from '../response/render_list.ts';
import { TitleLinker } from '../response/title_linker.ts';
import { LexicalRetriever } from './lexical.ts';

const retriever = new LexicalRetriever(trickyCatalogue, new TitleLinker(trickyCatalogue));
const names = async (text: string, k: number) =>
  (await retriever.retrieve([text], k))[0]!.map((s) => trickyCatalogue.byId(s.id)!.name);

describe('LexicalRetriever', () => {
  it('finds by genre, star, director and words of the title', async () => {
    expect((await names('something by Michael Mann', 1))[0]).toBe('Heat (1995)');
    expect((await names('a horror film by Stanley Kubrick', 1))[0]).toBe('The Shining (1980)');
    expect(new Set(await names('Brad Pitt', 2))).toEqual(
      new Set(['Seven (1995)', 'Mr. & Mrs. Smith (2005)']),
    );
    expect((await names('angry men', 1))[0]).toBe('12 Angry Men (1957)');
  });

  it('ranks listed titles first, in listed order, whatever else the text says', async () => {
    const all = trickyCatalogue.items.map((i) => i.name);
    await fc.assert(
      fc.asyncProperty(fc.shuffledSubarray(all, { minLength: 2, maxLength: 10 }), async (list) => {
        const text = renderRecommendation(list, 'crime and horror by Stanley Kubrick with Al Pacino');
        expect((await names(text, 50)).slice(0, list.length)).toEqual(list);
      }),
    );
  });

  it('gives distinct items in falling order of scores, ties by id, k of them', async () => {
    await fc.assert(
      fc.asyncProperty(fc.string(), fc.integer({ min: 1, max: 60 }), async (text, k) => {
        const [found] = await retriever.retrieve([text], k);
        expect(found).toHaveLength(Math.min(k, trickyCatalogue.items.length));
        for (let i = 1; i < found!.length; i++) {
          const [a, b] = [found![i - 1]!, found![i]!];
          expect(a.score > b.score || (a.score === b.score && a.id < b.id)).toBe(true);
        }
      }),
    );
  });

  it('does not depend on the order of the catalogue', async () => {
    const turned = createCatalogue([...trickyCatalogue.items].reverse());
    const other = new LexicalRetriever(turned, new TitleLinker(turned));
    const text = 'crime with Al Pacino, 1. Up 2. Ghostbusters';
    const ids = async (r: LexicalRetriever) => (await r.retrieve([text], 22))[0]!.map((s) => s.id);
    expect(await ids(other)).toEqual(await ids(retriever));
  });

  it('finds something for a title outside the catalogue by its words', async () => {
    expect(await names('1. The Godfather Part IV (2024) 2. Nothing Like It Anywhere (2024)', 2)).toEqual(
      expect.arrayContaining(['The Godfather (1972)']),
    );
    expect((await retriever.retrieve([''], 3))[0]!.map((s) => s.id)).toEqual([100, 101, 102]);
    expect(film('Heat (1995)').id).toBe(100);
  });
});

describe.skipIf(!hasRedial)('on ReDial', () => {
  it('is the known BM25 floor when it is asked with the dialogues, and finds what transcripts list', async () => {
    const catalogue = sharedCatalogue('redial');
    const real = new LexicalRetriever(catalogue, new TitleLinker(catalogue));
    const { dialogues } = readProcessedSet(sharedFile('redial/redial_processed_valid.json'), catalogue);
    const found = await real.retrieve(
      dialogues.map((d) => d.dialog.map((m) => m.content).join(' ')),
      10,
    );
    let labels = 0;
    let hits = 0;
    dialogues.forEach((d, i) => {
      labels += d.targets.length;
      hits += d.targets.filter((t) => found[i]!.some((s) => s.id === t.id)).length;
    });
    // The specification gives .105 for BM25.
    expect(hits / labels).toBeGreaterThan(0.095);
    expect(hits / labels).toBeLessThan(0.12);

    const rows = redialRollouts();
    const last = rows.map((r) => r.generated_dialog.findLast((m) => m.role === 'assistant')!.content);
    const ranked = await real.retrieve(last, 10);
    const hit = rows.filter((r, i) => r.rec_ids.some((id) => ranked[i]!.some((s) => s.id === id)));
    // Every one of these rows succeeded with the original's embedding.
    expect(hit.length / rows.length).toBeGreaterThan(0.7);
  });
});
