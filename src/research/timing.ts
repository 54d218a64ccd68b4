// What becomes of the timed calls of one name in one run: a scalar, a span and a line each, or a histogram when they are short and many.
import { type Context, context, type Span, SpanStatusCode, type Tracer, trace } from '@opentelemetry/api';
import { spanRef } from '../sdk/providers-active-span.ts';
import { ERROR_TYPE, GLOBAL_SCOPE, RUN_ID, SCOPE, TIMINGS_PREFIX } from '../semconv/names.ts';
import { emptyMap } from './plain.ts';
import type { RowWriter } from './row-writer.ts';
import type { Run } from './run.ts';
import { errorType, safeString } from './run-events.ts';
import type { StepCounter } from './steps.ts';
import { TextOutput } from './text.ts';

/** A name called at least this often … */
const MANY_CALLS = 1_000;
/** … with a median below this costs more to record call by call than to run. */
const SHORT_MS = 0.05;
/** A histogram point goes out after this many calls, or once a second. */
const CALLS_PER_POINT = 100_000;
const POINT_INTERVAL_MS = 1_000;
const LOGGER = 'kymo.timeit';

/** Seconds: 1, 2 and 5 in each decade from 100 ns to 10 s. */
const BOUNDS: readonly number[] = Array.from({ length: 8 }, (_, decade) =>
  [1, 2, 5].map(digit => Number(`${digit}e${decade - 7}`)),
).flat();

export interface TimingOptions {
  readonly scope: string;
  /** The severity of the line that each call writes, and whether it is written at all (NaN: no). */
  readonly severity: number;
}

/** One call under way. `context` is what it must run in; undefined for calls that have no span. */
export interface TimedCall {
  readonly context: Context | undefined;
  /** @param thrown wrapped, since anything can be thrown, undefined too */
  end(thrown?: { readonly error: unknown }): void;
}

export class Timing {
  private readonly run: Run;
  private readonly name: string;
  private readonly scope: string;
  private readonly severity: number;
  private readonly writer: RowWriter;
  private readonly steps: StepCounter;
  private readonly scalarName: string;
  private tracer: Tracer | undefined;
  private text: TextOutput | undefined;
  private calls = 0;
  private short = 0;
  private buckets: Buckets | undefined;

  constructor(run: Run, name: string, options: TimingOptions) {
    this.run = run;
    this.name = name;
    this.scope = options.scope;
    this.severity = options.severity;
    this.writer = run.writer(LOGGER, options.scope);
    this.steps = run.steps(options.scope);
    this.scalarName = `${TIMINGS_PREFIX}${name}`;
  }

  begin(): TimedCall {
    if (this.buckets !== undefined) return new ShortCall(this, performance.now());
    const span = this.startSpan(undefined);
    return new LongCall(this, span, trace.setSpan(context.active(), span), performance.now());
  }

  endShort(startMs: number, thrown: { readonly error: unknown } | undefined): void {
    const nowMs = performance.now();
    if (this.buckets!.add((nowMs - startMs) / 1e3, nowMs)) this.writeBuckets();
    if (thrown === undefined) return;
    const span = this.startSpan(startMs);
    fail(span, thrown.error);
    span.end(nowMs);
  }

  endLong(
    span: Span,
    around: Context,
    startMs: number,
    thrown: { readonly error: unknown } | undefined,
  ): void {
    const nowMs = performance.now();
    const durationMs = nowMs - startMs;
    const seconds = durationMs / 1e3;
    this.writer.point(
      this.scalarName,
      seconds,
      this.steps.current(),
      spanRef(this.run.runtime.recorder, span),
    );
    if (!Number.isNaN(this.severity)) {
      this.text ??= new TextOutput(this.run, LOGGER, this.scope);
      const fields = thrown === undefined ? undefined : { [ERROR_TYPE]: errorType(thrown.error) };
      const line = `${this.name} took ${seconds.toFixed(6)}s`;
      this.text.emit(this.severity, line, emptyMap(), fields, undefined, around);
    }
    if (thrown !== undefined) fail(span, thrown.error);
    // The SDK takes both times for performance.now's; what was recorded meanwhile is not part of the call.
    span.end(nowMs);
    this.calls++;
    if (durationMs < SHORT_MS) this.short++;
    if (this.calls > MANY_CALLS && this.short * 2 > this.calls) {
      this.buckets = new Buckets();
      this.run.beforeFlush(() => this.writeBuckets());
    }
  }

  private writeBuckets(): void {
    const buckets = this.buckets;
    if (buckets === undefined || buckets.count === 0) return;
    this.writer.buckets(`${this.scalarName}/hist`, this.steps.current(), buckets);
    this.buckets = new Buckets();
  }

  private startSpan(startTime: number | undefined): Span {
    const { run } = this;
    this.tracer ??= run.runtime.tracerProvider().getTracer(LOGGER, run.runtime.version);
    const attributes: Record<string, string> = {};
    if (this.scope !== GLOBAL_SCOPE) attributes[SCOPE] = this.scope;
    if (run.runtime.currentRun() !== run) attributes[RUN_ID] = run.id;
    return this.tracer.startSpan(
      this.name,
      startTime === undefined ? { attributes } : { attributes, startTime },
    );
  }
}

class LongCall implements TimedCall {
  readonly context: Context;
  private readonly timing: Timing;
  private readonly span: Span;
  private readonly startMs: number;

  constructor(timing: Timing, span: Span, around: Context, startMs: number) {
    this.timing = timing;
    this.span = span;
    this.context = around;
    this.startMs = startMs;
  }

  end(thrown?: { readonly error: unknown }): void {
    this.timing.endLong(this.span, this.context, this.startMs, thrown);
  }
}

class ShortCall implements TimedCall {
  readonly context = undefined;
  private readonly timing: Timing;
  private readonly startMs: number;

  constructor(timing: Timing, startMs: number) {
    this.timing = timing;
    this.startMs = startMs;
  }

  end(thrown?: { readonly error: unknown }): void {
    this.timing.endShort(this.startMs, thrown);
  }
}

/** A histogram point being filled. */
class Buckets {
  readonly bounds = BOUNDS;
  readonly counts = new Float64Array(BOUNDS.length + 1);
  count = 0;
  sum = 0;
  min = Number.POSITIVE_INFINITY;
  max = Number.NEGATIVE_INFINITY;
  private sinceMs = 0;

  /** True when it is time to write the point. */
  add(seconds: number, nowMs: number): boolean {
    if (this.count === 0) this.sinceMs = nowMs;
    let bucket = 0;
    while (bucket < BOUNDS.length && seconds > BOUNDS[bucket]!) bucket++;
    this.counts[bucket]!++;
    this.count++;
    this.sum += seconds;
    if (seconds < this.min) this.min = seconds;
    if (seconds > this.max) this.max = seconds;
    return this.count >= CALLS_PER_POINT || nowMs - this.sinceMs > POINT_INTERVAL_MS;
  }
}

function fail(span: Span, error: unknown): void {
  span.setAttribute(ERROR_TYPE, errorType(error));
  span.setStatus({
    code: SpanStatusCode.ERROR,
    message: error instanceof Error ? safeString(error.message) : safeString(error),
  });
  span.recordException(error instanceof Error ? error : safeString(error));
}
