import { expect, it } from 'vitest';
import type { Dialogue, Message } from '../../types.ts';
import { sftRowsOfDialogues } from './from_dialogues.ts';

const user = (content: string): Message => ({ role: 'user', content });
const assistant = (content: string): Message => ({ role: 'assistant', content });
const dialogue = (index: number, dialog: Message[]): Dialogue => ({
  key: `set:${index}`,
  index,
  dialog,
  targets: [],
});

it('takes the recommender from its first message to its last, and counts dialogues without one', () => {
  const { rows, silent } = sftRowsOfDialogues([
    dialogue(0, [user('a'), assistant('b'), assistant('c'), user('d'), assistant('e'), user('f')]),
    dialogue(1, [user('only the seeker')]),
    dialogue(2, [assistant('hello'), user('hi')]),
  ]);
  expect(silent).toBe(1);
  expect(
    rows.map((r) => [r.key, r.dialog.length, r.interaction.map((m) => m.content).join(''), r.base_turn]),
  ).toEqual([
    ['set:0', 1, 'bcde', 2],
    ['set:2', 0, 'hello', 1],
  ]);
});
