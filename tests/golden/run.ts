/**
 * @file `npm run test:golden`: the golden suite over every model folder in GOLDEN_DIR (default ../shared/golden), on Node
 * through Dawn, or with `--browser` in headless Chromium. One line a check; the last line is `N passed, N failed`.
 *
 *     npm run test:golden -- [--browser] [--precision f32|f16]
 */
import { existsSync, statSync } from 'node:fs';
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { releaseDawn, requestDawnDevice } from '../../server/dawn.ts';
import { folderFiles } from '../../server/files.ts';
import { runInBrowser } from './browser.ts';
import type { CheckResult } from './check.ts';
import { failure, formatCheck } from './check.ts';
import { goldenSuite } from './suite.ts';
import type { Precision } from './tolerances.ts';

const { values } = parseArgs({
  // npm keeps `npm run test:golden --browser` to itself, as a setting of its own.
  options: {
    browser: { type: 'boolean', default: process.env.npm_config_browser === 'true' },
    precision: { type: 'string', default: 'f32' },
  },
});
if (values.precision !== 'f32' && values.precision !== 'f16') {
  console.error(`--precision ${values.precision}: choose f32 or f16.`);
  process.exit(2);
}
const precision: Precision = values.precision;
const own = fileURLToPath(new URL('../../../shared/golden', import.meta.url));
const folder = resolve(process.env.GOLDEN_DIR ?? own);
let passed = 0;
let failed = 0;

const report = (check: CheckResult): void => {
  if (check.passed) passed++;
  else failed++;
  console.log(formatCheck(check));
};

async function runOnDawn(): Promise<void> {
  const device = await requestDawnDevice();
  const { vendor, architecture, description } = device.adapterInfo;
  console.log(`Dawn on ${[vendor, architecture, description].filter(Boolean).join(', ')}, ${precision}`);
  try {
    const files = folderFiles(folder);
    for await (const check of goldenSuite({
      device,
      files,
      precision,
      lossesRequired: folder === resolve(own),
    }))
      report(check);
  } finally {
    device.destroy();
    releaseDawn();
  }
}

if (!existsSync(folder) || !statSync(folder).isDirectory()) {
  console.log(`Skipped: there is no golden folder ${folder} (set GOLDEN_DIR).`);
} else {
  try {
    if (values.browser)
      await runInBrowser({ folder, precision, lossesRequired: folder === resolve(own) }, report);
    else await runOnDawn();
  } catch (cause) {
    report(failure('golden suite', values.browser ? 'in Chromium' : 'on Dawn', cause));
  }
  if (passed + failed === 0)
    report(failure('golden suite', folder, 'The folder holds no model and no loss values.'));
}
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed > 0 ? 1 : 0;
