// `timeit`: measures each call of a function, whatever kind of function it is, and changes nothing else about it.
import { types } from 'node:util';
import { context } from '@opentelemetry/api';
import { GLOBAL_SCOPE } from '../semconv/names.ts';
import { checkOptions, wrongType } from './checks.ts';
import { currentRun } from './init.ts';
import type { Run } from './run.ts';
import { type Severity, severityNumber } from './text.ts';
import { type TimedCall, Timing } from './timing.ts';

const MAX_NAME_LENGTH = 900;

export interface TimeitOptions {
  /** Severity of the line `<name> took 0.123456s` that each call writes; false for no line. Default: info. */
  readonly level?: Severity | false;
  /** Default: `global`. */
  readonly scope?: string;
}

// The parameters of a function that takes anything are `never` to TypeScript.
type AnyFunction = (this: never, ...parameters: never[]) => unknown;
type Called = (this: unknown, ...parameters: unknown[]) => unknown;
type Generators = Generator<unknown, unknown, unknown>;
type AsyncGenerators = AsyncGenerator<unknown, unknown, unknown>;

/** A standard method decorator, as `@timeit()` makes it. */
export type TimeitDecorator = <F extends AnyFunction>(method: F, where: ClassMethodDecoratorContext) => F;

/**
 * `fn` with a stopwatch: a function of the same type. Each call gives a span `name`, a scalar `timings/<name>` in seconds and a line
 * of text, also when it throws (then with status ERROR and `error.type`); the error goes on as it was. Promises are timed until
 * they settle, generators from the first `next` to the last. A name that is called more than 1,000 times and
 * mostly takes less than 50 µs becomes a histogram `timings/<name>/hist` from then on.
 *
 * Throws a TypeError when the name is no string or `fn` no function.
 *
 * @example
 * const rollout = timeit('rollout', async (env) => { … });
 * await rollout(env);
 */
export function timeit<F extends AnyFunction>(name: string, fn: F, options?: TimeitOptions): F;
/**
 * The same as a decorator of methods, static and private ones too: `@timeit()` names the span after the method,
 * `@timeit('name')` as it says.
 */
export function timeit(name?: string, options?: TimeitOptions): TimeitDecorator;
export function timeit(
  name?: string,
  second?: AnyFunction | TimeitOptions,
  third?: TimeitOptions,
): AnyFunction | TimeitDecorator {
  if (name !== undefined && (typeof name !== 'string' || name === '' || name.length > MAX_NAME_LENGTH))
    throw wrongType(
      'timeit(name)',
      `a string of 1 to ${MAX_NAME_LENGTH} characters (decorators are written @timeit())`,
      name,
    );
  if (typeof second === 'function') {
    if (name === undefined) throw wrongType('timeit(name, fn)', 'called with a name', name);
    return wrap(name, second, third);
  }
  if (third !== undefined || (second !== undefined && (typeof second !== 'object' || second === null)))
    throw wrongType('timeit(name, fn)', 'a function', second);
  const options = second;
  checkTimeit(options);
  return <F extends AnyFunction>(method: F, where: ClassMethodDecoratorContext): F => {
    if (where?.kind !== 'method' || typeof method !== 'function')
      throw new TypeError(`kymo: @timeit() decorates methods, not a ${where?.kind ?? typeof method}`);
    return wrap(name ?? String(where.name), method, options);
  };
}

function wrap<F extends AnyFunction>(name: string, fn: F, options: TimeitOptions | undefined): F {
  const settled = checkTimeit(options);
  const called = fn as unknown as Called;
  const lazy = types.isGeneratorFunction(fn);
  let run: Run | undefined;
  let timing: Timing | undefined;
  const timed = function (this: unknown, ...parameters: unknown[]): unknown {
    const current = currentRun();
    if (!current.enabled || current.ended) return called.apply(this, parameters);
    if (timing === undefined || run !== current) {
      run = current;
      timing = timingOf(current, name, settled);
    }
    // A generator function runs no line before the first `next`: its time begins there.
    if (lazy)
      return timeGenerator(called.apply(this, parameters) as Generators | AsyncGenerators, timing, undefined);
    const call = timing.begin();
    let result: unknown;
    try {
      result =
        call.context === undefined
          ? called.apply(this, parameters)
          : context.with(
              call.context,
              called as (...given: unknown[]) => unknown,
              this as undefined,
              ...parameters,
            );
    } catch (error) {
      call.end({ error });
      throw error;
    }
    if (typeof result === 'object' && result !== null) {
      if (types.isPromise(result)) return timePromise(result, call);
      if (types.isGeneratorObject(result))
        return timeGenerator(result as unknown as Generators | AsyncGenerators, timing, call);
    }
    call.end();
    return result;
  };
  Object.defineProperty(timed, 'name', { value: fn.name, configurable: true });
  Object.defineProperty(timed, 'length', { value: fn.length, configurable: true });
  return timed as unknown as F;
}

function timePromise(promise: Promise<unknown>, call: TimedCall): Promise<unknown> {
  return promise.then(
    value => {
      call.end();
      return value;
    },
    (error: unknown) => {
      call.end({ error });
      throw error;
    },
  );
}

function timeGenerator(
  inner: Generators | AsyncGenerators,
  timing: Timing,
  call: TimedCall | undefined,
): unknown {
  return Symbol.asyncIterator in inner
    ? driveAsync(inner as AsyncGenerators, timing, call)
    : drive(inner as Generators, timing, call);
}

/** Passes everything on to `inner`, inside the call's context, and sees how it ends. */
function* drive(inner: Generators, timing: Timing, started: TimedCall | undefined): Generators {
  const call = started ?? timing.begin();
  let thrown: { error: unknown } | undefined;
  let open = true;
  try {
    let step = inside(call, () => inner.next());
    while (!step.done) {
      let sent: unknown;
      let failure: { error: unknown } | undefined;
      try {
        sent = yield step.value;
      } catch (error) {
        failure = { error };
      }
      step = inside(call, () => (failure === undefined ? inner.next(sent) : inner.throw(failure.error)));
    }
    open = false;
    return step.value;
  } catch (error) {
    open = false;
    thrown = { error };
    throw error;
  } finally {
    // The consumer has left its loop early: `inner` cleans up now.
    if (open) inside(call, () => inner.return(undefined));
    call.end(thrown);
  }
}

async function* driveAsync(
  inner: AsyncGenerators,
  timing: Timing,
  started: TimedCall | undefined,
): AsyncGenerators {
  const call = started ?? timing.begin();
  let thrown: { error: unknown } | undefined;
  let open = true;
  try {
    let step = await inside(call, () => inner.next());
    while (!step.done) {
      let sent: unknown;
      let failure: { error: unknown } | undefined;
      try {
        sent = yield step.value;
      } catch (error) {
        failure = { error };
      }
      step = await inside(call, () =>
        failure === undefined ? inner.next(sent) : inner.throw(failure.error),
      );
    }
    open = false;
    return step.value;
  } catch (error) {
    open = false;
    thrown = { error };
    throw error;
  } finally {
    if (open) await inside(call, () => inner.return(undefined));
    call.end(thrown);
  }
}

function inside<T>(call: TimedCall, action: () => T): T {
  return call.context === undefined ? action() : context.with(call.context, action);
}

interface Settled {
  readonly scope: string;
  readonly severity: number;
}

function checkTimeit(options: TimeitOptions | undefined): Settled {
  if (options === undefined)
    return { scope: GLOBAL_SCOPE, severity: severityNumber('timeit({level})', 'info') };
  checkOptions('timeit', options, ['level', 'scope']);
  const { level = 'info', scope = GLOBAL_SCOPE } = options;
  if (typeof scope !== 'string' || scope === '')
    throw wrongType('timeit({scope})', 'a string with something in it', scope);
  return { scope, severity: level === false ? Number.NaN : severityNumber('timeit({level})', level) };
}

/** A name means one thing in a run, wherever it is wrapped: it is counted together. */
const timings = new WeakMap<Run, Map<string, Timing>>();

function timingOf(run: Run, name: string, settled: Settled): Timing {
  let ofRun = timings.get(run);
  if (ofRun === undefined) {
    ofRun = new Map();
    timings.set(run, ofRun);
  }
  const key = `${settled.scope}\0${settled.severity}\0${name}`;
  let timing = ofRun.get(key);
  if (timing === undefined) {
    timing = new Timing(run, name, settled);
    ofRun.set(key, timing);
  }
  return timing;
}
