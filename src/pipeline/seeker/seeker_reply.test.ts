/** @file The strict two-part form. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseSeekerReply, readsAsAcceptance } from './seeker_reply.ts';

describe('parseSeekerReply', () => {
  it.each([
    ['Intent: inquiry\nReply: I like comedies.', 'inquiry', 'I like comedies.', false],
    ['Intent: recommendation, accepted\nReply: Yes, please!', 'recommendation', 'Yes, please!', true],
    ['Intent: Recommendation, refused\nReply: No.', 'recommendation', 'No.', false],
    ['1. Intent: Inquiry\n2. Response: Something scary', 'inquiry', 'Something scary', false],
    ['**Intent:** recommendation (accepted)\n\n**Reply:** "Great!"', 'recommendation', 'Great!', true],
    [
      'Intent: recommendation Reply: Yes, that sounds perfect!',
      'recommendation',
      'Yes, that sounds perfect!',
      true,
    ],
    [
      'Intent: recommendation\r\nReply: None of these, sorry.',
      'recommendation',
      'None of these, sorry.',
      false,
    ],
    ['Intent: inquiry\nReply: Two lines\nof text', 'inquiry', 'Two lines\nof text', false],
  ])('reads %j', (answer, intent, text, accepted) => {
    expect(parseSeekerReply(answer)).toEqual({ intent, text, accepted });
  });

  it.each([
    '',
    'I like comedies.',
    'Reply: I like comedies.',
    'Intent: inquiry',
    'Intent: inquiry\nReply:',
    'Intent: inquiry\nReply:   ',
    'Intent: chat\nReply: Hello',
    'Intent: inquiry, accepted\nReply: Yes',
    'Intent: recommendation, maybe\nReply: Yes',
    'Reply: Yes\nIntent: recommendation',
    'Intent: recommendation or inquiry\nReply: Yes',
    'Intent: recommendation, accepted\nReply: Yes\nIntent: inquiry\nReply: No',
    'Sure! Intent: inquiry\nReply: I like comedies.',
  ])('calls %j malformed', (answer) => {
    expect(parseSeekerReply(answer)).toBeNull();
  });

  it('never takes free text for the form', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        fc.pre(!/intent/i.test(text));
        expect(parseSeekerReply(text)).toBeNull();
      }),
    );
  });
  it('reads back every reply that was written in the form', () => {
    const word = fc.stringMatching(/^[a-z]{1,8}$/).filter((w) => !/^(intent|reply|response)$/.test(w));
    fc.assert(
      fc.property(
        fc.array(word, { minLength: 1, maxLength: 12 }),
        fc.constantFrom('accepted', 'refused'),
        (ws, v) => {
          const text = ws.join(' ');
          expect(parseSeekerReply(`Intent: recommendation, ${v}\nReply: ${text}`)).toEqual({
            intent: 'recommendation',
            text,
            accepted: v === 'accepted',
          });
        },
      ),
    );
  });
});

describe('readsAsAcceptance', () => {
  it('needs a clear yes and no no', () => {
    expect(readsAsAcceptance('Yes, I would love to.')).toBe(true);
    expect(readsAsAcceptance("I'll watch that one!")).toBe(true);
    expect(readsAsAcceptance('Yes, but not these.')).toBe(false);
    expect(readsAsAcceptance('I’m not interested in any of these.')).toBe(false);
    expect(readsAsAcceptance('Hmm.')).toBe(false);
  });
});
