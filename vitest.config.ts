/** @file Unit tests: every `*.test.ts` beside the file it tests, run on Node (GPU tests through Dawn). */
import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['src/**/*.test.ts', 'server/**/*.test.ts', 'tests/**/*.test.ts'],
    // Dawn's instance must outlive every object made from it: one process per test file, two at a time.
    pool: 'forks',
    maxWorkers: 2,
    testTimeout: 400_000,
    hookTimeout: 200_000,
  },
});
