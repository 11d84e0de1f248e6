/**
 * @file Dialogues as tokens. The first context of an episode is the chat template's prompt; every later context is the
 * context before it, *plus the tokens that were really sampled*, plus what the template puts between an assistant turn and
 * the next generation prompt. Nothing that was sampled is ever decoded and encoded again, so the loss sees exactly the
 * sampled tokens under exactly the sampled context.
 *
 * What the template puts there is found by rendering a small dialogue with a sentinel as the assistant's text and taking
 * everything after it: end-of-turn token, line breaks, headers, the seeker's message (trimmed or not, as the template
 * likes) and the next header. This needs no knowledge of the model family.
 */
import { InputError } from '../../core/errors.ts';
import type { ChatTurn, Tokenizer } from '../../core/tokenizer.ts';

/** Stands for an assistant's text while the template's own text is looked for. */
const sentinel = 'ASSISTANT_TEXT_SENTINEL';

/** A run of tokens `[start, end)` that somebody wrote, the token that closes the turn included. */
export interface TokenSpan {
  role: 'recommender' | 'seeker';
  /** Given dialogue or interaction. */
  part: 'given' | 'interaction';
  /** Interaction: number of the exchange, 1-based. Given dialogue: index of the message. */
  turn: number;
  start: number;
  end: number;
}

/** A dialogue as tokens, and who wrote which of them. */
export interface TokenisedDialogue {
  tokens: number[];
  spans: TokenSpan[];
}

/** The chat template of one tokenizer, as token operations. */
export class ChatTokens {
  /** The token that closes a recommender turn written by us (the policy closes its own). */
  readonly endOfTurn: number;
  private readonly stops: ReadonlySet<number>;
  private readonly stopTexts: readonly string[];

  constructor(readonly tokenizer: Tokenizer) {
    this.stops = new Set(tokenizer.stopTokens);
    this.stopTexts = tokenizer.stopTokens
      .map((token) => tokenizer.decode([token]))
      .filter((text) => text !== '');
    const first = tokenizer.encode(this.afterAssistant('x', false))[0];
    const closing = first !== undefined && this.stops.has(first) ? first : tokenizer.stopTokens[0];
    if (closing === undefined)
      throw new InputError(
        'The model names no token that ends a turn.',
        'Set eos_token_id in generation_config.json or config.json.',
      );
    this.endOfTurn = closing;
  }

  isStop(token: number): boolean {
    return this.stops.has(token);
  }

  /** Context of the first turn: the template's rendering of the messages and the generation prompt. [T] */
  prompt(messages: readonly ChatTurn[]): number[] {
    return this.tokenizer.encode(this.rendering(messages));
  }

  /** A recommender turn as the policy would have sampled it: its text and the end-of-turn token. */
  assistantTurn(text: string): number[] {
    return [...this.tokenizer.encode(this.clean(text).trim()), this.endOfTurn];
  }

  /** What a sampled turn says, without the token that ended it. */
  text(sampled: readonly number[]): string {
    return this.tokenizer.decode(sampled, { skipSpecialTokens: true }).trim();
  }

  /**
   * What follows an assistant turn that ended with token `last`: closing, the user's message, the generation prompt. When the
   * turn was closed by the very token that the template closes it with, that token is not repeated; a turn that ran out of
   * length is closed here, outside the loss.
   */
  continuation(last: number | undefined, userText: string): number[] {
    return this.reply(last, userText, true).tokens;
  }

  /** The context of the next turn: context, sampled tokens, continuation. */
  extend(context: readonly number[], sampled: readonly number[], userText: string): number[] {
    return [...context, ...sampled, ...this.continuation(sampled.at(-1), userText)];
  }

  /**
   * A dialogue that nobody sampled (SFT data, a teacher's interaction), made of the same pieces as a sampled one, so that
   * training and sampling see the same tokens: the prompt for `context`, then recommender turns and seeker replies in turn.
   */
  dialogue(context: readonly ChatTurn[], interaction: readonly ChatTurn[]): TokenisedDialogue {
    const { tokens, spans } = this.context(context);
    let turn = 0;
    interaction.forEach((message, i) => {
      const start = tokens.length;
      const previous = interaction[i - 1];
      if ((message.role === 'user' && i === 0) || (previous && previous.role === message.role))
        throw new InputError(
          `Message ${i + 1} of an interaction is a ${message.role} message out of turn.`,
          'An interaction alternates and begins with the assistant; merge messages of one role in a row.',
        );
      if (message.role === 'assistant') {
        for (const token of this.assistantTurn(message.content)) tokens.push(token);
        spans.push({ role: 'recommender', part: 'interaction', turn: ++turn, start, end: tokens.length });
        return;
      }
      const reply = this.reply(tokens.at(-1), message.content, i + 1 < interaction.length);
      for (const token of reply.tokens) tokens.push(token);
      spans.push({
        role: 'seeker',
        part: 'interaction',
        turn,
        start: start + reply.start,
        end: start + reply.end,
      });
    });
    return { tokens, spans };
  }

  /** The tokens of a first context and where its messages (all but the system prompt) stand in it. */
  context(messages: readonly ChatTurn[]): TokenisedDialogue {
    const text = this.rendering(messages);
    const tokens = this.tokenizer.encode(text);
    const spans: TokenSpan[] = [];
    let from = 0;
    messages.forEach(({ role, content }, index) => {
      const clean = this.clean(content);
      const written = [clean, clean.trim()].find((form) => text.indexOf(form, from) >= 0) ?? '';
      const start = text.indexOf(written, from);
      from = start + written.length;
      if (role === 'system' || written === '') return;
      const span = this.locate(text, tokens, start, from);
      spans.push({
        role: role === 'assistant' ? 'recommender' : 'seeker',
        part: 'given',
        turn: index,
        ...span,
      });
    });
    return { tokens, spans };
  }

  /** The tokens from an assistant turn's end to the next generation prompt, and where the user's own text is in them. */
  private reply(
    last: number | undefined,
    userText: string,
    more: boolean,
  ): { tokens: number[]; start: number; end: number } {
    const text = this.afterAssistant(userText, more);
    const tokens = this.tokenizer.encode(text);
    const clean = this.clean(userText);
    const written = [clean, clean.trim()].find((form) => form !== '' && text.includes(form));
    const at = written === undefined ? 0 : text.lastIndexOf(written);
    const span = this.locate(text, tokens, at, at + (written?.length ?? 0));
    const closed = last !== undefined && this.stops.has(last) && tokens[0] === last;
    return closed
      ? { tokens: tokens.slice(1), start: Math.max(0, span.start - 1), end: Math.max(0, span.end - 1) }
      : { tokens, ...span };
  }

  /**
   * Which tokens of `encode(text)` write the characters `[start, end)`, a closing stop token included: what is left between
   * the tokens shared with the text before and the tokens shared with the text after. Encoding is never split, so the tokens
   * are those of the whole text.
   */
  private locate(
    text: string,
    tokens: readonly number[],
    start: number,
    end: number,
  ): { start: number; end: number } {
    const before = this.tokenizer.encode(text.slice(0, start));
    const after = this.tokenizer.encode(text.slice(end));
    let first = 0;
    while (first < before.length && first < tokens.length && before[first] === tokens[first]) first++;
    let shared = 0;
    while (
      shared < after.length &&
      tokens.length - shared > first &&
      after.at(-1 - shared) === tokens.at(-1 - shared)
    )
      shared++;
    const stop = tokens.length - shared;
    const close = tokens[stop];
    return {
      start: first,
      end: close !== undefined && this.stops.has(close) && end > start ? stop + 1 : stop,
    };
  }

  private rendering(messages: readonly ChatTurn[]): string {
    const clean = messages.map((m) => ({ ...m, content: this.clean(m.content) }));
    return this.tokenizer.render(clean, { addGenerationPrompt: true });
  }

  /** Message text must not be able to end a turn: the written forms of stop tokens are taken out. */
  private clean(text: string): string {
    let out = text;
    for (const stop of this.stopTexts) if (out.includes(stop)) out = out.replaceAll(stop, '');
    return out;
  }

  /** Text that the template writes after an assistant message which is answered by `userText`. */
  private afterAssistant(userText: string, addGenerationPrompt: boolean): string {
    const text = this.tokenizer.render(
      [
        { role: 'user', content: 'x' },
        { role: 'assistant', content: sentinel },
        { role: 'user', content: this.clean(userText) },
      ],
      { addGenerationPrompt },
    );
    const at = text.indexOf(sentinel);
    if (at < 0)
      throw new InputError(
        'The chat template does not write the text of an assistant message.',
        'Check chat_template.jinja or the chat_template field of tokenizer_config.json.',
      );
    return text.slice(at + sentinel.length);
  }
}
