// Metrics of the machine under the keys that W&B's System page knows; they are no part of a run's rows.
import type { Attributes, Series } from '../../../otlp/model.ts';

export interface SystemKey {
  readonly key: string;
  /** From the unit of OpenTelemetry to that of W&B. */
  readonly factor: number;
}

const PERCENT = 100;
const PER_MIB = 1 / (1024 * 1024);
const PER_GIB = PER_MIB / 1024;

/** By name and, where it says which value this is, the attribute's value. */
const KEYS: Readonly<Record<string, readonly [key: string, factor: number]>> = {
  'system.cpu.utilization': ['cpu', PERCENT],
  'system.memory.utilization': ['memory_percent', PERCENT],
  'system.memory.linux.available': ['proc.memory.availableMB', PER_MIB],
  'system.linux.memory.available': ['proc.memory.availableMB', PER_MIB],
  'process.memory.usage': ['proc.memory.rssMB', PER_MIB],
  'process.memory.utilization': ['proc.memory.percent', PERCENT],
  'process.thread.count': ['proc.cpu.threads', 1],
  'process.cpu.utilization': ['proc.cpu', PERCENT],
  'system.network.io transmit': ['network.sent', 1],
  'system.network.io receive': ['network.recv', 1],
};
const GPU_KEYS: Readonly<Record<string, readonly [key: string, factor: number]>> = {
  'hw.gpu.utilization': ['gpu', PERCENT],
  'hw.gpu.memory.utilization': ['memoryAllocated', PERCENT],
  'hw.gpu.memory.usage': ['memoryAllocatedBytes', 1],
  'hw.gpu.temperature': ['temp', 1],
  'hw.gpu.power': ['powerWatts', 1],
  'hw.temperature': ['temp', 1],
  'hw.power': ['powerWatts', 1],
  'hw.fan.speed_ratio': ['fanSpeed', PERCENT],
};
const SYSTEM = /^(system|process|hw|nodejs|v8js)\./;

/** Whether a series is about the machine or the process and not about the experiment. */
export function isSystemMetric(series: Pick<Series, 'name'>): boolean {
  return SYSTEM.test(series.name);
}

/** What W&B calls it. A metric that it has no name for keeps its own, with its attributes behind. */
export function systemKey({ name, attributes }: Pick<Series, 'name' | 'attributes'>): SystemKey {
  const direction = textOf(attributes, 'network.io.direction', 'disk.io.direction', 'direction');
  const gpu = name.startsWith('hw.')
    ? textOf(attributes, 'hw.index', 'gpu.index', 'kymo.gpu.index', 'hw.id')
    : '';
  const ofGpu = GPU_KEYS[name];
  if (ofGpu !== undefined && gpu !== '' && isGpu(name, attributes))
    return { key: `gpu.${indexOf(gpu)}.${ofGpu[0]}`, factor: ofGpu[1] };
  const known = KEYS[direction === '' ? name : `${name} ${direction}`];
  if (known !== undefined && isWhole(name, attributes)) return { key: known[0], factor: known[1] };
  const place = textOf(attributes, 'system.filesystem.mountpoint', 'mountpoint');
  if (place !== '' && name === 'system.filesystem.utilization')
    return { key: `disk.${place}.usagePercent`, factor: PERCENT };
  if (place !== '' && name === 'system.filesystem.usage' && isUsed(attributes))
    return { key: `disk.${place}.usageGB`, factor: PER_GIB };
  const device = textOf(attributes, 'system.device', 'device');
  if (device !== '' && name === 'system.disk.io')
    return { key: `disk.${device}.${direction === 'write' ? 'out' : 'in'}`, factor: PER_MIB };
  const rest = Object.keys(attributes)
    .filter(key => !key.startsWith('kymo.'))
    .sort();
  return { key: [name, ...rest.map(key => `${String(attributes[key])}`)].join('.'), factor: 1 };
}

/** One number for the whole machine: not that of a core or of a state. */
function isWhole(name: string, attributes: Attributes): boolean {
  if (name === 'system.memory.utilization') return isUsed(attributes);
  return textOf(attributes, 'cpu.logical_number', 'cpu.mode', 'state') === '';
}
function isUsed(attributes: Attributes): boolean {
  const state = textOf(attributes, 'system.memory.state', 'system.filesystem.state', 'state');
  return state === '' || state === 'used';
}
function isGpu(name: string, attributes: Attributes): boolean {
  const type = attributes['hw.type'];
  return name.startsWith('hw.gpu.') || type === 'gpu';
}

function indexOf(id: string): string {
  return /(\d+)$/.exec(id)?.[1] ?? id;
}

function textOf(attributes: Attributes, ...keys: readonly string[]): string {
  for (const key of keys) {
    const value = attributes[key];
    if (typeof value === 'string') return value;
    if (typeof value === 'number') return String(value);
  }
  return '';
}
