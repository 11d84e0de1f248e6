/** @file Is a rollout valid? If not it is sampled again, and the reason is counted. */
import type { EpisodeResult } from '../../episode/episode.ts';
import { formatFaults, type FormatRule } from '../../response/format_check.ts';
import type { KnownTitle } from '../../response/list_parser.ts';

/** Why a rollout is invalid: the first fault of its first faulty turn, or `malformed_reply`; null = valid. */
export function rolloutFault(result: EpisodeResult, rule: FormatRule, known?: KnownTitle): string | null {
  const before = result.state.given.map((m) => m.content);
  for (const turn of result.turns) {
    const faults = formatFaults(turn.said.text, rule, {
      intent: turn.record.intent,
      before,
      ...(known ? { known } : {}),
    });
    if (faults[0]) return faults[0];
    before.push(turn.text, turn.reply.text);
  }
  return result.ended === 'malformed' ? 'malformed_reply' : null;
}
