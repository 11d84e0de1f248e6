/** @file Rows of a file through a valibot schema, with errors that name file, row or line, and field. */
import * as v from 'valibot';
import { issueMessage, issuePath, ProblemList, type Problem, type ReadMode } from './source_file.ts';

/** Check `values` (one a row) against a schema; bad rows are thrown or left out, by mode. */
export function checkRows<T>(
  file: string,
  schema: v.GenericSchema<unknown, T>,
  values: readonly { row?: number; line?: number; value: unknown }[],
  mode: ReadMode,
): { rows: { value: T; where: { row?: number; line?: number } }[]; problems: Problem[] } {
  const list = new ProblemList(file, mode);
  const rows: { value: T; where: { row?: number; line?: number } }[] = [];
  for (const { value, ...where } of values) {
    const parsed = v.safeParse(schema, value);
    if (parsed.success) {
      rows.push({ value: parsed.output, where });
      continue;
    }
    for (const issue of parsed.issues) {
      const field = issuePath(issue);
      list.error(field === null ? where : { ...where, field }, issueMessage(issue));
    }
  }
  return { rows, problems: list.problems };
}
