/**
 * @file What one row of a rollout file says, counted once: labels and their ranks, success by each notion, turns, form of the
 * messages, leaks, cost. Rows of the original lack our records; what can be read from their messages is read, what cannot
 * (acceptance) is null.
 */
import { type RolloutRow, turnsOf } from '../data/rollout_rows.ts';
import { yearOfTitle } from '../data/catalogue.ts';
import { secretTargets } from '../leak/redact.ts';
import { mentions, sameTitle } from '../leak/title_pattern.ts';
import { isWellFormed } from '../response/format_check.ts';
import { ruleIntent } from '../response/intent.ts';
import { type ParsedList, parseList } from '../response/list_parser.ts';
import { titleKey } from '../response/title_key.ts';
import type { TitleLinker } from '../response/title_linker.ts';
import type { Item } from '../types.ts';

/** One label of a row. */
export interface LabelFact {
  id: number;
  /** 1-based rank in `topk_ids`; 0 = not there. */
  rank: number;
  /** The given dialogue does not name it. */
  novel: boolean;
}

/** The notions of success; null = the row does not tell. */
export interface SuccessFacts {
  /** What the row calls success: `rec_success`. */
  recorded: boolean;
  /** A target among the ten retrieved at any recommendation turn (in the original's rows: at the last turn). */
  retrieved: boolean;
  /** A target in a visible list. */
  shown: boolean;
  accepted: boolean | null;
  /** Shown and accepted at one turn. */
  strict: boolean | null;
  /** A target among the ten retrieved at the last turn. */
  lastTurn: boolean;
  /** As `retrieved` and `shown`, for targets that the given dialogue does not name; null without such a target. */
  novelRetrieved: boolean | null;
  novelShown: boolean | null;
}

export interface RowFacts {
  /** Unique key of the row where it has one. */
  key: string | null;
  id: string;
  /** Rows of one dialogue belong together when rows are resampled. */
  cluster: string;
  labels: LabelFact[];
  turns: number;
  success: SuccessFacts;
  /** 1-based turn of the first success; 0 = never. */
  successTurn: number;
  /** Recommender messages: all, recommendations, and well-formed ones (the original's rule). */
  messages: number;
  recommendations: number;
  wellFormed: number;
  /** Titles in visible lists: all, outside the catalogue (null without a catalogue), repeated within their list. */
  titles: number;
  outOfCatalogue: number | null;
  repeated: number;
  /** The seeker named a target that nobody had named before (redacted or not). */
  leaked: boolean;
  /** Seeker replies that could not be read. */
  malformed: number;
  edited: boolean;
  promptTokens: number;
  completionTokens: number;
  costUsd: number;
}

/** How many ranks count as a hit for success. */
const TOP = 10;

/** Count the facts of a row. With a linker titles are judged against its catalogue, else by their words. */
export function factsOf(row: RolloutRow, linker?: TitleLinker): RowFacts {
  const targets = row.rec_ids.map((id, i) => targetItem(id, row.rec_names[i]!, linker));
  const novel = targets.map((t) => !row.given_dialog.some((m) => mentions(m.content, t)));
  const labels = row.rec_ids.map((id, i) => ({ id, rank: row.topk_ids.indexOf(id) + 1, novel: novel[i]! }));
  const said = row.generated_dialog.filter((m) => m.role === 'assistant').map((m) => m.content);
  const known = linker ? (title: string) => linker.isTitle(title) : undefined;
  const lists = said.map((text) => parseList(text, known));
  const intents = said.map((text, i) => row.turns?.[i]?.intent ?? ruleIntent(text, before(row, said, i)));
  const turns = turnsOf(row);
  const usage = Object.values(row.usage ?? {});
  return {
    key: row.key ?? null,
    id: String(row.id),
    cluster: row.dialogue ?? row.key ?? String(row.id),
    labels,
    turns,
    success: successFacts(row, targets, labels, lists, linker),
    successTurn: row.success_turn ?? (row.rec_success ? turns : 0),
    messages: said.length,
    recommendations: intents.filter((intent) => intent === 'recommendation').length,
    wellFormed: said.filter((text) => isWellFormed(text, 'original', { known })).length,
    ...titleFacts(lists, linker),
    leaked: (row.leaks ?? 0) > 0 || leaks(row, targets),
    malformed: row.malformed ?? 0,
    edited: row.edited ?? false,
    promptTokens: usage.reduce((sum, u) => sum + u.promptTokens, 0),
    completionTokens: usage.reduce((sum, u) => sum + u.completionTokens, 0),
    costUsd: usage.reduce((sum, u) => sum + (u.costUsd ?? 0), 0),
  };
}

function successFacts(
  row: RolloutRow,
  targets: readonly Item[],
  labels: readonly LabelFact[],
  lists: readonly (ParsedList | null)[],
  linker: TitleLinker | undefined,
): SuccessFacts {
  const isTarget = (title: string, target: Item) =>
    linker ? linker.names(title, target) : sameTitle(title, target.name);
  const shownAt = (target: Item) =>
    lists.some((list) => list?.titles.some((title) => isTarget(title, target)));
  const retrieved = (label: LabelFact) =>
    row.turns
      ? row.turns.some((t) => t.intent === 'recommendation' && t.retrieved.slice(0, TOP).includes(label.id))
      : label.rank > 0 && label.rank <= TOP;
  const novel = labels.flatMap((label, i) => (label.novel ? [{ label, target: targets[i]! }] : []));
  const lastTurn = labels.some((l) => l.rank > 0 && l.rank <= TOP);
  return {
    recorded: row.rec_success,
    retrieved: row.success?.retrieved ?? labels.some(retrieved),
    shown: row.success?.shown ?? targets.some(shownAt),
    accepted: row.success?.accepted ?? null,
    strict: row.turns ? row.turns.some((t) => t.intent === 'recommendation' && t.shown && t.accepted) : null,
    lastTurn: row.last_turn_success ?? lastTurn,
    novelRetrieved: novel.length === 0 ? null : novel.some(({ label }) => retrieved(label)),
    novelShown: novel.length === 0 ? null : novel.some(({ target }) => shownAt(target)),
  };
}

function titleFacts(
  lists: readonly (ParsedList | null)[],
  linker: TitleLinker | undefined,
): Pick<RowFacts, 'titles' | 'outOfCatalogue' | 'repeated'> {
  let titles = 0;
  let outside = 0;
  let repeated = 0;
  for (const list of lists) {
    if (!list) continue;
    const marks = list.titles.map((title) => {
      const id = linker?.linkId(title) ?? null;
      if (id === null) outside++;
      const { key, year } = titleKey(title);
      return id === null ? `${key}|${year}` : `#${id}`;
    });
    titles += marks.length;
    repeated += marks.length - new Set(marks).size;
  }
  return { titles, outOfCatalogue: linker ? outside : null, repeated };
}

/** Does a seeker message name a target that no earlier message named? */
function leaks(row: RolloutRow, targets: readonly Item[]): boolean {
  let secret = secretTargets(targets, row.given_dialog);
  for (const message of row.generated_dialog) {
    const still = secretTargets(secret, [message]);
    if (message.role === 'user' && still.length < secret.length) return true;
    secret = still;
  }
  return false;
}

function before(row: RolloutRow, said: readonly string[], index: number): string[] {
  return [...row.given_dialog.map((m) => m.content), ...said.slice(0, index)];
}

/** Items made of a name alone, kept so that their patterns are compiled once. */
const namedOnly = new Map<string, Item>();

/** The target as an item: from the catalogue, or made of its name alone. */
function targetItem(id: number, name: string, linker: TitleLinker | undefined): Item {
  const known = linker?.catalogue.byId(id);
  if (known?.name === name) return known;
  const mark = `${id}|${name}`;
  let item = namedOnly.get(mark);
  if (!item) {
    const lists = { genres: [], directors: [], stars: [], writers: [] };
    item = { id, name, ...lists, plot: '', year: yearOfTitle(name), extra: {} };
    if (namedOnly.size >= 20_000) namedOnly.clear();
    namedOnly.set(mark, item);
  }
  return item;
}
