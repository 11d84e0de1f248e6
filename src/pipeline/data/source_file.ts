/**
 * @file A text file as the recipe sees it: a name for messages, and its text. Hosts read the bytes (folder, page, test);
 * everything below parses text only. Also the two ways a problem is told: thrown, or collected in a report.
 */
import { InputError } from '../../core/errors.ts';
import type * as v from 'valibot';

/** A file's name (as the user gave it) and its whole text. */
export interface SourceFile {
  name: string;
  text: string;
}

/** One thing wrong with a file: where, what, and what to do about it. */
export interface Problem {
  severity: 'error' | 'warning';
  file: string;
  /** 0-based row of a JSON array, or null when it concerns the whole file. */
  row: number | null;
  /** 1-based line of a line file, or null. */
  line: number | null;
  /** Path of the field, e.g. `dialog[3].role`, or null. */
  field: string | null;
  message: string;
  remedy?: string;
}

/** `strict` throws the first error as an `InputError`; `report` collects errors and leaves the bad rows out. */
export type ReadMode = 'strict' | 'report';

/** `file, row 3, dialog[1].role`: the place of a problem as a reader wants to see it. */
export function placeOf(problem: Pick<Problem, 'file' | 'row' | 'line' | 'field'>): string {
  const parts = [problem.file];
  if (problem.row !== null) parts.push(`row ${problem.row}`);
  if (problem.line !== null) parts.push(`line ${problem.line}`);
  if (problem.field !== null) parts.push(problem.field);
  return parts.join(', ');
}

/** One readable sentence for a problem. */
export function describeProblem(problem: Problem): string {
  return `${placeOf(problem)}: ${problem.message}${problem.remedy ? ` ${problem.remedy}` : ''}`;
}

/** The problem as the error that strict mode throws. */
export function problemError(problem: Problem): InputError {
  return new InputError(`${placeOf(problem)}: ${problem.message}`, problem.remedy);
}

/** Throws errors in strict mode, collects everything else in `problems`. */
export class ProblemList {
  readonly problems: Problem[] = [];
  constructor(
    private readonly file: string,
    private readonly mode: ReadMode,
  ) {}

  error(where: { row?: number; line?: number; field?: string }, message: string, remedy?: string): void {
    const problem = this.make('error', where, message, remedy);
    if (this.mode === 'strict') throw problemError(problem);
    this.problems.push(problem);
  }
  warning(where: { row?: number; line?: number; field?: string }, message: string, remedy?: string): void {
    this.problems.push(this.make('warning', where, message, remedy));
  }
  private make(
    severity: Problem['severity'],
    where: { row?: number; line?: number; field?: string },
    message: string,
    remedy?: string,
  ): Problem {
    const place = {
      file: this.file,
      row: where.row ?? null,
      line: where.line ?? null,
      field: where.field ?? null,
    };
    return remedy === undefined ? { severity, ...place, message } : { severity, ...place, message, remedy };
  }
}

/** Path of the field a valibot issue is about: `dialog[3].role`; null for the value as a whole. */
export function issuePath(issue: v.BaseIssue<unknown>): string | null {
  if (!issue.path) return null;
  let out = '';
  for (const step of issue.path) {
    const key: unknown = step.key;
    out += typeof key === 'number' ? `[${key}]` : `${out ? '.' : ''}${String(key)}`;
  }
  return out;
}

/** What a valibot issue says, with long values shortened. */
export function issueMessage(issue: v.BaseIssue<unknown>): string {
  const received = issue.received.length > 60 ? `${issue.received.slice(0, 57)}…` : issue.received;
  if (issue.kind === 'schema' && issue.expected) return `expected ${issue.expected}, found ${received}.`;
  return issue.message;
}
