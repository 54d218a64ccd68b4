// TensorFlow.js on a device that had to be prepared (scripts/interop.js): WebGPU on a software Vulkan driver, or TensorFlow's own library.
import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { startWebGPU } from '../../src/history/webgpu/node.ts';
import '../../src/history/tfjs-node.ts';
import type { Tf } from './behaviour.ts';

/** RTLD_NOW, RTLD_GLOBAL and RTLD_NODELETE of Linux: the library stays, for whoever asks for it by its name. */
const DLOPEN_FLAGS = 2 | 0x100 | 0x1000;

export interface Device {
  readonly tf: Tf;
  readonly description: string;
}

/** @param folder what was prepared; undefined for the packages of this repository */
export async function openDevice(backend: string, folder: string | undefined): Promise<Device> {
  if (folder === undefined) {
    const require = createRequire(import.meta.url);
    const tf = require('@tensorflow/tfjs-core') as Tf;
    require('@tensorflow/tfjs-backend-cpu');
    require('@tensorflow/tfjs-backend-wasm');
    tf.enableProdMode();
    await tf.setBackend(backend);
    return { tf, description: backend };
  }
  const from = path.join(folder, 'package.json');
  const require = createRequire(from);
  if (backend === 'webgpu') {
    loadSoftwareVulkan(folder);
    const tf = require('@tensorflow/tfjs-core') as Tf;
    tf.enableProdMode();
    return { tf, description: await startWebGPU(tf, { from }) };
  }
  const tf = require('@tensorflow/tfjs-node-gpu') as Tf & {
    readonly version: { readonly tensorflow?: string };
  };
  tf.enableProdMode();
  await tf.ready();
  return {
    tf,
    description: `${tf.getBackend()}, ${readFileSync(path.join(folder, 'library.txt'), 'utf8').trim()}`,
  };
}

/** A driver that needs no GPU, unless the environment names one. */
function loadSoftwareVulkan(folder: string): void {
  const driver = path.join(folder, 'driver');
  if (process.env.VK_DRIVER_FILES !== undefined || !existsSync(driver)) return;
  process.env.VK_DRIVER_FILES = path.join(driver, 'vk_swiftshader_icd.json');
  process.env.VK_ICD_FILENAMES = process.env.VK_DRIVER_FILES;
  try {
    process.dlopen({ exports: {} }, path.join(driver, 'libvulkan.so.1'), DLOPEN_FLAGS);
  } catch {
    // It is no addon of Node's, which is said after it was loaded.
  }
}
