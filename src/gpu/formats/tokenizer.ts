/**
 * @file A model folder's tokenizer: tokenizer.json through @huggingface/tokenizers, chat template through
 * @huggingface/jinja. Around the libraries: nothing is added to a text (no BOS), ids without a token decode to nothing,
 * texts come back as they were written (like transformers 5, `clean_up_tokenization_spaces` is not
 * applied to BPE), and stop tokens are gathered from the three files that may name them.
 */
import { Template } from '@huggingface/jinja';
import { Tokenizer as Encoder } from '@huggingface/tokenizers';
import * as v from 'valibot';
import { InputError } from '../../core/errors.ts';
import type { ChatTurn, Tokenizer } from '../../core/tokenizer.ts';
import type { FileSource } from './model_source.ts';
import { checkShape, readJson, readText } from './text_files.ts';

const tokenText = v.union([
  v.string(),
  v.pipe(
    v.looseObject({ content: v.string() }),
    v.transform((t) => t.content),
  ),
]);
const tokenizerSchema = v.looseObject({
  // Not v.record: it drops keys such as "constructor", which are tokens of real vocabularies.
  model: v.looseObject({ vocab: v.custom<object>((value) => typeof value === 'object' && value !== null) }),
  added_tokens: v.nullish(v.array(v.looseObject({ id: v.number(), content: v.string() }))),
});
const configSchema = v.looseObject({
  chat_template: v.nullish(
    v.union([v.string(), v.array(v.looseObject({ name: v.string(), template: v.string() }))]),
  ),
});
const eosSchema = v.looseObject({ eos_token_id: v.nullish(v.union([v.number(), v.array(v.number())])) });

/** Special tokens that chat templates may use, as transformers hands them over. */
const specialNames = [
  'bos_token',
  'eos_token',
  'unk_token',
  'sep_token',
  'pad_token',
  'cls_token',
  'mask_token',
];

/** Options of `loadTokenizer`. */
export interface TokenizerOptions {
  /** Further variables for the chat template, e.g. `{enable_thinking: false}` or `{date_string: '26 Jul 2024'}`. */
  templateVariables?: Record<string, unknown>;
  /** A chat template to use in place of the model's own. */
  chatTemplate?: string;
}

/**
 * Load the tokenizer of a model folder. Throws `InputError` naming the file that is missing or wrong; a missing chat
 * template is only an error when `render` is called.
 */
export async function loadTokenizer(files: FileSource, options: TokenizerOptions = {}): Promise<Tokenizer> {
  const present = new Set(await files.list());
  if (!present.has('tokenizer.json'))
    throw new InputError(
      `${files.name} has no tokenizer.json.`,
      'Load the tokenizer in transformers and call save_pretrained: it writes the file.',
    );
  const optional = async <S extends v.GenericSchema>(
    file: string,
    schema: S,
  ): Promise<v.InferOutput<S> | null> =>
    present.has(file) ? checkShape(`${files.name}/${file}`, schema, await readJson(files, file)) : null;
  const json = checkShape(
    `${files.name}/tokenizer.json`,
    tokenizerSchema,
    await readJson(files, 'tokenizer.json'),
  );
  const config = (await optional('tokenizer_config.json', configSchema)) ?? {};
  const encoder = createEncoder(json, config, `${files.name}/tokenizer.json`);
  const special = specialTokens(config, (await optional('special_tokens_map.json', v.looseObject({}))) ?? {});

  const ids = new Set<number>();
  for (const file of ['generation_config.json', 'config.json'])
    for (const id of [(await optional(file, eosSchema))?.eos_token_id ?? []].flat()) ids.add(id);
  const eos = special.eos_token === undefined ? undefined : encoder.token_to_id(special.eos_token);
  if (eos !== undefined) ids.add(eos);

  const known = new Map<number, string>();
  for (const [token, id] of encoder.get_vocab()) if (token !== undefined) known.set(id, token);
  const template = await chatTemplate(files, present, config.chat_template, options.chatTemplate);
  const variables = { ...special, ...options.templateVariables };

  return {
    vocabSize: [...known.keys()].reduce((most, id) => Math.max(most, id), -1) + 1,
    stopTokens: [...ids].sort((a, b) => a - b),
    encode: (text) => (text === '' ? [] : encoder.encode(text, { add_special_tokens: false }).ids),
    decode: (tokens, { skipSpecialTokens = false } = {}) => {
      // Rows of padded embeddings have no token; the library would fail on them and on an empty list.
      const named = tokens.filter((id) => known.has(id));
      return named.length === 0
        ? ''
        : encoder.decode(named, {
            skip_special_tokens: skipSpecialTokens,
            clean_up_tokenization_spaces: false,
          });
    },
    render: (messages, { addGenerationPrompt = false } = {}) =>
      renderChat(files.name, template, messages, {
        ...variables,
        add_generation_prompt: addGenerationPrompt,
      }),
  };
}

/** The library demands keys that older files leave out. */
function createEncoder(
  json: v.InferOutput<typeof tokenizerSchema>,
  config: object,
  where: string,
): InstanceType<typeof Encoder> {
  const complete = {
    decoder: null,
    post_processor: null,
    pre_tokenizer: null,
    normalizer: null,
    ...json,
    added_tokens: json.added_tokens ?? [],
  };
  try {
    return new Encoder(complete, config);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new InputError(
      `${where} cannot be used (${why}).`,
      'Supported are byte-level BPE tokenizers such as those of Llama 3 and Qwen.',
      { cause },
    );
  }
}

/** bos_token and so on, from tokenizer_config.json or the older special_tokens_map.json. */
function specialTokens(...sources: Record<string, unknown>[]): Record<string, string> {
  const found: Record<string, string> = {};
  for (const source of sources)
    for (const name of specialNames) {
      const token = v.safeParse(tokenText, source[name]);
      if (token.success) found[name] ??= token.output;
    }
  return found;
}

/** A compiled template, or why there is none. */
type ChatTemplate = { template: Template } | { missing: string };

async function chatTemplate(
  files: FileSource,
  present: ReadonlySet<string>,
  inConfig: v.InferOutput<typeof configSchema>['chat_template'],
  given: string | undefined,
): Promise<ChatTemplate> {
  let text: string | undefined;
  let where = 'the given chat template';
  if (given !== undefined) text = given;
  else if (present.has('chat_template.jinja')) {
    where = `${files.name}/chat_template.jinja`;
    text = await readText(files, 'chat_template.jinja');
  } else if (inConfig) {
    where = `${files.name}/tokenizer_config.json: chat_template`;
    if (typeof inConfig === 'string') text = inConfig;
    else {
      text = inConfig.find(({ name }) => name === 'default')?.template;
      if (text === undefined)
        return {
          missing: `${where} has no template named default (only ${inConfig.map((t) => t.name).join(', ')}).`,
        };
    }
  }
  if (text === undefined)
    return {
      missing: `${files.name} has neither chat_template.jinja nor a chat_template in tokenizer_config.json.`,
    };
  try {
    return { template: new Template(text) };
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new InputError(
      `${where} is not a template that can be read (${why}).`,
      'Repair it or give another one.',
      {
        cause,
      },
    );
  }
}

function renderChat(
  name: string,
  template: ChatTemplate,
  messages: readonly ChatTurn[],
  variables: Record<string, unknown>,
): string {
  if ('missing' in template)
    throw new InputError(template.missing, 'Use an instruction-tuned model, or give a chat template.');
  try {
    return template.template.render({ ...variables, messages: messages.map((m) => ({ ...m })) });
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new InputError(
      `The chat template of ${name} refused a dialogue of ${messages.length} messages: ${why}`,
      'Its roles may have to alternate, or a system message may not be allowed.',
      { cause },
    );
  }
}
