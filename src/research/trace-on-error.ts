// `traceOnError`: a function that fails says with what it was called, and fails exactly as before.
import { types } from 'node:util';
import type { Attributes } from '../otlp/model.ts';
import {
  CALL_ARGUMENTS,
  CODE_FUNCTION_NAME,
  EVENT_EXCEPTION,
  EXCEPTION_STACKTRACE,
  GLOBAL_SCOPE,
  STEP,
} from '../semconv/names.ts';
import { describeCall } from './call-state.ts';
import { checkOptions, wrongType } from './checks.ts';
import { tell } from './complaints.ts';
import { currentRun } from './init.ts';
import { cutText } from './plain.ts';
import { exceptionAttributes, safeString } from './run-events.ts';

const MAX_NAME_LENGTH = 900;
/** Errors that wrap others are followed this far. */
const MAX_CAUSES = 8;
const LOGGER = 'kymo.trace_on_error';

export interface TraceOnErrorOptions {
  /** Default: `global`. */
  readonly scope?: string;
}

// The parameters of a function that takes anything are `never` to TypeScript.
type AnyFunction = (this: never, ...parameters: never[]) => unknown;
type Called = (this: unknown, ...parameters: unknown[]) => unknown;

/** A standard decorator of methods, getters and setters, as `@traceOnError()` makes it. */
export type TraceOnErrorDecorator = <F extends AnyFunction>(
  method: F,
  where: ClassMethodDecoratorContext | ClassGetterDecoratorContext | ClassSetterDecoratorContext,
) => F;

/**
 * `fn` with a witness: a function of the same type. When a call throws, or the promise or generator that it returned fails, an
 * `exception` event records the error with its stack and causes, and what the call was given: arguments by name and the fields of
 * `this`. Whatever is called `*key*`, `*token*`, `*secret*` or `*password*` is redacted, large values are cut, tensors and long typed
 * arrays stand as their type and shape. Then the very same error goes on. A call that does not fail costs nothing to speak of.
 *
 * Throws a TypeError when `fn` is no function or the name no string.
 *
 * @example
 * const load = traceOnError(async (path: string) => { … });
 * await load('data.bin');
 */
export function traceOnError<F extends AnyFunction>(fn: F, options?: TraceOnErrorOptions): F;
/** The same under a name of the caller's. */
export function traceOnError<F extends AnyFunction>(name: string, fn: F, options?: TraceOnErrorOptions): F;
/** The same as a decorator, of static and private methods too: `@traceOnError()` names the event after the method. */
export function traceOnError(name?: string, options?: TraceOnErrorOptions): TraceOnErrorDecorator;
export function traceOnError(options: TraceOnErrorOptions): TraceOnErrorDecorator;
export function traceOnError(
  first?: string | AnyFunction | TraceOnErrorOptions,
  second?: AnyFunction | TraceOnErrorOptions,
  third?: TraceOnErrorOptions,
): AnyFunction | TraceOnErrorDecorator {
  if (typeof first === 'function')
    return wrap(functionName(first), first, checkTrace(second as TraceOnErrorOptions));
  const name = typeof first === 'object' && first !== null ? undefined : first;
  if (name !== undefined && (typeof name !== 'string' || name === '' || name.length > MAX_NAME_LENGTH))
    throw wrongType(
      'traceOnError(name)',
      `a string of 1 to ${MAX_NAME_LENGTH} characters, or a function (decorators are written @traceOnError())`,
      name,
    );
  if (typeof second === 'function') return wrap(name ?? functionName(second), second, checkTrace(third));
  if (third !== undefined || (second !== undefined && (typeof second !== 'object' || second === null)))
    throw wrongType('traceOnError(name, fn)', 'a function', second);
  const scope = checkTrace(
    name === undefined ? ((first as TraceOnErrorOptions | undefined) ?? second) : second,
  );
  return <F extends AnyFunction>(method: F, where: Parameters<TraceOnErrorDecorator>[1]): F => {
    const kind: string | undefined = where?.kind;
    if ((kind !== 'method' && kind !== 'getter' && kind !== 'setter') || typeof method !== 'function')
      throw new TypeError(
        `kymo: @traceOnError() decorates methods, getters and setters, not a ${kind ?? typeof method}`,
      );
    return wrap(name ?? String(where.name), method, scope);
  };
}

function wrap<F extends AnyFunction>(name: string, fn: F, scope: string): F {
  const called = fn as unknown as Called;
  const traced = function (this: unknown, ...parameters: unknown[]): unknown {
    const record = (error: unknown): void => recordFailure(name, scope, error, called, this, parameters);
    let result: unknown;
    try {
      result = called.apply(this, parameters);
    } catch (error) {
      record(error);
      throw error;
    }
    if (typeof result !== 'object' || result === null) return result;
    if (types.isPromise(result))
      return result.catch((error: unknown) => {
        record(error);
        throw error;
      });
    if (types.isGeneratorObject(result))
      return Symbol.asyncIterator in result
        ? watchAsync(result as unknown as AsyncGenerator<unknown, unknown, unknown>, record)
        : watch(result as unknown as Generator<unknown, unknown, unknown>, record);
    return result;
  };
  Object.defineProperty(traced, 'name', { value: fn.name, configurable: true });
  Object.defineProperty(traced, 'length', { value: fn.length, configurable: true });
  return traced as unknown as F;
}

function* watch(
  inner: Generator<unknown, unknown, unknown>,
  record: (error: unknown) => void,
): Generator<unknown, unknown, unknown> {
  try {
    return yield* inner;
  } catch (error) {
    record(error);
    throw error;
  }
}

async function* watchAsync(
  inner: AsyncGenerator<unknown, unknown, unknown>,
  record: (error: unknown) => void,
): AsyncGenerator<unknown, unknown, unknown> {
  try {
    return yield* inner;
  } catch (error) {
    record(error);
    throw error;
  }
}

/** Describing arguments may run the caller's getters, and those may be traced themselves. */
let describing = false;

/** Never throws: the caller's error is the one that counts. */
function recordFailure(
  name: string,
  scope: string,
  error: unknown,
  fn: object,
  self: unknown,
  parameters: readonly unknown[],
): void {
  if (describing) return;
  describing = true;
  try {
    const run = currentRun();
    if (!run.enabled) return;
    const attributes: Attributes = { ...exceptionAttributes(error), [CODE_FUNCTION_NAME]: name };
    const stack = stackWithCauses(error);
    if (stack !== undefined) attributes[EXCEPTION_STACKTRACE] = stack;
    attributes[CALL_ARGUMENTS] = describeCall(fn, self, parameters);
    const step = run.steps(scope).current();
    if (!Number.isNaN(step)) attributes[STEP] = step;
    const message = error instanceof Error ? safeString(error.message) : safeString(error);
    run.writer(LOGGER, scope).event({
      name: EVENT_EXCEPTION,
      attributes,
      failed: true,
      text: cutText(`${name} failed: ${message}`),
    });
  } catch (problem) {
    tell(`traceOnError could not describe the failure of ${name}: ${safeString(problem)}`);
  } finally {
    describing = false;
  }
}

function stackWithCauses(error: unknown): string | undefined {
  const stacks: string[] = [];
  const seen = new Set<unknown>();
  for (let at = error; at instanceof Error && !seen.has(at) && seen.size < MAX_CAUSES; at = at.cause) {
    seen.add(at);
    if (typeof at.stack === 'string') stacks.push(at.stack);
  }
  return stacks.length === 0 ? undefined : cutText(stacks.join('\nCaused by: '));
}

function functionName(fn: AnyFunction): string {
  return fn.name === '' ? 'anonymous' : fn.name.slice(0, MAX_NAME_LENGTH);
}

function checkTrace(options: TraceOnErrorOptions | undefined): string {
  if (options === undefined) return GLOBAL_SCOPE;
  checkOptions('traceOnError', options, ['scope']);
  const { scope = GLOBAL_SCOPE } = options;
  if (typeof scope !== 'string' || scope === '')
    throw wrongType('traceOnError({scope})', 'a string with something in it', scope);
  return scope;
}
