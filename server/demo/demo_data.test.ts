import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { hash32 } from '../../src/core/random.ts';
import { loadTokenizer } from '../../src/gpu/formats/tokenizer.ts';
import { readCatalogue } from '../../src/pipeline/data/catalogue.ts';
import { openModel } from '../../src/gpu/index.ts';
import { readProcessedSet } from '../../src/pipeline/data/processed_set.ts';
import { parseList } from '../../src/pipeline/response/list_parser.ts';
import { renderRecommendation } from '../../src/pipeline/response/render_list.ts';
import { folderFiles } from '../files.ts';
import { byteAlphabet, trainBpe } from './bpe.ts';
import { CorpusWriter } from './corpus.ts';
import { combination, DialogueGenerator, likeness, splitOf } from './dialogues.ts';
import { parseFilms, readFilms } from './films.ts';
import { DATA_SEED, SIZES } from './make_data.ts';
import { demoFile, modelFolder } from './places.ts';
import { entityTokens } from './tokenizer_files.ts';

const films = readFilms();
const read = (name: string) => ({ name, text: readFileSync(demoFile(name), 'utf8') });
const { catalogue, problems } = readCatalogue({
  entity2id: read('entity2id.json'),
  id2info: read('id2info.json'),
});

describe('demo catalogue', () => {
  it('is the table, as the recipe reads it', () => {
    expect(problems).toEqual([]);
    expect(films.length).toBeGreaterThanOrEqual(300);
    expect(catalogue.items.map((item) => item.name)).toEqual(films.map((film) => film.name));
    const alien = catalogue.byName('Alien (1979)')!;
    expect(alien).toMatchObject({ year: 1979, directors: ['Ridley Scott'], genres: ['horror', 'sci-fi'] });
  });

  it('refuses a wrong line by its number', () => {
    expect(() => parseFilms('# a\nX (1999) | drama | A | B | C | d\nY | drama | A | B | C | d')).toThrow(
      /line 3.*"Y"/,
    );
    expect(() => parseFilms('X (1999) | dream | A | B | C | d')).toThrow(/genre "dream"/);
    expect(() => parseFilms('X (1999) | drama | A | B | C')).toThrow(/six fields/);
  });
});

describe('demo dialogues', () => {
  const generator = new DialogueGenerator(films);
  const sets = (Object.keys(SIZES) as (keyof typeof SIZES)[]).map((split) => ({
    split,
    rows: generator.generate(split, SIZES[split], DATA_SEED),
  }));

  it('are what the generator writes, and readable without a problem', () => {
    for (const { split, rows } of sets) {
      const file = read(`demo_processed_${split}.json`);
      const set = readProcessedSet(file, catalogue);
      expect(set.problems).toEqual([]);
      expect(JSON.parse(file.text)).toEqual(
        rows.map(({ dialog, target_items }) => ({ dialog, target_items })),
      );
    }
  });

  it('share no combination of hints and no dialogue between splits', () => {
    const owner = new Map<string, string>();
    for (const { split, rows } of sets)
      for (const row of rows) {
        expect(splitOf(row)).toBe(split);
        for (const key of [combination(row), JSON.stringify([row.dialog, row.target_items])]) {
          expect(owner.get(key) ?? split).toBe(split);
          owner.set(key, split);
        }
      }
  });

  it('give hints that are true of every target, and never its title', () => {
    const byName = new Map(films.map((film) => [film.name, film]));
    for (const { hints, target_items, dialog } of sets.flatMap(({ rows }) => rows)) {
      for (const name of target_items) {
        const film = byName.get(name)!;
        expect(dialog.some(({ content }) => content.includes(name))).toBe(false);
        for (const { facet, value } of hints) {
          if (facet === 'genre') expect(film.genres).toContain(value);
          else if (facet === 'decade') expect(film.decade).toBe(value);
          else if (facet === 'star') expect(film.stars).toContain(value);
          else if (facet === 'director') expect(film.directors).toContain(value);
          else if (facet === 'avoid') expect(film.genres).not.toContain(value);
          else expect(likeness(film, byName.get(value)!)).toBeGreaterThanOrEqual(3);
        }
      }
    }
  });

  it('depend on the seed alone', () => {
    expect(generator.generate('test', 20, 5)).toEqual(generator.generate('test', 20, 5));
    expect(generator.generate('test', 20, 5)).not.toEqual(generator.generate('test', 20, 6));
  });
});

describe('demo tokenizer', async () => {
  const tokenizer = await loadTokenizer(folderFiles(modelFolder));
  const entities = entityTokens(films);

  it('writes each entity as one token, a recommendation in about thirty', () => {
    for (const text of entities) expect(tokenizer.encode(text)).toHaveLength(1);
    const list = renderRecommendation(
      films.slice(0, 10).map((film) => film.name),
      'Since you like comedy',
    );
    expect(tokenizer.encode(list).length).toBeLessThanOrEqual(30);
  });

  it('decodes what it encoded', () => {
    const piece = fc.oneof(
      fc.string({ unit: 'grapheme' }),
      fc.constantFrom(...entities),
      fc.constantFrom(' ', '\n', '1. '),
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 12 }), (parts) => {
        const text = parts.join('');
        expect(tokenizer.decode(tokenizer.encode(text))).toBe(text);
      }),
      { seed: hash32(1), numRuns: 300 },
    );
  });

  it('renders a chat with one token before and one after each message', () => {
    const text = tokenizer.render([{ role: 'user', content: ' Hi ' }], { addGenerationPrompt: true });
    expect(text).toBe('<|begin_of_text|><|user|>Hi<|eot_id|><|assistant|>');
    expect(tokenizer.encode(text)).toHaveLength(5);
    expect(tokenizer.stopTokens.map((token) => tokenizer.decode([token]))).toEqual(['<|eot_id|>']);
  });
});

describe('trainBpe', () => {
  it('merges the most frequent pair first, within pieces only', () => {
    const { vocab, merges } = trainBpe(['low low lower', 'lowest'], 3);
    expect(vocab).toHaveLength(256 + 3);
    expect(merges.slice(0, 2)).toEqual([
      ['l', 'o'],
      ['lo', 'w'],
    ]);
    expect(trainBpe(['a b a b'], 10).merges).toEqual([['Ġ', 'b']]);
  });

  it('has a letter of its own for each byte', () => {
    expect(new Set(byteAlphabet()).size).toBe(256);
    expect(byteAlphabet()[32]).toBe('Ġ');
  });
});

describe('demo corpus', async () => {
  const writer = new CorpusWriter(films);
  const documents = await writer.write(200, 3);

  it('depends on the seed alone', async () => {
    expect(await writer.write(200, 3)).toEqual(documents);
    expect(await writer.write(200, 4)).not.toEqual(documents);
  });

  it('lists ten different films of the catalogue, in facts and in conversations', () => {
    const texts = documents.flatMap((d) => ('text' in d ? [d.text] : d.messages.map((m) => m.content)));
    const lists = texts.flatMap(
      (text) => parseList(text, (title) => catalogue.byName(title) !== undefined) ?? [],
    );
    expect(lists.length).toBeGreaterThan(100);
    for (const { titles } of lists) {
      expect(new Set(titles).size).toBe(10);
      for (const title of titles) expect(catalogue.byName(title)).toBeDefined();
    }
  });

  it('tells films that share a star whenever it is asked for one', () => {
    const stars = [...new Set(films.flatMap((film) => film.stars))];
    let asked = 0;
    for (const text of documents.flatMap((d) => ('text' in d ? [d.text] : []))) {
      const [wish, list] = text.split('Fitting films:');
      const star = list && stars.find((name) => wish!.includes(`with ${name}`));
      if (!star) continue;
      asked++;
      expect(catalogue.byName(parseList(list)!.titles[0]!)!.stars).toContain(star);
    }
    expect(asked).toBeGreaterThan(5);
  });
});

describe('demo model', () => {
  it('fits the tokenizer and the page', async () => {
    const files = folderFiles(modelFolder);
    const { config } = await openModel(files);
    expect(config.vocabSize).toBe((await loadTokenizer(files)).vocabSize);
    expect(config.tieWordEmbeddings).toBe(true);
    expect(await files.size('model.safetensors')).toBeLessThan(8e6);
  });
});
