/** @file The language-model seeker: strict form, one repair, counted, never open. */
import { describe, expect, it } from 'vitest';
import type { ChatModel, ChatRequest } from '../../core/chat_model.ts';
import { STANDARD_PROMPTS } from '../prompts/prompts.ts';
import { smallCatalogue, smallDialogue } from '../testing/small_catalogue.ts';
import type { EpisodeState } from '../types.ts';
import { LlmSeeker } from './llm_seeker.ts';

const catalogue = smallCatalogue();
const dialogue = smallDialogue(catalogue, 2);
const state: EpisodeState = {
  key: 'k',
  dialogue,
  given: dialogue.dialog,
  interaction: [{ role: 'assistant', content: 'What do you like?' }],
  turn: 1,
  seed: 9,
};

function scripted(answers: string[]): ChatModel & { requests: ChatRequest[] } {
  const requests: ChatRequest[] = [];
  return {
    name: 'fake:seeker',
    requests,
    chat: (request) => {
      requests.push({ ...request, messages: [...request.messages] });
      const text = answers[requests.length - 1]!;
      return Promise.resolve({
        text,
        model: 'served',
        usage: { promptTokens: 10, completionTokens: 4, costUsd: 0.5 },
      });
    },
  };
}

describe('LlmSeeker', () => {
  it('passes a good answer on, at temperature 0, and counts what it used', async () => {
    const model = scripted(['Intent: inquiry\nReply: Comedies.']);
    const [reply] = await new LlmSeeker({ model, prompts: STANDARD_PROMPTS }).reply([state]);
    expect(reply).toEqual({
      intent: 'inquiry',
      text: 'Comedies.',
      accepted: false,
      malformedAttempts: 0,
      model: 'served',
      usage: { promptTokens: 10, completionTokens: 4, costUsd: 0.5 },
    });
    expect(model.requests[0]!.temperature).toBe(0);
    expect(model.requests[0]!.messages[0]!.content).toContain(dialogue.targets[0]!.name);
  });

  it('asks once more after a malformed answer, showing it', async () => {
    const model = scripted(['I accept!', 'Intent: recommendation, accepted\nReply: Yes!']);
    const [reply] = await new LlmSeeker({ model, prompts: STANDARD_PROMPTS }).reply([state]);
    expect(reply).toMatchObject({ intent: 'recommendation', accepted: true, malformedAttempts: 1 });
    expect(reply!.usage!.promptTokens).toBe(20);
    expect(model.requests[1]!.messages.slice(-2)).toEqual([
      { role: 'assistant', content: 'I accept!' },
      { role: 'user', content: STANDARD_PROMPTS.seekerRepair },
    ]);
    expect(model.requests[1]!.seed).not.toBe(model.requests[0]!.seed);
  });

  it('never fails open: two malformed answers are malformed, refused and empty', async () => {
    const model = scripted(['Yes! I accept it, perfect!', '']);
    const [reply] = await new LlmSeeker({ model, prompts: STANDARD_PROMPTS }).reply([state]);
    expect(reply).toMatchObject({ intent: 'malformed', accepted: false, text: '', malformedAttempts: 2 });
    expect(model.requests).toHaveLength(2);
  });

  it('attribute-only: no request holds a title', async () => {
    const model = scripted(['Intent: inquiry\nReply: Comedies.']);
    await new LlmSeeker({ model, prompts: STANDARD_PROMPTS, attributeOnly: true }).reply([state]);
    const said = model.requests[0]!.messages.map(({ content }) => content).join('\n');
    expect(said).not.toContain(dialogue.targets[0]!.name.replace(/ \(.*/, ''));
  });

  it('throws what the model throws', async () => {
    const model: ChatModel = { name: 'x', chat: () => Promise.reject(new Error('down')) };
    await expect(new LlmSeeker({ model, prompts: STANDARD_PROMPTS }).reply([state])).rejects.toThrow('down');
  });
});
