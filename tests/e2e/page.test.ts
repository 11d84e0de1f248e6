/** @file The built page in Chromium: the whole recipe, shortened, on software WebGPU in a worker; and without WebGPU. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Browser } from 'playwright-core';
import { build, preview, type PreviewServer } from 'vite';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { launchChromium } from '../support/chromium.ts';
import { root } from './tart.ts';

let folder: string;
let server: PreviewServer;
let browser: Browser;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'tart-page-'));
  const outDir = join(folder, 'dist');
  await build({ root, logLevel: 'error', build: { outDir, emptyOutDir: true } });
  server = await preview({
    root,
    logLevel: 'error',
    build: { outDir },
    preview: { host: '127.0.0.1', port: 0 },
  });
  browser = await launchChromium();
});
afterAll(async () => {
  await browser?.close();
  await server?.close();
  rmSync(folder, { recursive: true, force: true });
});

const address = (): string => server.resolvedUrls!.local[0]!;

it('runs every stage and ends with the table of the four models', async () => {
  const page = await browser.newPage();
  const errors: string[] = [];
  page.on('pageerror', (error) => errors.push(error.message));
  await page.goto(address());
  await page.getByLabel(/Quick/).check();
  await page.getByRole('button', { name: 'Run the recipe' }).click();
  const table = page.getByLabel('Results');
  const alert = page.getByRole('alert');
  await expect
    .poll(async () => ((await alert.textContent()) || (await table.isVisible()) ? 'ended' : 'running'), {
      timeout: 400_000,
      interval: 500,
    })
    .toBe('ended');
  expect(await alert.textContent()).toBe('');
  expect(errors).toEqual([]);
  const text = (await table.textContent())!;
  for (const name of ['base', 'teacher', 'SFT', 'GRPO', 'hit@10', 'SFT → GRPO']) expect(text).toContain(name);
  expect(await page.locator('#stages li').count()).toBe(8);
  await page.close();
}, 420_000);

it('stops when asked', async () => {
  const page = await browser.newPage();
  await page.goto(address());
  await page.getByRole('button', { name: 'Run the recipe' }).click();
  await page.getByText('base model × seeker').waitFor({ timeout: 120_000 });
  await page.getByRole('button', { name: 'Stop' }).click();
  await expect.poll(() => page.getByRole('alert').textContent(), { timeout: 120_000 }).toContain('Stopped');
  expect(await page.getByRole('button', { name: 'Run the recipe' }).isEnabled()).toBe(true);
  await page.close();
}, 300_000);
