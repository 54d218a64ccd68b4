// Which span is open around a call, as the recorder knows it. Costs one comparison while no span is open.
import { type Span, trace } from '@opentelemetry/api';
import type { Recorder, SpanRef } from './recorder.ts';

/** Shared by duplicate installs of one process, like the runtime. */
const SPANS = Symbol.for('kymo.spans.v1');

interface OpenSpans {
  /** Spans open in this process, and 1 more when spans may be open that Kymo does not see. */
  open: number;
  /** Interned when the first measurement is made in a span; most spans hold none. */
  readonly refs: WeakMap<Span, SpanRef>;
  last: Span | undefined;
  lastRef: SpanRef;
}

const holder = globalThis as { [SPANS]?: OpenSpans };
holder[SPANS] ??= { open: 0, refs: new WeakMap(), last: undefined, lastRef: 0 };
/** `open > 0` is worth asking before `activeSpan`: it spares the caller AsyncLocalStorage. */
export const openSpans: OpenSpans = holder[SPANS];

/** The recorder's reference to the span that is active in this asynchronous context; 0 for none. */
export function activeSpan(recorder: Recorder): SpanRef {
  const span = trace.getActiveSpan();
  return span === undefined ? 0 : spanRef(recorder, span);
}

export function spanRef(recorder: Recorder, span: Span): SpanRef {
  if (span === openSpans.last) return openSpans.lastRef;
  let ref = openSpans.refs.get(span);
  if (ref === undefined) {
    const context = span.spanContext();
    ref = trace.isSpanContextValid(context) ? recorder.defineSpan(context.traceId, context.spanId) : 0;
    // 0 is what a disabled run's recorder gives out: another run in this process may want the span.
    if (ref === 0) return 0;
    openSpans.refs.set(span, ref);
  }
  openSpans.last = span;
  openSpans.lastRef = ref;
  return ref;
}

export function spanStarted(): void {
  openSpans.open++;
}

export function spanEnded(span: object): void {
  openSpans.open--;
  if (openSpans.last === span) openSpans.last = undefined;
}
