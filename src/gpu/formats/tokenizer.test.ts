import fc from 'fast-check';
import { expect, test } from 'vitest';
import { InputError } from '../../core/errors.ts';
import { mapFiles } from './memory_files.ts';
import { loadTokenizer } from './tokenizer.ts';

/** GPT-2's alphabet: printable bytes stand for themselves, the others for characters from 256 on. */
const alphabet = (() => {
  const printable = (b: number) => (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174;
  let next = 256;
  return Array.from({ length: 256 }, (_, b) => String.fromCharCode(printable(b) ? b : next++));
})();
const merges = [
  'c o',
  'co n',
  'con s',
  't r',
  'tr u',
  'c t',
  'ct o',
  'cto r',
  'tru ctor',
  'cons tructor',
  'Ġ t',
  'h e',
  'Ġt he',
  '1 2',
  '12 3',
  "' s",
  'l l',
  'Ã ©',
  'Ċ Ċ',
];
/** Pre-tokenisers as the families publish them; they differ in how digits are grouped. */
const pattern = (digits: string) =>
  `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|${digits}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+`;
const llama3 = pattern('\\p{N}{1,3}');
const qwen = pattern('\\p{N}');
const specials = ['<|begin|>', '<|end|>'];

interface Options {
  regex?: string;
  merges?: unknown;
  normalizer?: unknown;
  config?: Record<string, unknown>;
  files?: Record<string, unknown>;
}

/** A byte-level BPE tokenizer in a folder: 256 bytes, a few merges, two special tokens and one plain added token. */
function folder({
  regex = llama3,
  merges: form = merges,
  normalizer = null,
  config = {},
  files = {},
}: Options = {}) {
  const tokens = [...alphabet, ...merges.map((m) => m.replace(' ', ''))];
  const vocab = Object.fromEntries(tokens.map((token, id) => [token, id]));
  const added = [...specials, '<think>'].map((content, i) => ({
    id: tokens.length + i,
    content,
    special: i < specials.length,
    normalized: false,
    lstrip: false,
    rstrip: false,
    single_word: false,
  }));
  const bos = { SpecialToken: { id: specials[0], type_id: 0 } };
  const json = {
    version: '1.0',
    added_tokens: added,
    normalizer,
    pre_tokenizer: {
      type: 'Sequence',
      pretokenizers: [
        { type: 'Split', pattern: { Regex: regex }, behavior: 'Isolated', invert: false },
        { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: false },
      ],
    },
    // Llama 3's: puts a BOS before every text, which is not for `encode` to do.
    post_processor: {
      type: 'Sequence',
      processors: [
        { type: 'ByteLevel', add_prefix_space: true, trim_offsets: false, use_regex: true },
        {
          type: 'TemplateProcessing',
          single: [bos, { Sequence: { id: 'A', type_id: 0 } }],
          pair: [],
          special_tokens: {},
        },
      ],
    },
    decoder: { type: 'ByteLevel', add_prefix_space: true, trim_offsets: true, use_regex: true },
    model: { type: 'BPE', dropout: null, unk_token: null, ignore_merges: true, vocab, merges: form },
  };
  const contents = {
    'tokenizer.json': json,
    'tokenizer_config.json': { eos_token: '<|end|>', bos_token: { content: '<|begin|>' }, ...config },
    ...files,
  };
  return mapFiles(
    'folder',
    new Map(
      Object.entries(contents).map(([name, value]) => [
        name,
        new TextEncoder().encode(typeof value === 'string' ? value : JSON.stringify(value)),
      ]),
    ),
  );
}
const endId = 256 + merges.length + 1;

test.each([
  ['Llama 3', llama3],
  ['Qwen', qwen],
])('any text survives the %s tokenizer: emoji, CJK, combining marks, controls', async (_, regex) => {
  const tokenizer = await loadTokenizer(folder({ regex }));
  const anything = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 60 }),
    fc.string({ unit: 'grapheme', maxLength: 40 }),
    fc
      .array(
        fc.constantFrom(
          'the ',
          "'s",
          "'LL",
          '\n',
          '\r\n',
          '  ',
          '\t',
          '\u00a0',
          '\u0085',
          '\ufeff',
          '123456',
          '日本',
          'é',
          'e\u0301',
          '👩‍👧',
          '½',
          'ſ',
          '!?',
        ),
      )
      .map((parts) => parts.join('')),
  );
  fc.assert(
    fc.property(anything, (text) => {
      const tokens = tokenizer.encode(text);
      expect(tokenizer.decode(tokens)).toBe(text);
      for (const id of tokens) expect(id).toBeLessThan(tokenizer.vocabSize);
    }),
    { numRuns: 500 },
  );
});

test('a lone surrogate becomes the replacement character', async () => {
  const tokenizer = await loadTokenizer(folder());
  for (const text of ['a\ud800b', '\udc00', 'x\ud83d', '\ud800\ud800'])
    expect(tokenizer.decode(tokenizer.encode(text))).toBe(text.toWellFormed());
});

test('merges apply in rank order, and words split as the family says', async () => {
  const l = await loadTokenizer(folder());
  const q = await loadTokenizer(folder({ regex: qwen }));
  const pieces = (t: typeof l, text: string) => t.encode(text).map((id) => t.decode([id]));
  expect(pieces(l, 'the the')).toEqual(['t', 'he', ' the']);
  expect(pieces(l, '1234')).toEqual(['123', '4']);
  expect(pieces(q, '1234')).toEqual(['1', '2', '3', '4']);
  expect(pieces(l, "it's IT'S")).toEqual(['i', 't', "'s", ' ', 'I', 'T', "'", 'S']);
  expect(pieces(l, 'é')).toEqual(['é']);
  // Names that JavaScript objects have anyway are tokens like any other.
  expect(pieces(l, 'constructor')).toEqual(['constructor']);
});

test('merges written as pairs mean the same as merges written as text', async () => {
  const [a, b] = [
    await loadTokenizer(folder()),
    await loadTokenizer(folder({ merges: merges.map((m) => m.split(' ')) })),
  ];
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme' }), (text) => {
      expect(a.encode(text)).toEqual(b.encode(text));
    }),
  );
});

test('special and added tokens in a text are recognised; nothing is added', async () => {
  const tokenizer = await loadTokenizer(folder());
  expect(tokenizer.encode('')).toEqual([]);
  expect(tokenizer.encode('<|end|>')).toEqual([endId]);
  const tokens = tokenizer.encode('a<|end|>b<think>');
  expect(tokens).toEqual([alphabet.indexOf('a'), endId, alphabet.indexOf('b'), endId + 1]);
  expect(tokenizer.decode(tokens)).toBe('a<|end|>b<think>');
  expect(tokenizer.decode(tokens, { skipSpecialTokens: true })).toBe('ab<think>');
});

test('ids of padded embedding rows decode to nothing; half a character to the replacement character', async () => {
  const tokenizer = await loadTokenizer(folder());
  expect(tokenizer.decode([tokenizer.vocabSize, 5000])).toBe('');
  expect(tokenizer.decode([])).toBe('');
  const [first] = tokenizer.encode('日');
  expect(tokenizer.decode([first!])).toBe('\ufffd');
});

test('Qwen’s NFC normaliser is honoured', async () => {
  const tokenizer = await loadTokenizer(folder({ normalizer: { type: 'NFC' } }));
  expect(tokenizer.decode(tokenizer.encode('e\u0301'))).toBe('é');
});

test('spaces before punctuation are kept, as transformers 5 keeps them whatever the folder asks', async () => {
  const tokenizer = await loadTokenizer(folder({ config: { clean_up_tokenization_spaces: true } }));
  expect(tokenizer.decode(tokenizer.encode("so , it is . do n't"))).toBe("so , it is . do n't");
});

test('20,000 characters of any kind come through', async () => {
  const tokenizer = await loadTokenizer(folder());
  for (const unit of ['a', ' ', '\n ', '!', '日本é😀 the 123 ', '1'])
    for (const text of [unit.repeat(Math.ceil(20000 / unit.length))])
      expect(tokenizer.decode(tokenizer.encode(text))).toBe(text);
});

test('stop tokens come from all three files, single or listed', async () => {
  const files = { 'generation_config.json': { eos_token_id: [7, 9] }, 'config.json': { eos_token_id: 3 } };
  expect((await loadTokenizer(folder({ files }))).stopTokens).toEqual([3, 7, 9, endId]);
  expect((await loadTokenizer(folder({ config: { eos_token: null } }))).stopTokens).toEqual([]);
});

const messages = [
  { role: 'user', content: ' hi ' },
  { role: 'assistant', content: 'yo' },
] as const;

test('chat templates: own file, in the configuration, named, or given', async () => {
  const template =
    "{{ bos_token }}{% for m in messages %}\n[{{ m['role'] }}]{{ m.content | trim }}\n{% endfor %}\n{% if add_generation_prompt %}>{% endif %}\n";
  const expected = '<|begin|>[user]hi\n[assistant]yo\n';
  for (const options of [
    { files: { 'chat_template.jinja': template } },
    { config: { chat_template: template } },
    {
      config: {
        chat_template: [
          { name: 'tool_use', template: 'x' },
          { name: 'default', template },
        ],
      },
    },
  ]) {
    const tokenizer = await loadTokenizer(folder(options));
    expect(tokenizer.render(messages)).toBe(expected);
    expect(tokenizer.render(messages, { addGenerationPrompt: true })).toBe(expected + '>');
  }
  const given = await loadTokenizer(folder(), {
    chatTemplate: '{{ mood }}{{ messages | length }}',
    templateVariables: { mood: 'merry ' },
  });
  expect(given.render(messages)).toBe('merry 2');
});

test('what a template refuses, and a folder without one, is said', async () => {
  const refusing = await loadTokenizer(
    folder({ config: { chat_template: "{{ raise_exception('roles must alternate') }}" } }),
  );
  expect(() => refusing.render(messages)).toThrow(InputError);
  expect(() => refusing.render(messages)).toThrow(/chat template of folder .* roles must alternate/);
  const without = await loadTokenizer(folder());
  expect(() => without.render(messages)).toThrow('neither chat_template.jinja nor');
  await expect(loadTokenizer(folder({ config: { chat_template: '{% if %}' } }))).rejects.toThrow(
    'tokenizer_config.json: chat_template',
  );
});

test('missing and broken files are named', async () => {
  await expect(loadTokenizer(mapFiles('m', new Map()))).rejects.toThrow('m has no tokenizer.json');
  await expect(loadTokenizer(folder({ files: { 'tokenizer.json': '{' } }))).rejects.toThrow(
    'folder/tokenizer.json is not valid JSON',
  );
  await expect(loadTokenizer(folder({ files: { 'tokenizer.json': { model: {} } } }))).rejects.toThrow(
    'field "model.vocab"',
  );
  await expect(
    loadTokenizer(
      folder({
        files: {
          'tokenizer.json': {
            model: { vocab: {}, merges: [], type: 'BPE' },
            pre_tokenizer: { type: 'Nonsense' },
          },
        },
      }),
    ),
  ).rejects.toThrow(/folder\/tokenizer\.json cannot be used/);
});
