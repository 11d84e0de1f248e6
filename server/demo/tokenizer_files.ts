/**
 * @file The demo model's tokenizer in Hugging Face's format: byte-level BPE with Llama 3's pre-tokeniser, Llama-style special
 * tokens, a compact chat template, and *entity tokens*.
 *
 * Entity tokens are what makes a model of this size useful: every title of the catalogue, every director and
 * star, every decade, the list numbers and the canonical phrase are one token each, with the space before them. A list of ten
 * films costs twenty tokens, and recommending is one softmax over titles. They are ordinary added tokens (`special: false`,
 * `normalized: false`), so any text encodes and decodes to itself.
 */
import { RECOMMENDATION_PHRASE } from '../../src/pipeline/response/render_list.ts';
import { LLAMA3_PATTERN, trainBpe } from './bpe.ts';
import type { Film } from './films.ts';

/** Special tokens; the last ones open a message of their role. */
export const SPECIAL = {
  bos: '<|begin_of_text|>',
  pad: '<|end_of_text|>',
  eot: '<|eot_id|>',
  system: '<|system|>',
  user: '<|user|>',
  assistant: '<|assistant|>',
} as const;

/** One token opens a message, one closes it. */
export const CHAT_TEMPLATE = `{{ bos_token }}{% for m in messages %}{{ '<|' + m['role'] + '|>' }}{{ m['content'] | trim }}<|eot_id|>{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}`;

/** Texts that are one token each, a space before them. */
export function entityTokens(films: readonly Film[]): string[] {
  const people = [...new Set(films.flatMap((f) => [...f.directors, ...f.stars]))];
  const decades = [...new Set(films.map((f) => f.decade))].sort();
  const numbers = Array.from({ length: 10 }, (_, i) => `${i + 1}.`);
  return [RECOMMENDATION_PHRASE, ...numbers, ...decades, ...people.sort(), ...films.map((f) => f.name)].map(
    (text) => ` ${text}`,
  );
}

/**
 * The files of the tokenizer, by name.
 * @param texts what to learn the merges from; @param merges how many.
 */
export function tokenizerFiles(
  films: readonly Film[],
  texts: Iterable<string>,
  merges: number,
): { files: Record<string, string>; vocabSize: number; bosId: number; eotId: number; padId: number } {
  const entities = entityTokens(films);
  const bpe = trainBpe(withoutEntities(texts, entities), merges);
  const contents = [
    ...Object.values(SPECIAL).map((content) => ({ content, special: true })),
    ...entities.map((content) => ({ content, special: false })),
  ];
  const added = contents.map(({ content, special }, i) => ({
    id: bpe.vocab.length + i,
    content,
    single_word: false,
    lstrip: false,
    rstrip: false,
    normalized: false,
    special,
  }));
  const idOf = (content: string): number => added.find((token) => token.content === content)!.id;
  const json = {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: added,
    normalizer: null,
    pre_tokenizer: {
      type: 'Sequence',
      pretokenizers: [
        { type: 'Split', pattern: { Regex: LLAMA3_PATTERN }, behavior: 'Isolated', invert: false },
        { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: false },
      ],
    },
    post_processor: null,
    decoder: { type: 'ByteLevel', add_prefix_space: true, trim_offsets: true, use_regex: true },
    model: {
      type: 'BPE',
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: true,
      vocab: Object.fromEntries(bpe.vocab.map((token, id) => [token, id])),
      merges: bpe.merges,
    },
  };
  const [bosId, eotId, padId] = [idOf(SPECIAL.bos), idOf(SPECIAL.eot), idOf(SPECIAL.pad)];
  const tokenizerConfig = {
    tokenizer_class: 'PreTrainedTokenizerFast',
    bos_token: SPECIAL.bos,
    eos_token: SPECIAL.eot,
    pad_token: SPECIAL.pad,
    clean_up_tokenization_spaces: false,
    model_max_length: 512,
  };
  const generation = { bos_token_id: bosId, eos_token_id: eotId, pad_token_id: padId, do_sample: false };
  return {
    files: {
      'tokenizer.json': `${JSON.stringify(json, null, 1)}\n`,
      'tokenizer_config.json': `${JSON.stringify(tokenizerConfig, null, 2)}\n`,
      'chat_template.jinja': CHAT_TEMPLATE,
      'generation_config.json': `${JSON.stringify(generation, null, 2)}\n`,
    },
    vocabSize: bpe.vocab.length + added.length,
    bosId,
    eotId,
    padId,
  };
}

/** The texts between entity tokens, which are all that merges are ever applied to. */
function* withoutEntities(texts: Iterable<string>, entities: readonly string[]): Generator<string> {
  const longestFirst = [...entities, ...Object.values(SPECIAL)].sort((a, b) => b.length - a.length);
  const pattern = new RegExp(
    longestFirst.map((t) => t.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')).join('|'),
    'g',
  );
  for (const text of texts) yield* text.split(pattern).filter((part) => part !== '');
}
