/** @file Chromium for tests: the system's own, headless, with software WebGPU and no traffic of its own. */
import { existsSync } from 'node:fs';
import { chromium, type Browser } from 'playwright-core';
import { DeviceError } from '../../src/core/errors.ts';

/** Where distributions put Chromium. */
const executables = [
  process.env.CHROMIUM_PATH ?? '',
  '/usr/bin/chromium',
  '/usr/bin/chromium-browser',
  '/usr/bin/google-chrome',
  '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome',
];

const quiet = [
  '--no-sandbox',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-default-apps',
  '--disable-domain-reliability',
  '--disable-sync',
  '--metrics-recording-only',
  '--no-default-browser-check',
  '--no-first-run',
  '--no-pings',
];

/** Software WebGPU. */
export const softwareWebGpu = ['--enable-unsafe-webgpu', '--use-webgpu-adapter=swiftshader'];

/** Start Chromium. Throws `DeviceError` when there is none. */
export async function launchChromium(flags: readonly string[] = softwareWebGpu): Promise<Browser> {
  const executablePath = executables.find((path) => path && existsSync(path));
  if (!executablePath)
    throw new DeviceError('Chromium was not found.', 'Install it, or set CHROMIUM_PATH to its executable.');
  return chromium.launch({ executablePath, headless: true, args: [...quiet, ...flags] });
}
