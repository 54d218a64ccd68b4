// What the environment says to the SDK, read once per process. `kymo env` lists the variables with their meaning.
import type { Signal } from '../otlp/model.ts';
import { type Endpoint, readEndpoint, readSignalSettings, type SignalSettings } from './otlp-settings.ts';
import type { Overflow } from './ring-writer.ts';

const MIB = 1024 * 1024;

export interface Settings {
  /** Undefined: start or join the bundled collector. */
  readonly endpoint: Endpoint | undefined;
  readonly signals: Readonly<Record<Signal, SignalSettings>>;
  readonly exitTimeoutMs: number;
  readonly overflow: Overflow;
  readonly blockMaxMs: number;
  /** Each call that records returns only when what it recorded is delivered. */
  readonly blocking: boolean;
  readonly ringBytes: number;
  /** Batches kept in memory while they are not acknowledged; beyond it they are read back from the spool. */
  readonly maxBatchBytes: number;
  /** Raw media under way to the media thread and inside it. */
  readonly maxMediaBytes: number;
  readonly maxSpoolBytes: number;
  readonly spoolMaxAgeMs: number;
  readonly stepAs: 'exemplar' | 'attribute';
  readonly quiet: boolean;
  /** What a process runs on and was started with is recorded once per run. */
  readonly systemFacts: boolean;
  /** How often process and machine are measured; 0 for never. */
  readonly systemIntervalMs: number;
  /** One process of each machine measures what belongs to the machine. */
  readonly firstOfMachine: boolean;
}

/** Problems are told once, on stderr, and the default is used: an environment variable never stops a training. */
export function readSettings(env: NodeJS.ProcessEnv, warn: (line: string) => void): Settings {
  const number = (name: string, fallback: number, min: number, max: number): number => {
    const text = env[name];
    if (text === undefined || text === '') return fallback;
    const value = Number(text);
    if (Number.isFinite(value) && value >= min && value <= max) return value;
    warn(`${name}=${JSON.stringify(text)} is not a number from ${min} to ${max}; using ${fallback}`);
    return fallback;
  };
  const choice = <T extends string>(name: string, values: readonly T[], fallback: T): T => {
    const text = env[name];
    if (text === undefined || text === '') return fallback;
    const found = values.find(value => value === text.toLowerCase());
    if (found !== undefined) return found;
    warn(`${name}=${JSON.stringify(text)} is none of ${values.join(', ')}; using ${fallback}`);
    return fallback;
  };
  return {
    endpoint: readEndpoint(env, warn),
    signals: readSignalSettings(env, once(warn)),
    exitTimeoutMs: number('KYMO_EXIT_TIMEOUT_MS', 10_000, 0, 86_400_000),
    overflow: choice('KYMO_OVERFLOW', ['block', 'drop'], 'block'),
    blockMaxMs: number('KYMO_BLOCK_MAX_MS', 1_000, 0, 60_000),
    blocking: ['0', 'false', 'no'].includes(
      choice('KYMO_ASYNC', ['1', 'true', 'yes', '0', 'false', 'no'], '1'),
    ),
    ringBytes: powerOfTwo(number('KYMO_RING_MIB', 16, 1, 1024)) * MIB,
    maxBatchBytes: number('KYMO_MEMORY_MIB', 64, 1, 16_384) * MIB,
    maxMediaBytes: number('KYMO_MEDIA_MEMORY_MIB', 256, 1, 16_384) * MIB,
    maxSpoolBytes: number('KYMO_SPOOL_MAX_MIB', 4_096, 0, 1 << 24) * MIB,
    spoolMaxAgeMs: number('KYMO_SPOOL_MAX_AGE_DAYS', 14, 0, 3_650) * 86_400_000,
    stepAs: choice('KYMO_STEP_AS', ['exemplar', 'attribute'], 'exemplar'),
    quiet: env.KYMO_QUIET === '1' || env.KYMO_QUIET === 'true',
    systemFacts: choice('KYMO_SYSTEM_FACTS', ['1', 'true', '0', 'false'], '1').match(/0|false/) === null,
    systemIntervalMs: number('KYMO_SYSTEM_METRICS', 10, 0, 86_400) * 1_000,
    firstOfMachine: LOCAL_RANKS.every(name => env[name] === undefined || Number(env[name]) === 0),
  };
}

/** As launchers call the rank of a process on its machine. */
const LOCAL_RANKS = ['KYMO_LOCAL_RANK', 'LOCAL_RANK', 'SLURM_LOCALID', 'OMPI_COMM_WORLD_LOCAL_RANK'];

/** What is wrong with a variable that holds for all signals is told once. */
function once(warn: (line: string) => void): (line: string) => void {
  const told = new Set<string>();
  return line => {
    if (!told.has(line)) warn(line);
    told.add(line);
  };
}

function powerOfTwo(value: number): number {
  return 2 ** Math.round(Math.log2(value));
}
