/**
 * @file Every sentence the recipe says to a language model, in one place, versioned and overridable: the recommender's and the
 * teacher's instruction, the seeker's two instructions (with titles, and attribute-only), and the small texts around them.
 *
 * A user's JSON file replaces any of them: `{"base": "standard" | "demo", "recommender": "…", …}`; what it leaves out comes
 * from the base set. `{targets}`, `{attributes}` and `{words}` are filled in where they stand.
 */
import * as v from 'valibot';
import { InputError } from '../../core/errors.ts';
import { RECOMMENDATION_PHRASE } from '../response/render_list.ts';

/** Raised whenever a sentence of a built-in set changes, so that two runs can be told apart. */
export const PROMPTS_VERSION = 1;

/** The wording a run uses. */
export interface PromptSet {
  /** Name of the set and version of the built-in wording it starts from; stored with the run. */
  name: string;
  version: number;
  /** System prompt of the policy. Empty = no system message. */
  recommender: string;
  /** System prompt of a teacher LLM. */
  teacher: string;
  /** Added to the teacher's prompt when this turn has to be a recommendation (`--last_turn_recommend`). */
  mustRecommend: string;
  /** System prompt of a seeker that knows the titles it wants: `{targets}`, `{words}`. */
  seeker: string;
  /** System prompt of a seeker that only knows attributes: `{attributes}`, `{words}`. */
  attributeSeeker: string;
  /** What a seeker is told when its answer was not in the two-part form. */
  seekerRepair: string;
}

const RECOMMENDER = `You help a person find a film to watch, in a conversation.
In every message do exactly one of two things:
- Recommend: when you know enough about the person's taste, give one short reason, then write "${RECOMMENDATION_PHRASE}" and ten films the person is most likely to want, all on one line: 1. Title (Year) 2. Title (Year) and so on to 10. Films that were mentioned before may be in the list.
- Ask: when you do not know enough, ask one question about what the person likes.
Never recommend and ask in the same message.`;

const TEACHER = `You are an expert at recommending films in a conversation.
In every message do exactly one of two things:
- Recommend: when you are confident about the person's taste, give one short reason, then write "${RECOMMENDATION_PHRASE}" followed by the ten films the person is most likely to want, best first, one a line, each as "1. Title (Year)". Films that were mentioned before may be in the list.
- Ask: when you are not confident yet, ask one question about the person's preferences.
Never recommend and ask in the same message. Write nothing after the list.`;

const SEEKER_FORM = `Always answer in exactly two lines:
Intent: recommendation, accepted — or: recommendation, refused — or: inquiry
Reply: what you say, in about {words} words
The intent says what the recommender's last message did. It is a recommendation when the message names at least one film for you to watch ("have you seen X?" counts), also when it asks a question at the same time. It is an inquiry when it only asks or talks.`;

const SEEKER_RULES = `- When the message recommends a film that is in your mind, accept it gladly.
- When it recommends anything else, refuse in a few words, without a reason and without describing what you want.
- When it only asks about your preferences, describe what you want in your own words: genre, people, period, mood, story. Never write the title of a film in your mind, nor a part of it.
- When it recommends and asks at once, only accept or refuse.`;

const SEEKER = `You are a person talking to a film recommender. These films are in your mind; you have not seen them and do not know what they are called: {targets}.
${SEEKER_RULES}
${SEEKER_FORM}`;

const ATTRIBUTE_SEEKER = `You are a person talking to a film recommender. You do not have a title in mind, only an idea of the film: {attributes}.
- When the message recommends a film that fits this idea in every point, accept it gladly.
- When it recommends anything else, refuse in a few words, without a reason.
- When it only asks about your preferences, answer from your idea of the film, one or two points at a time.
- When it recommends and asks at once, only accept or refuse.
${SEEKER_FORM}`;

const REPAIR = `That was not in the required form. Answer again in exactly two lines, the first "Intent: recommendation, accepted", "Intent: recommendation, refused" or "Intent: inquiry", the second "Reply: …".`;

/** For language models of ordinary size. */
export const STANDARD_PROMPTS: PromptSet = {
  name: 'standard',
  version: PROMPTS_VERSION,
  recommender: RECOMMENDER,
  teacher: TEACHER,
  mustRecommend: 'This is the last message of the conversation: recommend now, do not ask.',
  seeker: SEEKER,
  attributeSeeker: ATTRIBUTE_SEEKER,
  seekerRepair: REPAIR,
};

/** For the small demo model, where every token costs and no instruction would be followed anyway. */
export const DEMO_PROMPTS: PromptSet = {
  ...STANDARD_PROMPTS,
  name: 'demo',
  recommender: 'Ask or recommend ten films.',
};

/** The built-in sets by name. */
export const PROMPT_SETS: Record<'standard' | 'demo', PromptSet> = {
  standard: STANDARD_PROMPTS,
  demo: DEMO_PROMPTS,
};

const overrideSchema = v.strictObject({
  base: v.optional(v.picklist(['standard', 'demo']), 'standard'),
  name: v.optional(v.pipe(v.string(), v.nonEmpty())),
  recommender: v.optional(v.string()),
  teacher: v.optional(v.pipe(v.string(), v.nonEmpty())),
  mustRecommend: v.optional(v.string()),
  seeker: v.optional(v.pipe(v.string(), v.includes('{targets}'))),
  attributeSeeker: v.optional(v.pipe(v.string(), v.includes('{attributes}'))),
  seekerRepair: v.optional(v.pipe(v.string(), v.nonEmpty())),
});

/**
 * Read a user's prompt file. `file` is only used in errors.
 * Throws `InputError` naming the field when the JSON is broken, a field is unknown or a placeholder is missing.
 */
export function parsePromptFile(text: string, file: string): PromptSet {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw new InputError(`${file}: not JSON (${(error as Error).message}).`, 'Write one JSON object.', {
      cause: error,
    });
  }
  if (Array.isArray(json)) throw new InputError(`${file}: the file is a list.`, 'Write one JSON object.');
  const parsed = v.safeParse(overrideSchema, json);
  if (!parsed.success) {
    const issue = parsed.issues[0];
    const field = v.getDotPath(issue) ?? 'the file';
    throw new InputError(
      `${file}: field ${field}: ${issue.message}`,
      `Known fields: ${Object.keys(overrideSchema.entries).join(', ')}.`,
    );
  }
  const { base, name, ...texts } = parsed.output;
  const given = Object.fromEntries(Object.entries(texts).filter(([, text]) => text !== undefined));
  return { ...PROMPT_SETS[base], ...given, name: name ?? `${base}+${file}` };
}

/** Put values where `{name}` stands; an unknown placeholder stays as it is. */
export function fillPrompt(template: string, values: Record<string, string | number>): string {
  return template.replace(/\{(\w+)\}/g, (whole, name: string) =>
    name in values ? String(values[name]) : whole,
  );
}
