/**
 * @file `--prevent_leakage`: a seeker whose replies pass through the leak filter. A target title that nobody named before is
 * replaced, the sentence stays, and the replacements are counted.
 */
import { redactReply } from '../leak/redact.ts';
import type { EpisodeState, Seeker, SeekerReply } from '../types.ts';

/** The same seeker behind the leak filter. */
export class LeakGuard implements Seeker {
  readonly name: string;

  constructor(private readonly seeker: Seeker) {
    this.name = seeker.name;
  }

  async reply(states: readonly EpisodeState[], signal?: AbortSignal): Promise<SeekerReply[]> {
    const replies = await this.seeker.reply(states, signal);
    return replies.map((reply, i) => {
      const { dialogue, given, interaction } = states[i]!;
      const { text, leaks } = redactReply(reply.text, dialogue.targets, [...given, ...interaction]);
      return leaks.length === 0 ? reply : { ...reply, text, leaks: (reply.leaks ?? 0) + leaks.length };
    });
  }
}
