/** @file Requests and options of a generation, checked and with every default filled in, before anything runs. */
import { InputError, UsageError } from '../../core/errors.ts';
import type { GenerateOptions, GenerateRequest } from '../../core/policy.ts';
import { maxStopTokens } from './decoder.ts';

/** Options with their defaults. */
export interface ResolvedOptions extends Required<Omit<GenerateOptions, 'signal' | 'onTokens'>> {
  signal: AbortSignal | undefined;
  onTokens: GenerateOptions['onTokens'];
}

/** What bounds a request. */
export interface ModelLimits {
  vocabSize: number;
  /** Positions the model (its RoPE table) has. */
  maxPositions: number;
}

/** Fill in defaults. Throws `UsageError` naming the option that is out of its range. */
export function resolveOptions(options: GenerateOptions, { vocabSize }: ModelLimits): ResolvedOptions {
  const resolved: ResolvedOptions = {
    maxNewTokens: options.maxNewTokens,
    stopTokens: options.stopTokens,
    temperature: options.temperature ?? 1,
    topK: options.topK ?? 0,
    topP: options.topP ?? 1,
    minNewTokens: options.minNewTokens ?? 0,
    numBeams: options.numBeams ?? 1,
    signal: options.signal,
    onTokens: options.onTokens,
  };
  const { maxNewTokens, stopTokens, temperature, topK, topP, minNewTokens, numBeams } = resolved;
  const whole = (value: number, least: number): boolean => Number.isInteger(value) && value >= least;
  const demand = (ok: boolean, name: string, value: number, range: string): void => {
    if (!ok) throw new UsageError(`${name} is ${value}.`, `Give ${range}.`);
  };
  demand(whole(maxNewTokens, 1), 'maxNewTokens', maxNewTokens, 'a whole number of at least 1');
  demand(whole(minNewTokens, 0), 'minNewTokens', minNewTokens, 'a whole number, 0 for none');
  demand(
    minNewTokens <= maxNewTokens,
    'minNewTokens',
    minNewTokens,
    `at most maxNewTokens (${maxNewTokens})`,
  );
  demand(
    Number.isFinite(temperature) && temperature >= 0,
    'temperature',
    temperature,
    'a number of at least 0 (0 = greedy)',
  );
  demand(whole(topK, 0), 'topK', topK, 'a whole number, 0 for all tokens');
  demand(topP >= 0 && topP <= 1, 'topP', topP, 'a number from 0 to 1');
  demand(whole(numBeams, 1), 'numBeams', numBeams, 'a whole number of at least 1');
  demand(
    stopTokens.length <= maxStopTokens,
    'The number of stop tokens',
    stopTokens.length,
    `at most ${maxStopTokens}`,
  );
  for (const token of stopTokens)
    demand(whole(token, 0) && token < vocabSize, 'A stop token', token, `tokens from 0 to ${vocabSize - 1}`);
  return resolved;
}

/** Throws `InputError` naming the request whose prompt cannot be continued. */
export function checkRequests(
  requests: readonly GenerateRequest[],
  { maxNewTokens }: Pick<GenerateOptions, 'maxNewTokens'>,
  { vocabSize, maxPositions }: ModelLimits,
): void {
  for (const [index, { prompt }] of requests.entries()) {
    if (prompt.length === 0)
      throw new InputError(
        `The prompt of request ${index} is empty.`,
        'Begin it with at least one token, e.g. the BOS token.',
      );
    if (prompt.length + maxNewTokens > maxPositions)
      throw new InputError(
        `Request ${index} has a prompt of ${prompt.length} tokens and asks for ${maxNewTokens} new ones; the model has ${maxPositions} positions.`,
        'Shorten the prompt or lower max_new_tokens.',
      );
    const bad = prompt.find((token) => !(Number.isInteger(token) && token >= 0 && token < vocabSize));
    if (bad !== undefined)
      throw new InputError(
        `The prompt of request ${index} holds token ${bad}; the model's vocabulary ends at ${vocabSize - 1}.`,
        'Use the tokenizer that belongs to the model.',
      );
  }
}
