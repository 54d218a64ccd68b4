// Makes a runtime's providers the process's global ones, for every copy of `@opentelemetry/api` that the process has.
import { writeSync } from 'node:fs';
import { createRequire } from 'node:module';
import * as api from '@opentelemetry/api';
import { spanStarted } from './providers-active-span.ts';
import { LazyContextManager, LazyPropagator } from './providers-lazy.ts';
import type { Runtime } from './runtime.ts';
import { inheritedContext } from './trace-parent.ts';

type Api = typeof api;

const require = createRequire(import.meta.url);

/** Shared by duplicate installs: what has been made global for this runtime is not made global twice. */
const INSTALLED = Symbol.for('kymo.globals.v1');
/** The compatibility version of the last `@opentelemetry/api-logs`. */
const OLD_LOGS_VERSION = 1;

/**
 * Makes the runtime's providers, an AsyncLocalStorage context manager and the W3C propagators the global ones of
 * `@opentelemetry/api`, so that spans, logs and instruments of the user's own end up in the run. Providers that the
 * application has set itself stay, and one line says so. Costs less than a millisecond: the SDK loads at the first
 * `getTracer`, `getMeter` or `getLogger`. Calling it again does nothing.
 */
export function installGlobals(runtime: Runtime, env = process.env): void {
  const holder = globalThis as { [INSTALLED]?: WeakSet<Runtime> };
  holder[INSTALLED] ??= new WeakSet();
  if (holder[INSTALLED].has(runtime) || env.OTEL_SDK_DISABLED?.trim().toLowerCase() === 'true') return;
  holder[INSTALLED].add(runtime);

  // The context first: spans without one could not be found by what is logged in them.
  api.context.setGlobalContextManager(new LazyContextManager(inheritedContext(env)));
  api.propagation.setGlobalPropagator(new LazyPropagator());
  const taken: string[] = [];
  const tracers: api.TracerProvider = {
    getTracer: (name, version, options) => runtime.tracerProvider().getTracer(name, version, options),
  };
  if (
    !everywhere(
      ({ trace }) => trace.setGlobalTracerProvider(tracers),
      ({ trace }) => trace.disable(),
    )
  ) {
    taken.push('tracer');
    // Its spans are none of ours, but what is logged inside them can point at them: from now on there may always be one.
    spanStarted();
  }
  const loggers: api.LoggerProvider = {
    getLogger: (name, version, options) => runtime.loggerProvider().getLogger(name, version, options),
  };
  if (
    !everywhere(
      ({ logs }) => logs.setGlobalLoggerProvider(loggers),
      ({ logs }) => logs.disable(),
    )
  )
    taken.push('logger');
  bridgeOldLogs(loggers);
  const meters: api.MeterProvider = {
    getMeter: (name, version, options) => runtime.meterProvider().getMeter(name, version, options),
  };
  if (!api.metrics.setGlobalMeterProvider(meters)) taken.push('meter');
  if (taken.length > 0)
    tell(
      `the application has its own OpenTelemetry ${taken.join(', ')} provider; what goes through it does not reach the run ` +
        '(start the run before it, or leave it out)',
    );
}

/** Libraries from before the log API moved into `@opentelemetry/api` ask another global, by this name and version. */
function bridgeOldLogs(loggers: api.LoggerProvider): void {
  const key = Symbol.for('io.opentelemetry.js.api.logs');
  const holder = globalThis as { [key]?: (version: number) => api.LoggerProvider | undefined };
  holder[key] ??= version => (version === OLD_LOGS_VERSION ? loggers : undefined);
}

/**
 * A process that uses both `import` and `require` has two copies of the API. They share one registry of global providers, but a
 * tracer taken before there is a provider waits for the one that its own copy is given. So the other copy, if it is
 * loaded, is given the provider first and gives up the registry, not the provider.
 */
function everywhere(set: (copy: Api) => boolean, unset: (copy: Api) => void): boolean {
  const other = loadedCopy();
  if (other === undefined) return set(api);
  if (!set(other)) return false;
  unset(other);
  return set(api);
}

/** The CommonJS copy, where something in this process has loaded it. */
function loadedCopy(): Api | undefined {
  try {
    const loaded = require.cache[require.resolve('@opentelemetry/api')]?.exports as Api | undefined;
    return loaded?.trace === undefined || loaded.trace === api.trace ? undefined : loaded;
  } catch {
    return undefined;
  }
}

function tell(line: string): void {
  try {
    writeSync(2, `kymo: ${line}\n`);
  } catch {
    // stderr is closed: there is nobody to tell.
  }
}
