/**
 * @file `--off_policy`: one rollout of a group is the teacher's own interaction. It is played back through the same episode
 * loop (judged, stopped and rewarded like any other) and only used when it succeeds in time. Its old log-probs are the
 * policy's own for the teacher's words at rollout time: nobody sampled them, so the ratio starts at 1 and the gradient is
 * A·∇log p, a weighted imitation; no importance weight pretends that the policy had said it.
 */
import type { EpisodeParticipants, EpisodeResult, EpisodeSettings } from '../../episode/episode.ts';
import { runEpisodes } from '../../episode/episode.ts';
import type { ChatTokens } from '../../policy/chat_tokens.ts';
import { recommenderContext } from '../../prompts/contexts.ts';
import type { PromptSet } from '../../prompts/prompts.ts';
import { fitContext } from '../../policy/fit_context.ts';
import { ruleIntent } from '../../response/intent.ts';
import type { EpisodeState, Message, Recommender, Seeker } from '../../types.ts';
import type { GrpoRow } from './rows.ts';
import type { Transcript } from './transcript.ts';

/** Play a teacher's interaction (after its first `prefix.length / 2` exchanges) as an episode; null when there is none. */
export async function replayTeacher(
  row: GrpoRow,
  prefix: readonly Message[],
  generation: number,
  participants: Pick<EpisodeParticipants, 'judge' | 'rewriter'>,
  settings: EpisodeSettings,
): Promise<EpisodeResult | null> {
  const rest = row.interaction.slice(prefix.length);
  const exchanges = Math.floor(rest.length / 2);
  if (exchanges === 0) return null;
  const said = rest.flatMap((m, i) =>
    i % 2 === 0 ? [{ text: m.content, targets: row.dialogue.targets }] : [],
  );
  const judged = await participants.judge.judge(said);
  const at = ({ turn }: EpisodeState, offset: 0 | 1): string => rest[2 * (turn - 1) + offset]!.content;
  const recommender: Recommender = {
    name: 'teacher',
    respond: async (states) => states.map((state) => ({ text: at(state, 0) })),
  };
  const seeker: Seeker = {
    name: 'recorded',
    reply: async (states) =>
      states.map((state) => {
        const before = [...state.given, ...state.interaction.slice(0, -1)].map((m) => m.content);
        const lists = judged[state.turn - 1]!.listed.length > 0;
        const intent = lists ? 'recommendation' : ruleIntent(at(state, 0), before);
        const last = state.turn === exchanges;
        const accepted = last && intent === 'recommendation';
        return { intent, text: at(state, 1), accepted, malformedAttempts: 0 };
      }),
  };
  const [result] = await runEpisodes(
    [{ dialogue: row.dialogue, generation, prefix }],
    { ...participants, recommender, seeker },
    {
      ...settings,
      turnNum: Math.min(settings.turnNum, exchanges),
      lastTurnRecommend: false,
      recSuccessRecommend: false,
    },
  );
  return result!;
}

/** A replayed episode as a transcript, in the pieces of a sampled one; every log-prob still unknown. */
export function transcribeText(
  result: EpisodeResult,
  chat: ChatTokens,
  prompts: PromptSet,
  room: number,
): Transcript {
  const context = recommenderContext({ given: result.state.given, interaction: [] }, prompts);
  const fitted = fitContext(chat, context, room, result.state.key);
  const said = result.state.interaction.slice(0, 2 * result.turns.length - 1);
  const { tokens, spans } = chat.dialogue(fitted.messages, said);
  const turns = spans
    .filter((s) => s.role === 'recommender' && s.part === 'interaction')
    .map(({ start, end, turn }) => ({
      start,
      end,
      turn,
      recommendation: result.turns[turn - 1]!.record.intent === 'recommendation',
      edited: false,
      finishReason: 'stop' as const,
    }));
  return { tokens, turns, logprobs: new Float64Array(tokens.length).fill(Number.NaN) };
}
