/** @file The page: `npm run dev` serves it, `npm run build` writes `dist/`. Workers are ES modules, as the engine needs. */
import { readFileSync } from 'node:fs';
import { defineConfig } from 'vite';

const { version } = JSON.parse(readFileSync(new URL('package.json', import.meta.url), 'utf8')) as {
  version: string;
};

export default defineConfig({
  // Relative, so that the built page works from any folder of a static server.
  base: './',
  worker: { format: 'es' },
  build: { target: 'es2023' },
  define: { __APP_VERSION__: JSON.stringify(version) },
});
