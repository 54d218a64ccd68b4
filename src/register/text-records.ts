// Lines of text as log records, encoded here: OpenTelemetry's log SDK is not loaded for what a program prints.
import { context, trace } from '@opentelemetry/api';
import { encodeLogRecord } from '../otlp/encode-records.ts';
import { WireWriter } from '../otlp/wire-writer.ts';
import { cutText } from '../research/plain.ts';
import type { Run } from '../research/run.ts';
import type { ScopeId } from '../sdk/recorder.ts';
import { GLOBAL_SCOPE } from '../semconv/names.ts';

/** Longest text of one record; what is printed is whole. */
const MAX_TEXT = 16_384;

export type Severity = readonly [number: number, text: string];

export class TextRecords {
  private readonly logger: string;
  private readonly writer = new WireWriter();
  private run: Run | undefined;
  private scope: ScopeId | undefined;

  /** @param logger the instrumentation scope of the records */
  constructor(logger: string) {
    this.logger = logger;
  }

  add(run: Run, [severityNumber, severityText]: Severity, text: string): void {
    const { recorder } = run.runtime;
    if (this.run !== run) {
      this.run = run;
      this.scope = run.scopeId(this.logger, GLOBAL_SCOPE);
    }
    const time = recorder.now();
    const span = trace.getSpanContext(context.active());
    this.writer.reset();
    encodeLogRecord(this.writer, {
      timeUnixNano: time,
      observedTimeUnixNano: time,
      severityNumber,
      severityText,
      eventName: '',
      body: cutText(text, MAX_TEXT),
      attributes: {},
      traceId: span?.traceId ?? '',
      spanId: span?.spanId ?? '',
      flags: span?.traceFlags ?? 0,
    });
    recorder.record('log', this.scope!, this.writer.bytes());
  }
}
