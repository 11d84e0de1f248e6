import { describe, expect, it } from 'vitest';
import { hasRedial, sharedCatalogue, sharedFile } from '../../../tests/support/redial.ts';
import { InputError } from '../../core/errors.ts';
import { createCatalogue, readCatalogue, yearOfTitle } from './catalogue.ts';

const read = (entity2id: unknown, id2info: unknown) =>
  readCatalogue({
    entity2id: { name: 'entity2id.json', text: JSON.stringify(entity2id) },
    id2info: { name: 'id2info.json', text: JSON.stringify(id2info) },
  });

describe('readCatalogue', () => {
  it('reads the ReDial convention and keeps unknown fields', () => {
    const { catalogue, problems } = read(
      { 'Heat (1995)': 7, crime: 8 },
      {
        '1': {
          name: 'Heat (1995)',
          genre: ['crime', 'crime'],
          star: ['Al Pacino'],
          director: ['Michael Mann'],
          writer: [],
          plot: 'A heist.',
          imdb_id: 'tt0113277',
        },
      },
    );
    expect(problems).toEqual([]);
    expect(catalogue.items).toEqual([
      {
        id: 7,
        name: 'Heat (1995)',
        genres: ['crime'],
        directors: ['Michael Mann'],
        stars: ['Al Pacino'],
        writers: [],
        plot: 'A heist.',
        year: 1995,
        extra: { imdb_id: 'tt0113277' },
      },
    ]);
    expect(catalogue.byId(7)).toBe(catalogue.byName('Heat (1995)'));
    expect(catalogue.byName('crime')).toBeUndefined();
  });

  it('reads the OpenDialKG convention: actor, year, language; texts in place of lists', () => {
    const { catalogue } = read(
      { Gravity: 0 },
      {
        '0': {
          name: 'Gravity',
          actor: ['Sandra Bullock'],
          year: '2013',
          language: ['English'],
          director: 'Alfonso Cuarón, X',
        },
      },
    );
    expect(catalogue.items[0]).toMatchObject({
      stars: ['Sandra Bullock'],
      directors: ['Alfonso Cuarón', 'X'],
      year: 2013,
      extra: { language: ['English'] },
    });
  });

  it('reports items without a number, items listed twice and fields of a wrong kind', () => {
    const reading = read(
      { A: 1, B: 2 },
      {
        x: { name: 'A', genre: 5 },
        y: { name: 'A', genre: ['drama'] },
        z: { name: 'Lost' },
        w: { name: 'B' },
      },
    );
    expect(reading.catalogue.items.map((i) => [i.name, i.genres])).toEqual([
      ['A', ['drama']],
      ['B', []],
    ]);
    expect(reading.duplicates).toBe(1);
    expect(reading.unnumbered).toEqual(['Lost']);
    expect(reading.problems.map((p) => p.field)).toEqual(['"x".genre', '"y"', '"z".name']);
  });

  it.each([
    [
      'two names of one number',
      { A: 1, B: 1 },
      { x: { name: 'A' }, y: { name: 'B' } },
      /entity2id\.json.*"A" and "B".*1/,
    ],
    ['no name', { A: 1 }, { x: { title: 'A' } }, /id2info\.json, "x"\.name/],
    ['a number that is none', { A: 'one' }, { x: { name: 'A' } }, /entity2id\.json, A/],
    ['nothing left', { A: 1 }, { x: { name: 'B' } }, /no item is left/],
  ])('refuses %s', (_, entity2id, id2info, message) => {
    expect(() => read(entity2id, id2info)).toThrow(InputError);
    expect(() => read(entity2id, id2info)).toThrow(message);
  });
});

describe('createCatalogue', () => {
  it('refuses two items of one id', () => {
    const item = read({ A: 1 }, { x: { name: 'A' } }).catalogue.items[0]!;
    expect(() => createCatalogue([item, { ...item, name: 'B' }])).toThrow(/id 1/);
  });
});

describe('yearOfTitle', () => {
  it('reads the year at the end only', () => {
    expect(yearOfTitle('Heat (1995)')).toBe(1995);
    expect(yearOfTitle('2001: A Space Odyssey')).toBeNull();
    expect(yearOfTitle('(500) Days of Summer')).toBeNull();
  });
});

describe.skipIf(!hasRedial)('real catalogues', () => {
  it('reads ReDial: 6,583 rows, seven of them twice', () => {
    const reading = readCatalogue({
      entity2id: sharedFile('redial/entity2id.json'),
      id2info: sharedFile('redial/id2info.json'),
    });
    expect(reading.catalogue.items).toHaveLength(6576);
    expect(reading.duplicates).toBe(7);
    expect(reading.unnumbered).toEqual([]);
    expect(reading.catalogue.byName('Pari (1995)')?.id).toBe(0);
  });

  it('reads OpenDialKG, ten of whose items have no number', () => {
    const catalogue = sharedCatalogue('opendialkg');
    expect(catalogue.items).toHaveLength(3662);
    expect(catalogue.byName('Slumdog Millionaire')).toMatchObject({ id: 0, year: 2008 });
  });
});
