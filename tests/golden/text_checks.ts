/** @file Tokenisation and chat templates of a golden model: everything must be identical. */
import { loadTokenizer } from '../../src/gpu/formats/tokenizer.ts';
import type { CheckResult } from './check.ts';
import { identical } from './check.ts';
import type { GoldenModel } from './golden_model.ts';

export async function* textChecks({ name, files, json }: GoldenModel): AsyncGenerator<CheckResult> {
  const tokenizer = await loadTokenizer(files);
  const cases = json.tokenize;
  const label = (text: string) => JSON.stringify(text.slice(0, 24));
  yield identical(
    name,
    'tokenize: ids',
    cases.map((c) => ({ actual: tokenizer.encode(c.text), expected: c.ids, of: label(c.text) })),
  );
  yield identical(
    name,
    'tokenize: decoded',
    cases.map((c) => ({
      actual: tokenizer.decode(c.ids, { skipSpecialTokens: true }),
      expected: c.decoded,
      of: label(c.text),
    })),
  );
  const { messages, text, ids } = json.chat;
  // The golden dialogue is rendered with a generation prompt when it ends with the user's turn.
  const addGenerationPrompt = messages.at(-1)?.role === 'user';
  yield identical(name, 'chat template: text', [
    { actual: tokenizer.render(messages, { addGenerationPrompt }), expected: text },
  ]);
  yield identical(name, 'chat template: ids', [{ actual: tokenizer.encode(text), expected: ids }]);
}
