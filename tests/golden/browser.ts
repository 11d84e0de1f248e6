/**
 * @file The golden suite in headless Chromium: Vite serves the page in `page/` and the golden files, Playwright opens it
 * and hands every check back.
 */
import type { ServerResponse } from 'node:http';
import { fileURLToPath } from 'node:url';
import type { Plugin } from 'vite';
import { createServer } from 'vite';
import { folderFiles } from '../../server/files.ts';
import { launchChromium } from '../support/chromium.ts';
import type { CheckResult } from './check.ts';
import type { PageOptions, PageReport } from './page/main.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));

/** Run the suite in a page; `report` is called with every check as it is made. */
export async function runInBrowser(
  options: { folder: string } & PageOptions,
  report: (check: CheckResult) => void,
): Promise<void> {
  const { folder, ...pageOptions } = options;
  const server = await createServer({
    root,
    configFile: false,
    logLevel: 'error',
    cacheDir: 'node_modules/.vite-golden',
    plugins: [serveFolder(folder)],
    // Known beforehand, so that the page is not reloaded when they are found.
    optimizeDeps: { entries: ['tests/golden/page/index.html'] },
    server: { host: '127.0.0.1', port: 0, watch: null, hmr: false },
  });
  const browser = await launchChromium();
  try {
    await server.listen();
    const { port } = server.httpServer!.address() as { port: number };
    const page = await browser.newPage();
    const failures: unknown[] = [];
    const ended = new Promise<void>((resolve) => {
      const fail = (why: string) => {
        failures.push(new Error(why));
        resolve();
      };
      page.on('pageerror', (error) => fail(error.message));
      page.on('crash', () => fail('The page crashed.'));
      void page.exposeFunction('reportGolden', (message: PageReport) => {
        if (message.type === 'check') report(message.check);
        else if (message.type === 'device') console.log(`Chromium ${browser.version()} on ${message.device}`);
        else if (message.error) fail(message.error);
        else resolve();
      });
    });
    const query = new URLSearchParams({ options: JSON.stringify(pageOptions) });
    await page.goto(`http://127.0.0.1:${port}/tests/golden/page/index.html?${query}`);
    await ended;
    if (failures.length > 0) throw failures[0];
  } finally {
    await browser.close();
    await server.close();
  }
}

/** `/golden-files` lists the folder, `/golden-files?file=…&start=…&end=…` gives bytes of a file. */
function serveFolder(folder: string): Plugin {
  const files = folderFiles(folder);
  const answer = async (url: URL, response: ServerResponse): Promise<void> => {
    const file = url.searchParams.get('file');
    const list = await files.list();
    if (file === null) {
      const sizes = await Promise.all(list.map(async (name) => [name, await files.size(name)]));
      response.end(JSON.stringify(sizes));
    } else if (!list.includes(file)) {
      response.statusCode = 404;
      response.end();
    } else {
      const end = url.searchParams.get('end');
      const bytes = await files.read(
        file,
        Number(url.searchParams.get('start') ?? 0),
        end === null ? undefined : Number(end),
      );
      response.end(bytes);
    }
  };
  return {
    name: 'serve-golden-folder',
    configureServer(server) {
      server.middlewares.use('/golden-files', (request, response) => {
        answer(new URL(request.originalUrl ?? '/', 'http://localhost'), response).catch((error: unknown) => {
          response.statusCode = 500;
          response.end(String(error));
        });
      });
    },
  };
}
