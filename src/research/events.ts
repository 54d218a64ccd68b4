// One event as a log record: a name that never varies, its data in attributes, the span that is open around the call.
import { isSpanContextValid, trace } from '@opentelemetry/api';
import { encodeLogRecord } from '../otlp/encode-records.ts';
import type { Attributes } from '../otlp/model.ts';
import { WireWriter } from '../otlp/wire-writer.ts';
import { openSpans } from '../sdk/providers-active-span.ts';
import type { Recorder, ScopeId } from '../sdk/recorder.ts';

const INFO = { number: 9, text: 'INFO' } as const;
const ERROR = { number: 17, text: 'ERROR' } as const;

export function severityOf(event: EventInput): { readonly number: number; readonly text: string } {
  return event.failed ? ERROR : INFO;
}

export interface EventInput {
  readonly name: string;
  readonly attributes: Attributes;
  /** Something has gone wrong: severity ERROR instead of INFO. */
  readonly failed?: boolean;
  /** The event as a line for people; the data is in the attributes. */
  readonly text?: string;
}

/** Encoding runs none of the caller's code, so one buffer serves all. */
const writer = new WireWriter();

/** Returns the record's time. */
export function recordEvent(recorder: Recorder, scope: ScopeId, event: EventInput): bigint {
  const time = recorder.now();
  const span = openSpans.open > 0 ? trace.getActiveSpan()?.spanContext() : undefined;
  const inSpan = span !== undefined && isSpanContextValid(span);
  writer.reset();
  encodeLogRecord(writer, {
    timeUnixNano: time,
    observedTimeUnixNano: time,
    severityNumber: severityOf(event).number,
    severityText: severityOf(event).text,
    eventName: event.name,
    body: event.text ?? null,
    attributes: event.attributes,
    traceId: inSpan ? span.traceId : '',
    spanId: inSpan ? span.spanId : '',
    flags: inSpan ? span.traceFlags : 0,
  });
  recorder.record('log', scope, writer.bytes());
  return time;
}
