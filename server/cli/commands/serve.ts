/**
 * @file `tart serve`: the built page on this machine only, cross-origin isolated. Builds the page first when it is not there or
 * `--build` asks for it.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { UsageError } from '../../../src/core/errors.ts';
import type { CommandValues } from '../commands.ts';

const root = fileURLToPath(new URL('../../..', import.meta.url));

/** Cross-origin isolation: precise timers and shared memory for the page, no window of another origin. */
const headers = {
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Embedder-Policy': 'require-corp',
};

export async function run(values: CommandValues<'serve'>): Promise<void> {
  const { build, preview } = await import('vite').catch((cause: unknown) => {
    throw new UsageError(
      'tart serve needs Vite, which is not installed.',
      'Run `npm ci` without --omit=dev.',
      { cause },
    );
  });
  if (values.build || !existsSync(join(root, 'dist/index.html'))) await build({ root, logLevel: 'warn' });
  const server = await preview({
    root,
    logLevel: 'warn',
    preview: { host: '127.0.0.1', port: values.port, strictPort: values.port !== 0, headers },
  });
  process.stdout.write(`${server.resolvedUrls?.local[0] ?? ''}\n`);
  await new Promise<void>((resolve) => {
    process.once('SIGINT', resolve);
    process.once('SIGTERM', resolve);
  });
  await server.close();
}
