// The seven calls of PufferLib's logging guide over a run, for code that is being ported: nothing here that a run cannot do itself.
import { kindOf, wrongType } from './checks.ts';
import { tell } from './complaints.ts';
import type { InitOptions } from './identity.ts';
import { init } from './init.ts';
import { Run } from './run.ts';

/** Steps are what the guide calls u64: whole numbers, also as bigints. */
export type Step = number | bigint;
export type HyperparameterValue = number | bigint | string | boolean;

/** A place that metrics go to. */
export interface MetricLogger {
  logScalar(tag: string, value: number, step: Step): void;
  /** Several values of one moment: `tag/name` each. */
  logScalars(
    tag: string,
    values: Readonly<Record<string, number>> | ReadonlyMap<string, number>,
    step: Step,
  ): void;
  logHistogram(tag: string, values: ArrayLike<number>, step: Step): void;
  /** Pixels, row by row: 1, 3 or 4 bytes each, as many as `image` has for `width * height`. */
  logImage(
    tag: string,
    image: Uint8Array | Uint8ClampedArray,
    width: number,
    height: number,
    step: Step,
  ): void;
  /** Once, at the start. */
  logHyperparameters(
    values: Readonly<Record<string, HyperparameterValue>> | ReadonlyMap<string, HyperparameterValue>,
  ): void;
  /** Returns when everything so far is delivered or kept, within 10 s. */
  flush(): void;
  close(): void;
}

/**
 * Writes to a run: one that is there, or one that it starts (`new RunMetricLogger({project: 'puffer'})`) and finishes with `close`. A run that was
 * given is only flushed then. What is logged after `close` is dropped and told once.
 */
export class RunMetricLogger implements MetricLogger {
  readonly run: Run;
  readonly #own: boolean;
  #closed = false;
  #told = false;

  constructor(run: Run | InitOptions = {}) {
    this.#own = !(run instanceof Run);
    this.run = run instanceof Run ? run : init(run);
  }

  logScalar(tag: string, value: number, step: Step): void {
    if (this.#isOpen()) this.run.scalar(tag, value, { step: stepOf(step) });
  }

  logScalars(
    tag: string,
    values: Readonly<Record<string, number>> | ReadonlyMap<string, number>,
    step: Step,
  ): void {
    if (!this.#isOpen()) return;
    const row: Record<string, number> = Object.create(null);
    for (const [name, value] of entriesOf('logScalars(values)', values)) row[`${tag}/${name}`] = value;
    this.run.log(row, { step: stepOf(step) });
  }

  logHistogram(tag: string, values: ArrayLike<number>, step: Step): void {
    if (this.#isOpen()) this.run.histogram(tag, values, { step: stepOf(step) });
  }

  logImage(
    tag: string,
    image: Uint8Array | Uint8ClampedArray,
    width: number,
    height: number,
    step: Step,
  ): void {
    if (this.#isOpen()) this.run.image(tag, image, { width, height, step: stepOf(step) });
  }

  logHyperparameters(
    values: Readonly<Record<string, HyperparameterValue>> | ReadonlyMap<string, HyperparameterValue>,
  ): void {
    if (this.#isOpen())
      this.run.config.update(Object.fromEntries(entriesOf('logHyperparameters(values)', values)));
  }

  flush(): void {
    if (this.#isOpen()) this.run.flushSync();
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    // Delivery goes on in the background, and is waited for when the process ends.
    if (this.#own) this.run[Symbol.dispose]();
    else this.run.flushSync();
  }

  #isOpen(): boolean {
    if (!this.#closed) return true;
    if (!this.#told) tell(`something was logged to a closed RunMetricLogger of ${this.run.id}; dropped`);
    this.#told = true;
    return false;
  }
}

/** Gives every call to each of its loggers, in the order in which they were added. An error of one is told once per logger and call. */
export class MultiLogger implements MetricLogger {
  readonly #loggers: MetricLogger[] = [];
  readonly #told = new Map<MetricLogger, Set<string>>();

  constructor(...loggers: readonly MetricLogger[]) {
    for (const logger of loggers) this.add(logger);
  }

  add(logger: MetricLogger): this {
    if (typeof logger?.logScalar !== 'function' || typeof logger.close !== 'function')
      throw wrongType('MultiLogger.add(logger)', 'a logger with logScalar() and the other calls', logger);
    this.#loggers.push(logger);
    return this;
  }

  logScalar(tag: string, value: number, step: Step): void {
    this.#all('logScalar', logger => logger.logScalar(tag, value, step));
  }
  logScalars(
    tag: string,
    values: Readonly<Record<string, number>> | ReadonlyMap<string, number>,
    step: Step,
  ): void {
    this.#all('logScalars', logger => logger.logScalars(tag, values, step));
  }
  logHistogram(tag: string, values: ArrayLike<number>, step: Step): void {
    this.#all('logHistogram', logger => logger.logHistogram(tag, values, step));
  }
  logImage(
    tag: string,
    image: Uint8Array | Uint8ClampedArray,
    width: number,
    height: number,
    step: Step,
  ): void {
    this.#all('logImage', logger => logger.logImage(tag, image, width, height, step));
  }
  logHyperparameters(
    values: Readonly<Record<string, HyperparameterValue>> | ReadonlyMap<string, HyperparameterValue>,
  ): void {
    this.#all('logHyperparameters', logger => logger.logHyperparameters(values));
  }
  flush(): void {
    this.#all('flush', logger => logger.flush());
  }
  close(): void {
    this.#all('close', logger => logger.close());
  }

  #all(call: string, action: (logger: MetricLogger) => void): void {
    for (const logger of this.#loggers) {
      try {
        action(logger);
      } catch (error) {
        this.#tell(logger, call, error);
      }
    }
  }

  #tell(logger: MetricLogger, call: string, error: unknown): void {
    const told = this.#told.get(logger) ?? new Set();
    this.#told.set(logger, told);
    if (told.has(call)) return;
    told.add(call);
    const reason = error instanceof Error ? error.message : kindOf(error);
    // An object literal has the name Object, which says nothing, and a proxy or a class without a name has none.
    const named = kindOf(logger);
    const subject = named === 'object' ? `logger ${this.#loggers.indexOf(logger) + 1}` : named;
    tell(`${subject}.${call}() throws; the others were called (told once): ${reason}`);
  }
}

/** What is no step is the run's to refuse. */
function stepOf(step: Step): number {
  return typeof step === 'bigint' ? Number(step) : step;
}

function entriesOf<T>(
  argument: string,
  values: Readonly<Record<string, T>> | ReadonlyMap<string, T>,
): (readonly [string, T])[] {
  if (typeof values !== 'object' || values === null || Array.isArray(values))
    throw wrongType(argument, 'an object or a Map', values);
  return values instanceof Map
    ? [...(values as ReadonlyMap<string, T>)]
    : Object.entries(values as Record<string, T>);
}
