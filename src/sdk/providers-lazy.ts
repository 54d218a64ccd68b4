// Context manager and propagator that load OpenTelemetry's own at first use: most runs never need them.
import { createRequire } from 'node:module';
import { type Context, type ContextManager, ROOT_CONTEXT, type TextMapPropagator } from '@opentelemetry/api';

type ContextHooks = typeof import('@opentelemetry/context-async-hooks');
type Core = typeof import('@opentelemetry/core');

const require = createRequire(import.meta.url);

/** Until something runs in a context of its own, every place is in the root context, or under the span that a parent process has named. */
export class LazyContextManager implements ContextManager {
  readonly #outermost: Context;
  #loaded: ContextManager | undefined;

  constructor(outermost: Context = ROOT_CONTEXT) {
    this.#outermost = outermost;
  }

  active(): Context {
    const active = this.#loaded === undefined ? ROOT_CONTEXT : this.#loaded.active();
    return active === ROOT_CONTEXT ? this.#outermost : active;
  }

  with<A extends unknown[], F extends (...args: A) => ReturnType<F>>(
    context: Context,
    fn: F,
    thisArg?: ThisParameterType<F>,
    ...args: A
  ): ReturnType<F> {
    return this.#manager().with(context, fn, thisArg, ...args);
  }

  bind<T>(context: Context, target: T): T {
    return this.#manager().bind(context, target);
  }

  attach(
    ...parameters: Parameters<NonNullable<ContextManager['attach']>>
  ): ReturnType<NonNullable<ContextManager['attach']>> {
    return this.#manager().attach!(...parameters);
  }

  enable(): this {
    return this;
  }

  disable(): this {
    this.#loaded?.disable();
    return this;
  }

  #manager(): ContextManager {
    if (this.#loaded === undefined) {
      const hooks = require('@opentelemetry/context-async-hooks') as ContextHooks;
      this.#loaded = new hooks.AsyncLocalStorageContextManager().enable();
    }
    return this.#loaded;
  }
}

/** `traceparent`, `tracestate` and `baggage`. */
export class LazyPropagator implements TextMapPropagator {
  #loaded: TextMapPropagator | undefined;

  inject(...parameters: Parameters<TextMapPropagator['inject']>): void {
    this.#propagator().inject(...parameters);
  }

  extract(...parameters: Parameters<TextMapPropagator['extract']>): ReturnType<TextMapPropagator['extract']> {
    return this.#propagator().extract(...parameters);
  }

  fields(): string[] {
    return this.#propagator().fields();
  }

  #propagator(): TextMapPropagator {
    if (this.#loaded === undefined) {
      const core = require('@opentelemetry/core') as Core;
      this.#loaded = new core.CompositePropagator({
        propagators: [new core.W3CTraceContextPropagator(), new core.W3CBaggagePropagator()],
      });
    }
    return this.#loaded;
  }
}
