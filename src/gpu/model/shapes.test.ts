import { describe, expect, test } from 'vitest';
import { parameterShapes } from '../formats/open_model.ts';
import { modelShapes } from './shapes.ts';

/** Parameters as the model cards count them (tied heads once). */
const published: Record<string, number> = {
  'llama-3.2-1b': 1_235_814_400,
  'llama-3.2-3b': 3_212_749_824,
  'llama-3.1-8b': 8_030_261_248,
  'qwen2.5-0.5b': 494_032_768,
  'qwen2.5-1.5b': 1_543_714_304,
  'qwen2.5-7b': 7_615_616_512,
  'qwen3-0.6b': 596_049_920,
  'qwen3-1.7b': 1_720_574_976,
  'qwen3-4b': 4_022_468_096,
  'qwen3-8b': 8_190_735_360,
};

describe('the shape table', () => {
  test('holds the models whose size is known', () => {
    expect(Object.keys(modelShapes).sort()).toEqual(Object.keys(published).sort());
  });
  test.each(Object.entries(published))('%s has %i parameters', (name, parameters) => {
    let sum = 0;
    for (const shape of parameterShapes(modelShapes[name]!).values()) sum += shape.reduce((a, b) => a * b, 1);
    expect(sum).toBe(parameters);
  });
});
