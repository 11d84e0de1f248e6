/** @file The golden suite inside a page: takes a device, reads golden files over HTTP, hands every check to the driver. */
import { engineDeviceDescriptor } from '../../../src/gpu/runtime/context.ts';
import { missingFile } from '../../../src/gpu/formats/memory_files.ts';
import type { FileSource } from '../../../src/gpu/formats/model_source.ts';
import type { CheckResult } from '../check.ts';
import type { SuiteOptions } from '../suite.ts';
import { goldenSuite } from '../suite.ts';

/** What the driver chooses; it travels in the address. */
export type PageOptions = Pick<SuiteOptions, 'precision' | 'lossesRequired'>;

/** What the page tells the driver. */
export type PageReport =
  | { type: 'device'; device: string }
  | { type: 'check'; check: CheckResult }
  | { type: 'end'; error?: string };

declare global {
  interface Window {
    reportGolden(message: PageReport): Promise<void>;
  }
}

/** The golden folder that the driver serves. */
async function httpFiles(): Promise<FileSource> {
  const sizes = new Map((await (await fetch('/golden-files')).json()) as [string, number][]);
  const size = (file: string): number => {
    const bytes = sizes.get(file);
    if (bytes === undefined) throw missingFile('golden', file, [...sizes.keys()]);
    return bytes;
  };
  return {
    name: 'golden',
    list: async () => [...sizes.keys()],
    size: async (file) => size(file),
    read: async (file, start = 0, end = size(file)) => {
      size(file);
      const query = new URLSearchParams({ file, start: String(start), end: String(end) });
      const response = await fetch(`/golden-files?${query}`);
      if (!response.ok) throw new Error(`${file}: the driver answered ${response.status}.`);
      return new Uint8Array(await response.arrayBuffer());
    },
  };
}

async function run(): Promise<void> {
  const options = JSON.parse(new URLSearchParams(location.search).get('options')!) as PageOptions;
  const adapter = await navigator.gpu?.requestAdapter();
  if (!adapter) throw new Error('This Chromium offers no WebGPU adapter.');
  const { vendor, architecture, description } = adapter.info;
  const device = await adapter.requestDevice(engineDeviceDescriptor(adapter));
  await window.reportGolden({
    type: 'device',
    device: `${vendor} ${architecture} ${description}, ${options.precision}`,
  });
  for await (const check of goldenSuite({ ...options, device, files: await httpFiles() }))
    await window.reportGolden({ type: 'check', check });
}

run().then(
  () => window.reportGolden({ type: 'end' }),
  (error: unknown) =>
    window.reportGolden({
      type: 'end',
      error: error instanceof Error ? (error.stack ?? error.message) : String(error),
    }),
);
