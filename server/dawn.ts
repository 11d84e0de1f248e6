/**
 * @file WebGPU on Node through Dawn (npm `webgpu`). Picks the GPU's Vulkan driver, or SwiftShader where there is none.
 *
 * Dawn's instance must stay reachable for as long as any object made from it lives: it is kept on `globalThis`, and
 * `releaseDawn` lets it go so that the process can end.
 */
import { existsSync } from 'node:fs';
import { create, globals } from 'webgpu';
import { DeviceError } from '../src/core/errors.ts';
import { engineDeviceDescriptor } from '../src/gpu/runtime/context.ts';

const holder = globalThis as { __dawn?: GPU };

/** Where Chromium packages put SwiftShader's Vulkan driver manifest. */
export const swiftShaderManifests = [
  process.env.TART_SWIFTSHADER_ICD ?? '',
  new URL('../.cache/swiftshader/vk_swiftshader_icd.json', import.meta.url).pathname,
  '/usr/lib/chromium/vk_swiftshader_icd.json',
  '/usr/lib/chromium-browser/vk_swiftshader_icd.json',
];

/** Options of `requestDawnDevice`. */
export interface DawnOptions {
  /** Take the software device even when there is a GPU. */
  software?: boolean;
  /** Dawn toggles, e.g. `disable_robustness`. */
  toggles?: readonly string[];
}

/** True when a GPU's kernel driver is there (NVIDIA, or any DRM render node). */
export const hasGpu = (): boolean =>
  existsSync('/dev/nvidia0') || existsSync('/dev/dri/renderD128') || process.platform !== 'linux';

/** A device of the first adapter, with every limit and feature the engine can use. Throws `DeviceError` without one. */
export async function requestDawnDevice(options: DawnOptions = {}): Promise<GPUDevice> {
  const software = options.software ?? process.env.TART_SOFTWARE_GPU === '1';
  if ((software || !hasGpu()) && !process.env.VK_ICD_FILENAMES && !process.env.VK_DRIVER_FILES) {
    const manifest = swiftShaderManifests.find((path) => path && existsSync(path));
    if (manifest) process.env.VK_ICD_FILENAMES = manifest;
  }
  // The Vulkan loader complains on stderr when this is unset.
  process.env.XDG_RUNTIME_DIR ??= '/tmp';
  Object.assign(globalThis, globals);
  const features = ['allow_unsafe_apis', 'vulkan_enable_f16_on_nvidia', ...(options.toggles ?? [])];
  holder.__dawn ??= create([`enable-dawn-features=${features.join(',')}`]);
  const adapter = await holder.__dawn.requestAdapter({ powerPreference: 'high-performance' });
  if (!adapter)
    throw new DeviceError(
      'No WebGPU adapter was found.',
      'Install a Vulkan driver, or run `npm run setup`, which installs a software one (SwiftShader).',
    );
  return adapter.requestDevice(engineDeviceDescriptor(adapter));
}

/** Let the Dawn instance go. Destroy devices first. */
export function releaseDawn(): void {
  delete holder.__dawn;
}
