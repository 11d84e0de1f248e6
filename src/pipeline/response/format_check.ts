/**
 * @file Is a recommender message well formed? Invalid rollouts are sampled again, with the reasons counted.
 *
 * | rule | flag | a message is invalid when |
 * |---|---|---|
 * | `original` | (default) | it has a list that is not numbered exactly 1 … 10 |
 * | `recommendation` | `--rec_format_check` | as above; or the seeker took it as a recommendation and it has no list |
 * | `rule` | `--rec_format_check_rule` | it recommends (by the words, not by the seeker) and is not: one line, the canonical phrase, ten different titles numbered 1 … 10, no question |
 * | `generous` | `--rec_format_check_rule_generous` | it recommends (by the words) and has no numbered list of one to ten titles; phrase, line breaks, repeats and a closing question are allowed |
 * | `off` | `--off_formatcheck` | never |
 *
 * Beside `off`, an empty message is always invalid.
 */
import type { Intent } from '../types.ts';
import { ruleIntent } from './intent.ts';
import { type KnownTitle, parseList } from './list_parser.ts';
import { RECOMMENDATION_PHRASE } from './render_list.ts';
import { titleKey } from './title_key.ts';

export type FormatRule = 'original' | 'recommendation' | 'rule' | 'generous' | 'off';

/** Why a message is invalid. */
export type FormatFault =
  | 'empty'
  | 'no_list'
  | 'not_numbered'
  | 'fewer_than_ten'
  | 'more_than_ten'
  | 'no_phrase'
  | 'line_breaks'
  | 'repeated_titles'
  | 'asks_as_well';

/** The flags that choose the rule. */
export interface FormatFlags {
  off_formatcheck?: boolean;
  rec_format_check?: boolean;
  rec_format_check_rule?: boolean;
  rec_format_check_rule_generous?: boolean;
}

/** The rule that a set of flags asks for: the strictest one named; `off` when the check is switched off. */
export function formatRule(flags: FormatFlags): FormatRule {
  if (flags.off_formatcheck) return 'off';
  if (flags.rec_format_check_rule) return 'rule';
  if (flags.rec_format_check_rule_generous) return 'generous';
  return flags.rec_format_check ? 'recommendation' : 'original';
}

/** What a message is judged with. */
export interface FormatContext {
  /** The intent the seeker saw; used by `recommendation` only. */
  intent?: Intent | 'malformed';
  /** Earlier messages, so that a title that is only recalled is not taken for a recommendation. */
  before?: readonly string[];
  known?: KnownTitle;
}

/** The faults of a message under a rule; none = valid. */
export function formatFaults(text: string, rule: FormatRule, context: FormatContext = {}): FormatFault[] {
  if (rule === 'off') return [];
  if (text.trim() === '') return ['empty'];
  const list = parseList(text, context.known);
  const length = list?.titles.length ?? 0;
  const faults: FormatFault[] = [];
  const countFaults = () => {
    if (!list!.numbered) faults.push('not_numbered');
    if (length < 10) faults.push('fewer_than_ten');
    if (length > 10) faults.push('more_than_ten');
  };
  switch (rule) {
    case 'original':
      if (list) countFaults();
      return faults;
    case 'recommendation':
      if (list) countFaults();
      else if (context.intent === 'recommendation') faults.push('no_list');
      return faults;
    case 'generous':
      if (list) {
        if (!list.numbered) faults.push('not_numbered');
        if (length > 10) faults.push('more_than_ten');
      } else if (ruleIntent(text, context.before) === 'recommendation') faults.push('no_list');
      return faults;
    case 'rule':
      if (!list) return ruleIntent(text, context.before) === 'recommendation' ? ['no_list'] : [];
      countFaults();
      if (!text.toLowerCase().includes(RECOMMENDATION_PHRASE)) faults.push('no_phrase');
      if (/[\r\n]/.test(text.trim())) faults.push('line_breaks');
      if (new Set(list.titles.map((t) => markOf(t))).size < length) faults.push('repeated_titles');
      if (/\?/.test(list.before) || /\?/.test(list.after)) faults.push('asks_as_well');
      return faults;
  }
}

/** Whether a message is well formed under a rule. */
export function isWellFormed(text: string, rule: FormatRule, context: FormatContext = {}): boolean {
  return formatFaults(text, rule, context).length === 0;
}

function markOf(title: string): string {
  const { key, year } = titleKey(title);
  return `${key}|${year}`;
}
