// What nvidia-smi says about the GPUs of the machine.
import { type CommandResult, run } from './command.ts';

/** Everything that a card does not tell is undefined: a GB10 has no memory of its own, a T4 in a container no power. */
export interface Gpu {
  readonly index: string;
  readonly uuid: string;
  readonly name: string;
  readonly driver: string;
  /** 0 to 1. */
  readonly utilization: number | undefined;
  readonly memoryUsedBytes: number | undefined;
  readonly memoryTotalBytes: number | undefined;
  readonly temperatureCelsius: number | undefined;
  readonly powerWatts: number | undefined;
}

/** The name comes last: it is the one that may hold a comma. */
export const QUERY = [
  'index',
  'uuid',
  'driver_version',
  'utilization.gpu',
  'memory.used',
  'memory.total',
  'temperature.gpu',
  'power.draw',
  'name',
] as const;

const TIMEOUT_MS = 5_000;
const MAX_OUTPUT_BYTES = 256 * 1024;
/** More are not in one machine; each is several series. */
const MAX_GPUS = 64;
const MIB = 1024 * 1024;

/** Undefined where there is no nvidia-smi: it need not be asked again. Empty where it has nothing to say. */
export async function queryGpus(): Promise<readonly Gpu[] | undefined> {
  const result: CommandResult = await run(
    'nvidia-smi',
    [`--query-gpu=${QUERY.join(',')}`, '--format=csv,noheader,nounits'],
    { timeoutMs: TIMEOUT_MS, maxBytes: MAX_OUTPUT_BYTES },
  );
  if (result.kind === 'absent') return undefined;
  return result.kind === 'output' ? parseGpus(result.text) : [];
}

/** Lines that are none (`No devices were found`, a driver's complaint) are passed over; so are units and a header. */
export function parseGpus(text: string): Gpu[] {
  const gpus: Gpu[] = [];
  for (const line of text.split('\n')) {
    const cells = line.trim().split(/\s*,\s*/);
    const [index, uuid, driver, utilization, used, total, temperature, power] = cells;
    if (cells.length < QUERY.length || !/^\d+$/.test(index!)) continue;
    const percent = numberIn(utilization);
    gpus.push({
      index: index!,
      uuid: textIn(uuid),
      name: cells.slice(QUERY.length - 1).join(', '),
      driver: textIn(driver),
      utilization: percent === undefined ? undefined : percent / 100,
      memoryUsedBytes: mebibytes(used),
      memoryTotalBytes: mebibytes(total),
      temperatureCelsius: numberIn(temperature),
      powerWatts: numberIn(power),
    });
    if (gpus.length === MAX_GPUS) break;
  }
  return gpus;
}

/** `[N/A]`, `[Not Supported]`, `[Unknown Error]` and the like are no numbers; `35 %` is one. */
function numberIn(cell: string | undefined): number | undefined {
  const match = /^(-?\d+(?:\.\d+)?)(?:\s*(?:%|MiB|W|C))?$/.exec(cell ?? '');
  return match === null ? undefined : Number(match[1]);
}

function mebibytes(cell: string | undefined): number | undefined {
  const number = numberIn(cell);
  return number === undefined ? undefined : number * MIB;
}

function textIn(cell: string | undefined): string {
  return cell === undefined || /^\[.*\]$/.test(cell) ? '' : cell;
}
