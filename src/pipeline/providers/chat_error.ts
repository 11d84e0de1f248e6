/** @file Why a call to a language model failed, in words that never contain the key. */
import { ProviderError } from '../../core/errors.ts';

export type ChatErrorKind =
  | 'auth'
  | 'bad_request'
  | 'rate_limit'
  | 'server'
  | 'network'
  | 'timeout'
  | 'malformed_reply'
  | 'wrong_model';

const REMEDIES: Record<ChatErrorKind, string> = {
  auth: 'Check the key and what it may use.',
  bad_request: 'Check the model name and the request settings.',
  rate_limit: 'Wait, or lower --num_concurrent; a stopped run continues with --resume.',
  server: 'Try again later; a stopped run continues with --resume.',
  network: 'Check the address and the connection; a stopped run continues with --resume.',
  timeout: 'Raise the deadline or use a faster model; a stopped run continues with --resume.',
  malformed_reply: 'Check that the address speaks the OpenAI chat-completions protocol.',
  wrong_model: 'Ask for the model that the provider really serves.',
};

/** A failed call: which kind, which HTTP status, after how many attempts. */
export class ChatError extends ProviderError {
  constructor(
    /** `provider:model`. */
    readonly model: string,
    readonly kind: ChatErrorKind,
    detail: string,
    readonly status?: number,
    readonly attempts = 1,
  ) {
    const code = status === undefined ? '' : ` (HTTP ${status})`;
    const tries = attempts > 1 ? ` after ${attempts} attempts` : '';
    super(`${model}: ${detail}${code}${tries}.`, REMEDIES[kind]);
  }
}

/** Only these may be tried again; never an auth error. */
export function isRetryable(error: unknown): error is ChatError {
  return (
    error instanceof ChatError &&
    (error.kind === 'rate_limit' || error.kind === 'server' || error.kind === 'network')
  );
}

/** Replace every occurrence of the key, and anything that looks like one, and keep the text short. */
export function redactKey(text: string, key: string | undefined): string {
  let out = text;
  if (key) out = out.replaceAll(key, '[key]');
  out = out
    .replace(/\b(sk|key|AIza)[-_]?[A-Za-z0-9_*-]{12,}/g, '[key]')
    .replace(/Bearer\s+\S+/gi, 'Bearer [key]');
  return out
    .replace(/\s+/g, ' ')
    .replace(/[.\s]+$/, '')
    .slice(0, 300);
}
