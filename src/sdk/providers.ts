// OpenTelemetry's providers over the recorder. The SDK packages load at first use.
import {
  createNoopMeter,
  type LoggerProvider,
  type MeterProvider,
  ProxyTracerProvider,
  type TracerProvider,
} from '@opentelemetry/api';
import { createLoggerProvider } from './providers-logs.ts';
import { createMeterProvider, type RecordingMeterProvider } from './providers-metrics.ts';
import { createTracerProvider } from './providers-spans.ts';
import type { Runtime } from './runtime.ts';

export interface Providers {
  tracerProvider(): TracerProvider;
  loggerProvider(): LoggerProvider;
  meterProvider(): MeterProvider;
  /**
   * Collects the instruments once more, so that their last values are recorded when it resolves. Spans and log records are
   * recorded as they come and need none of it. Never rejects.
   */
  flush(): Promise<void>;
  /** The same before it returns, as far as that goes: see `collectNow` of providers-metrics.ts. For a process that is ending. */
  flushNow(): void;
}

/** Providers whose telemetry goes through the runtime's recorder. `OTEL_SDK_DISABLED=true` makes them do nothing. */
export function createProviders(runtime: Runtime, env = process.env): Providers {
  if (env.OTEL_SDK_DISABLED?.trim().toLowerCase() === 'true') return { ...NOTHING };
  let tracers: TracerProvider | undefined;
  let loggers: LoggerProvider | undefined;
  let meters: RecordingMeterProvider | undefined;
  return {
    tracerProvider() {
      tracers ??= createTracerProvider(runtime, env);
      return tracers;
    },
    loggerProvider() {
      loggers ??= createLoggerProvider(runtime);
      return loggers;
    },
    meterProvider() {
      meters ??= createMeterProvider(runtime, env);
      return meters;
    },
    async flush() {
      try {
        await meters?.forceFlush();
      } catch {
        // A callback of the user's instruments has thrown; the SDK has told its diag logger.
      }
    },
    flushNow() {
      try {
        meters?.collectNow();
      } catch {
        // Whatever it is, the process ends as it would have.
      }
    },
  };
}

const NOTHING: Providers = {
  tracerProvider: () => new ProxyTracerProvider(),
  loggerProvider: () => ({ getLogger: () => ({ emit: () => undefined, enabled: () => false }) }),
  meterProvider: () => ({ getMeter: () => createNoopMeter() }),
  flush: () => Promise.resolve(),
  flushNow: () => undefined,
};
