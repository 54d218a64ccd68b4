// WebGPU in Node: the backend of TensorFlow.js on the device of the `webgpu` package (Dawn), both optional peers.
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';
import type * as core from '@tensorflow/tfjs-core';

export interface WebGPUOptions {
  /** A file or folder whose `node_modules` have `webgpu` and `@tensorflow/tfjs-backend-webgpu`. Default: where Kymo is. */
  readonly from?: string | URL;
  /** For `webgpu`'s `create`, such as `['backend=vulkan', 'adapter=NVIDIA']`. */
  readonly flags?: readonly string[];
}

/** Asked for in full, so that one kernel can take many frames and a window may be large. */
const LIMITS = [
  'maxBufferSize',
  'maxComputeInvocationsPerWorkgroup',
  'maxComputeWorkgroupSizeX',
  'maxComputeWorkgroupStorageSize',
  'maxComputeWorkgroupsPerDimension',
  'maxStorageBufferBindingSize',
  'maxStorageBuffersPerShaderStage',
] as const;

interface Adapter {
  readonly info: { readonly description: string; readonly vendor: string };
  readonly limits: Readonly<Record<string, number>>;
  requestDevice(descriptor: object): Promise<object>;
}
interface Dawn {
  create(flags: readonly string[]): { requestAdapter(options: object): Promise<Adapter | null> };
  readonly globals: object;
}

/**
 * Makes WebGPU the backend of `tf` and says which device it is. The factory that the backend's package brings does not work in Node (4.22): it
 * asks for features in a way that Dawn refuses, and for few of the device's limits.
 *
 * Throws when the packages are not installed, or there is no device (on Linux: no Vulkan driver).
 *
 * @example
 * import * as tf from '@tensorflow/tfjs-core';
 * import { startWebGPU } from 'kymo/history/webgpu';
 * console.log(await startWebGPU(tf));
 */
export async function startWebGPU(tf: typeof core, options: WebGPUOptions = {}): Promise<string> {
  const require = createRequire(options.from ?? import.meta.url);
  const dawn = (await import(pathToFileURL(require.resolve('webgpu')).href)) as Dawn;
  Object.assign(globalThis, dawn.globals);
  const gpu = dawn.create(options.flags ?? []);
  if (globalThis.navigator === undefined)
    Object.defineProperty(globalThis, 'navigator', { value: {}, configurable: true });
  Object.defineProperty(globalThis.navigator, 'gpu', { value: gpu, configurable: true });
  const adapter = await gpu.requestAdapter({ powerPreference: 'high-performance' });
  if (adapter === null)
    throw new Error(
      'kymo: startWebGPU: there is no WebGPU device; on Linux it needs libvulkan.so.1 and a Vulkan driver (VK_DRIVER_FILES names its .json)',
    );
  const requiredLimits = Object.fromEntries(
    LIMITS.filter(name => adapter.limits[name] !== undefined).map(name => [name, adapter.limits[name]]),
  );
  const device = await adapter.requestDevice({ requiredLimits });
  // It looks for navigator.gpu when it is loaded.
  const { WebGPUBackend } = require('@tensorflow/tfjs-backend-webgpu') as {
    readonly WebGPUBackend: new (device: object, info: object) => core.KernelBackend;
  };
  if (tf.findBackendFactory('webgpu') != null) tf.removeBackend('webgpu');
  tf.registerBackend('webgpu', () => new WebGPUBackend(device, adapter.info), 3);
  await tf.setBackend('webgpu');
  await tf.ready();
  return `${adapter.info.description} (${adapter.info.vendor})`;
}
