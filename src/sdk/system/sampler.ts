// Measures the process and its machine, from the worker's thread: a synchronous loop on the caller's thread is measured too.
import os from 'node:os';
import type { Attributes } from '../../otlp/model.ts';
import * as probe from './loop-probe.ts';
import { type Gpu, queryGpus } from './nvidia.ts';

/** One gauge point, named and measured as OpenTelemetry's conventions say. */
export interface Measurement {
  readonly name: string;
  readonly value: number;
  readonly attributes?: Attributes;
}

interface CpuTimes {
  readonly busy: number;
  readonly all: number;
}

export interface SamplerOptions {
  /** Also what belongs to the machine as a whole: one process of each machine says it. */
  readonly machine: boolean;
  readonly probe: SharedArrayBuffer;
  /** How often the caller's thread comes by. */
  readonly intervalMs: number;
}

export class Sampler {
  readonly #machine: boolean;
  readonly #words: Float64Array;
  readonly #overdueMs: number;
  readonly #cpus: number;
  #cpu = process.cpuUsage();
  #atMs = performance.now();
  #system = systemCpu();
  #gcSeconds = 0;
  #gcCount = 0;
  #hasGpus = true;

  constructor(options: SamplerOptions) {
    this.#machine = options.machine;
    this.#words = new Float64Array(options.probe);
    this.#overdueMs = options.intervalMs * 2 + 1_000;
    this.#cpus = Math.max(1, os.availableParallelism());
  }

  /** What has been since the last time. Never rejects. */
  async sample(): Promise<Measurement[]> {
    const list = [...this.#process(), ...this.#loop()];
    if (!this.#machine) return list;
    list.push(...this.#host());
    if (!this.#hasGpus) return list;
    const gpus = await queryGpus();
    this.#hasGpus = gpus !== undefined;
    return [...list, ...(gpus ?? []).flatMap(gpuMeasurements)];
  }

  #process(): Measurement[] {
    const nowMs = performance.now();
    const cpu = process.cpuUsage();
    const used = cpu.user - this.#cpu.user + cpu.system - this.#cpu.system;
    const available = (nowMs - this.#atMs) * 1e3 * this.#cpus;
    this.#cpu = cpu;
    this.#atMs = nowMs;
    return [
      { name: 'process.cpu.utilization', value: share(used, available) },
      { name: 'process.memory.usage', value: process.memoryUsage.rss() },
    ];
  }

  #host(): Measurement[] {
    const before = this.#system;
    this.#system = systemCpu();
    const total = os.totalmem();
    const used = total - os.freemem();
    return [
      {
        name: 'system.cpu.utilization',
        value: share(this.#system.busy - before.busy, this.#system.all - before.all),
      },
      { name: 'system.memory.usage', value: used },
      { name: 'system.memory.utilization', value: share(used, total) },
    ];
  }

  /** As the caller's thread left it; where its event loop has not turned since, how long it has not. */
  #loop(): Measurement[] {
    const words = this.#words;
    const turnedAt = words[probe.TURNED_AT]!;
    if (turnedAt === 0) return [];
    const list: Measurement[] = [];
    const add = (name: string, value: number): void => {
      if (Number.isFinite(value)) list.push({ name, value });
    };
    const silentMs = Date.now() - turnedAt;
    if (silentMs > this.#overdueMs) {
      add('nodejs.eventloop.delay.max', silentMs / 1e3);
      add('nodejs.eventloop.utilization', 1);
    }
    if (Date.now() - words[probe.WRITTEN_AT]! > this.#overdueMs) return list;
    if (silentMs <= this.#overdueMs) {
      add('nodejs.eventloop.delay.mean', words[probe.DELAY_MEAN]!);
      add('nodejs.eventloop.delay.p50', words[probe.DELAY_P50]!);
      add('nodejs.eventloop.delay.p90', words[probe.DELAY_P90]!);
      add('nodejs.eventloop.delay.p99', words[probe.DELAY_P99]!);
      add('nodejs.eventloop.delay.max', words[probe.DELAY_MAX]!);
      add('nodejs.eventloop.utilization', words[probe.UTILIZATION]!);
    }
    add('v8js.memory.heap.used', words[probe.HEAP_USED]!);
    add('v8js.memory.heap.limit', words[probe.HEAP_LIMIT]!);
    add('nodejs.memory.external', words[probe.EXTERNAL]!);
    const gcSeconds = words[probe.GC_SECONDS]!;
    const gcCount = words[probe.GC_COUNT]!;
    add('nodejs.gc.duration', gcSeconds - this.#gcSeconds);
    add('nodejs.gc.count', gcCount - this.#gcCount);
    this.#gcSeconds = gcSeconds;
    this.#gcCount = gcCount;
    return list;
  }
}

export function gpuMeasurements(gpu: Gpu): Measurement[] {
  const attributes: Attributes = { 'hw.id': gpu.index };
  const ofGpu: Attributes = { 'hw.id': gpu.index, 'hw.type': 'gpu' };
  const { memoryUsedBytes: used, memoryTotalBytes: total } = gpu;
  const list: [string, number | undefined, Attributes][] = [
    ['hw.gpu.utilization', gpu.utilization, attributes],
    ['hw.gpu.memory.usage', used, attributes],
    [
      'hw.gpu.memory.utilization',
      used === undefined || total === undefined ? undefined : share(used, total),
      attributes,
    ],
    ['hw.temperature', gpu.temperatureCelsius, ofGpu],
    ['hw.power', gpu.powerWatts, ofGpu],
  ];
  return list.flatMap(([name, value, own]) =>
    value === undefined ? [] : [{ name, value, attributes: own }],
  );
}

function systemCpu(): CpuTimes {
  let busy = 0;
  let all = 0;
  for (const { times } of os.cpus()) {
    const { user, nice, sys, idle, irq } = times;
    busy += user + nice + sys + irq;
    all += user + nice + sys + irq + idle;
  }
  return { busy, all };
}

/** Between 0 and 1, also where clocks differ a little. */
function share(part: number, whole: number): number {
  return whole > 0 ? Math.min(1, Math.max(0, part / whole)) : 0;
}
