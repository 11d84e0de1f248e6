/** @file Reading text and JSON out of a `FileSource`, with errors that name the file. */
import * as v from 'valibot';
import { InputError } from '../../core/errors.ts';
import type { FileSource } from './model_source.ts';

/** A file as UTF-8 text. Throws `InputError` on bytes that are not UTF-8. */
export async function readText(files: FileSource, file: string): Promise<string> {
  const bytes = await files.read(file);
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (cause) {
    throw new InputError(`${files.name}/${file} is not UTF-8 text.`, 'Save or download the file again.', {
      cause,
    });
  }
}

/** A file as JSON. Throws `InputError` naming the file and what the parser said. */
export async function readJson(files: FileSource, file: string): Promise<unknown> {
  const text = await readText(files, file);
  try {
    return JSON.parse(text) as unknown;
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new InputError(
      `${files.name}/${file} is not valid JSON (${why}).`,
      'Repair or download the file again.',
      {
        cause,
      },
    );
  }
}

/** Check a parsed value against a valibot schema. Throws `InputError` naming file, field and what was expected. */
export function checkShape<S extends v.GenericSchema>(
  where: string,
  schema: S,
  value: unknown,
): v.InferOutput<S> {
  const result = v.safeParse(schema, value);
  if (result.success) return result.output;
  const issue = result.issues[0];
  const field = v.getDotPath(issue);
  throw new InputError(
    `${where}${field ? `: field "${field}"` : ''} is not what it should be: ${issue.message}.`,
    'Correct the file, or fetch it again from where the model came from.',
  );
}
