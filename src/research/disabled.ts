// A runtime that does nothing, for `mode: 'disabled'` and OTEL_SDK_DISABLED: no worker, no file, no network.

import {
  createNoopMeter,
  type LoggerProvider,
  type MeterProvider,
  ProxyTracerProvider,
  type TracerProvider,
} from '@opentelemetry/api';
import type { DeliveryReport, Recorder } from '../sdk/recorder.ts';
import type { ActiveRun, Runtime } from '../sdk/runtime.ts';
import { findProjectDirectory } from '../semconv/local.ts';
import { tell } from './complaints.ts';

/** What is delivered where nothing was emitted. */
export const NOTHING: DeliveryReport = {
  emitted: 0,
  delivered: 0,
  pending: 0,
  spooled: 0,
  dropped: {},
  written: undefined,
  lastError: '',
};

const KNOWN_MODES: ReadonlySet<string> = new Set(['', 'online', 'disabled']);
let toldOfMode = false;

/** True when the environment turns Kymo off. A mode that there is not is told once. */
export function disabledByEnvironment(env = process.env): boolean {
  const mode = env.KYMO_MODE?.trim() ?? '';
  if (!KNOWN_MODES.has(mode) && !toldOfMode) {
    toldOfMode = true;
    const hint = mode === 'offline' ? ' (nothing needs a network: see KYMO_ENDPOINT)' : '';
    tell(`KYMO_MODE=${JSON.stringify(mode)} is neither "online" nor "disabled"${hint}; going on as "online"`);
  }
  return env.OTEL_SDK_DISABLED?.trim().toLowerCase() === 'true' || mode === 'disabled';
}

export function disabledRuntime(): Runtime {
  const runs: ActiveRun[] = [];
  return {
    version: '',
    instanceId: '',
    projectDirectory: findProjectDirectory(process.env, process.cwd()),
    recorder: nullRecorder(),
    runs,
    addRun: run => {
      runs.push(run);
    },
    removeRun: run => {
      const at = runs.indexOf(run);
      if (at >= 0) runs.splice(at, 1);
    },
    currentRun: () => runs.at(-1),
    owningRun: () => runs.at(-1),
    tracerProvider: () => TRACERS,
    loggerProvider: () => LOGGERS,
    meterProvider: () => METERS,
    deliver: () => Promise.resolve(NOTHING),
  };
}

const TRACERS: TracerProvider = new ProxyTracerProvider();
const LOGGERS: LoggerProvider = { getLogger: () => ({ emit: () => undefined, enabled: () => false }) };
const METERS: MeterProvider = { getMeter: () => createNoopMeter() };

function nullRecorder(): Recorder {
  return {
    sender: '',
    defineResource: () => 1,
    defineScope: () => 1,
    defineSeries: () => 1,
    defineSpan: () => 0,
    beginRow: () => undefined,
    add: () => undefined,
    addInteger: () => undefined,
    endRow: () => undefined,
    abortRow: () => undefined,
    histogram: () => undefined,
    record: () => undefined,
    recordLast: () => undefined,
    media: () => true,
    request: () => undefined,
    watchSystem: () => undefined,
    drop: () => undefined,
    now: () => BigInt(Date.now()) * 1_000_000n,
    flush: () => Promise.resolve(NOTHING),
    flushSync: () => NOTHING,
    report: () => NOTHING,
  };
}
