// nvidia-smi as a program on PATH: what it prints on real machines, and what it is when it is not there.
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { parseGpus, queryGpus } from '../../../src/sdk/system/nvidia.ts';
import { gpuMeasurements } from '../../../src/sdk/system/sampler.ts';

let folder: string;
let path: string | undefined;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'kymo-smi-'));
  path = process.env.PATH;
});
afterEach(() => {
  process.env.PATH = path;
  rmSync(folder, { recursive: true, force: true });
});

/** A program of this name that prints `text`, before everything else on PATH. */
function program(text: string, code = 0): void {
  const file = join(folder, 'nvidia-smi');
  writeFileSync(join(folder, 'out.txt'), text);
  writeFileSync(file, `#!/bin/sh\necho "$@" > ${folder}/asked.txt\ncat ${folder}/out.txt\nexit ${code}\n`);
  chmodSync(file, 0o755);
  process.env.PATH = `${folder}:${path}`;
}

describe('the lines of nvidia-smi', () => {
  // Values as machines with these cards print them with --format=csv, in the order of the query.
  it('of a T4 and an RTX 4090, with units', () => {
    const text =
      '0, GPU-1a2b, 535.104.05, 98 %, 7234 MiB, 15360 MiB, 72, 69.87 W, Tesla T4\n' +
      '1, GPU-3c4d, 550.54.14, 0 %, 678 MiB, 49140 MiB, 41, [N/A], NVIDIA GeForce RTX 4090\n';
    expect(parseGpus(text)).toEqual([
      {
        index: '0',
        uuid: 'GPU-1a2b',
        driver: '535.104.05',
        utilization: 0.98,
        memoryUsedBytes: 7234 * 2 ** 20,
        memoryTotalBytes: 15360 * 2 ** 20,
        temperatureCelsius: 72,
        powerWatts: 69.87,
        name: 'Tesla T4',
      },
      expect.objectContaining({ index: '1', utilization: 0, powerWatts: undefined }),
    ]);
  });

  it('of a GB10, whose memory is the machine’s own, without units', () => {
    const [gpu] = parseGpus('0, GPU-aa, 580.95.05, 5, [N/A], [N/A], 51, 12.98, NVIDIA GB10\n');
    expect(gpu).toMatchObject({ utilization: 0.05, memoryUsedBytes: undefined, powerWatts: 12.98 });
    expect(gpuMeasurements(gpu!).map(({ name }) => name)).toEqual([
      'hw.gpu.utilization',
      'hw.temperature',
      'hw.power',
    ]);
  });

  it.each([
    'No devices were found\n',
    "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver. Make sure that the latest NVIDIA driver is installed and running.\n",
    'Unable to determine the device handle for GPU0000:65:00.0: Unknown Error\n',
    'index, uuid, driver_version, utilization.gpu [%], memory.used [MiB], memory.total [MiB], temperature.gpu, power.draw [W], name\n',
    '',
    '\u0000\u001b[31m,,,,,,,,,,\n',
  ])('that are none give no GPU: %j', text => {
    expect(parseGpus(text)).toEqual([]);
  });

  it('keep a name with a comma whole, and what a card does not support out', () => {
    const [gpu] = parseGpus(
      '3, [N/A], [N/A], [Not Supported], [Unknown Error], 1024, ERR!, N/A, NVIDIA A100, 40GB\n',
    );
    expect(gpu).toEqual({
      index: '3',
      uuid: '',
      driver: '',
      name: 'NVIDIA A100, 40GB',
      utilization: undefined,
      memoryUsedBytes: undefined,
      memoryTotalBytes: 2 ** 30,
      temperatureCelsius: undefined,
      powerWatts: undefined,
    });
  });
});

describe('nvidia-smi', () => {
  it('is asked for what is wanted, in one call', async () => {
    program('0, GPU-1a2b, 535.104.05, 98, 7234, 15360, 72, 69.87, Tesla T4\n');
    expect(await queryGpus()).toMatchObject([{ name: 'Tesla T4', utilization: 0.98 }]);
  });

  it('that fails has nothing to say, and one that is not there need not be asked again', async () => {
    program('No devices were found\n', 6);
    expect(await queryGpus()).toEqual([]);
    process.env.PATH = '/nonexistent';
    expect(await queryGpus()).toBeUndefined();
  });
});
