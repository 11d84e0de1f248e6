/**
 * @file A small tokenizer for tests: given words are tokens, every other character is one; four chat templates whose ends
 * of turn differ the way real ones do.
 */
import type { ChatTurn, Tokenizer } from '../../core/tokenizer.ts';

/** `llama`: trims, no line break after the end of turn, BOS first. `qwen`: line break after it. `default_system`: a system
 * prompt when none is given. `plain`: no special token ends a turn. */
export type ToyTemplate = 'llama' | 'qwen' | 'default_system' | 'plain';

const specials = ['<bos>', '<eot>', '<eos>', '<user>', '<assistant>', '<system>'];

export function toyTokenizer(words: readonly string[] = [], template: ToyTemplate = 'qwen'): Tokenizer {
  const characters = Array.from({ length: 95 }, (_, i) => String.fromCharCode(32 + i));
  const vocabulary = [...new Set([...specials, ...words, '\n', ...characters, '?'])];
  const ids = new Map(vocabulary.map((token, id) => [token, id]));
  const longest = [...vocabulary].sort((a, b) => b.length - a.length);
  const encode = (text: string): number[] => {
    const out: number[] = [];
    for (let at = 0; at < text.length;) {
      const token = longest.find((t) => text.startsWith(t, at)) ?? '?';
      out.push(ids.get(token)!);
      at += token === '?' ? 1 : token.length;
    }
    return out;
  };
  const stopTokens = template === 'plain' ? [ids.get('<eos>')!] : [ids.get('<eot>')!, ids.get('<eos>')!];
  return {
    vocabSize: vocabulary.length,
    stopTokens,
    encode,
    decode: (tokens, options) =>
      tokens
        .map((id) => vocabulary[id] ?? '')
        .filter((t) => !(options?.skipSpecialTokens && specials.includes(t)))
        .join(''),
    render: (messages, options) => render(messages, template, options?.addGenerationPrompt ?? false),
  };
}

function render(messages: readonly ChatTurn[], template: ToyTemplate, generation: boolean): string {
  const given =
    template === 'default_system' && messages[0]?.role !== 'system'
      ? [{ role: 'system', content: 'You help.' }, ...messages]
      : messages;
  const head = template === 'llama' ? '<bos>' : '';
  const end = { llama: '<eot>', qwen: '<eot>\n', default_system: '<eot>\n', plain: '\n' }[template];
  const body = given
    .map((m) => `<${m.role}>\n${template === 'llama' ? m.content.trim() : m.content}${end}`)
    .join('');
  return head + body + (generation ? '<assistant>\n' : '');
}
