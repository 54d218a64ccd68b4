// The logger provider: log records go to the recorder as they are emitted.
import { createRequire } from 'node:module';
import type { LoggerProvider } from '@opentelemetry/api';
import type { LogRecordProcessor, ReadableLogRecord } from '@opentelemetry/sdk-logs';
import { encodeLogRecord } from '../otlp/encode-records.ts';
import type { AnyValue } from '../otlp/model.ts';
import { WireWriter } from '../otlp/wire-writer.ts';
import { Places, toAttributes, unixNano } from './providers-records.ts';
import type { Runtime } from './runtime.ts';

type SdkLogs = typeof import('@opentelemetry/sdk-logs');
type Resources = typeof import('@opentelemetry/resources');

const require = createRequire(import.meta.url);

export function createLoggerProvider(runtime: Runtime): LoggerProvider {
  const sdk = require('@opentelemetry/sdk-logs') as SdkLogs;
  const { emptyResource } = require('@opentelemetry/resources') as Resources;
  return new sdk.LoggerProvider({
    // The recorder writes records under their run's resource; the provider's own goes nowhere.
    resource: emptyResource(),
    processors: [new RecordingLogProcessor(runtime)],
  });
}

class RecordingLogProcessor implements LogRecordProcessor {
  private readonly runtime: Runtime;
  private readonly places: Places;
  private readonly writer = new WireWriter();

  constructor(runtime: Runtime) {
    this.runtime = runtime;
    this.places = new Places(runtime);
  }

  onEmit(record: ReadableLogRecord): void {
    const resource = this.places.resourceOf(record.attributes);
    this.writer.reset();
    encodeLogRecord(this.writer, {
      timeUnixNano: unixNano(record.hrTime),
      observedTimeUnixNano: unixNano(record.hrTimeObserved),
      severityNumber: record.severityNumber ?? 0,
      severityText: record.severityText ?? '',
      eventName: record.eventName ?? '',
      body: (record.body ?? null) as AnyValue,
      attributes: toAttributes(record.attributes),
      droppedAttributesCount: record.droppedAttributesCount,
      traceId: record.spanContext?.traceId ?? '',
      spanId: record.spanContext?.spanId ?? '',
      flags: record.spanContext?.traceFlags ?? 0,
    });
    const scope = this.places.scopeOf(resource, record.instrumentationScope);
    this.runtime.recorder.record('log', scope, this.writer.bytes());
  }

  /** The recorder delivers; there is nothing to wait for here. */
  forceFlush(): Promise<void> {
    return Promise.resolve();
  }

  shutdown(): Promise<void> {
    return Promise.resolve();
  }
}
