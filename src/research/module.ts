// The calls that name no run: they act on the one that is current.
import type { DeliveryReport } from '../sdk/recorder.ts';
import { NOTHING } from './disabled.ts';
import { currentRun, knownRun } from './init.ts';
import type { MetricDefinition } from './metric-definition.ts';
import type { EventOptions } from './raw-event.ts';
import type { RecordedMap } from './record-map.ts';
import type { Rollout } from './rollout.ts';
import type { HistogramOptions, LogOptions, Row, Scalar, ScalarOptions } from './row-options.ts';
import type { FinishOptions, Run } from './run.ts';

/** The current run: the one started last of those that have not finished. See `init` for what happens when there is none. */
export function run(): Run {
  return currentRun();
}

/** Writes a row to the current run; see `Run.log`. */
export function log(row: Row, options?: LogOptions): void {
  currentRun().log(row, options);
}

/** Writes one value to the current run; see `Run.scalar`. */
export function scalar(name: string, value: unknown, options?: ScalarOptions): void {
  currentRun().scalar(name, value, options);
}

/** Writes a distribution to the current run; see `Run.histogram`. */
export function histogram(name: string, values: unknown, options?: HistogramOptions): void {
  currentRun().histogram(name, values, options);
}

/** Writes a rollout to the current run; see `Run.logRollout`. */
export function logRollout(rollout: Rollout): void {
  currentRun().logRollout(rollout);
}

/** Writes a raw event of the current run, for aggregation; see `Run.event`. */
export function event(name: string, value: Scalar = 1, options: EventOptions = {}): void {
  currentRun().event(name, value, options);
}

/** Says how metrics of the current run are to be read; see `Run.defineMetric`. */
export function defineMetric(name: string, definition: MetricDefinition): void {
  currentRun().defineMetric(name, definition);
}

/** Delivers what the current run has logged, blocking; see `Run.flushSync`. Without any run there is nothing to deliver. */
export function flushSync(timeoutMs?: number): DeliveryReport {
  return knownRun()?.flushSync(timeoutMs) ?? NOTHING;
}

/** Delivers what the current run has logged so far; see `Run.flush`. Without any run there is nothing to deliver. */
export async function flush(): Promise<DeliveryReport> {
  return (await knownRun()?.flush()) ?? NOTHING;
}

/** Ends the current run; see `Run.finish`. Without any run there is nothing to end. */
export async function finish(options?: FinishOptions): Promise<DeliveryReport> {
  return (await knownRun()?.finish(options)) ?? NOTHING;
}

/** The current run's configuration; see `Run.config`. */
export const config: RecordedMap = ofCurrentRun('config');

/** The current run's summary; see `Run.summary`. */
export const summary: RecordedMap = ofCurrentRun('summary');

/** Looks the run up at every access, so that the constant may be imported before there is one. */
function ofCurrentRun(which: 'config' | 'summary'): RecordedMap {
  const map = (): RecordedMap => currentRun()[which];
  return new Proxy({} as RecordedMap, {
    get: (_target, key) => Reflect.get(map(), key),
    set: (_target, key, value) => Reflect.set(map(), key, value),
    has: (_target, key) => Reflect.has(map(), key),
    deleteProperty: (_target, key) => Reflect.deleteProperty(map(), key),
    ownKeys: () => Reflect.ownKeys(map()),
    getOwnPropertyDescriptor: (_target, key) => {
      const found = Reflect.getOwnPropertyDescriptor(map(), key);
      // The target lacks the key, and a proxy must not call such a one fixed.
      return found === undefined ? undefined : { ...found, configurable: true };
    },
  });
}
