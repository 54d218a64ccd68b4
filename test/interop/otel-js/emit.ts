// Sends traces, metrics and logs with the stock OpenTelemetry SDK for JavaScript and prints as JSON what it sent.
// usage: emit.ts http-json|http-proto|grpc ENDPOINT RUN_ID
import { context, SeverityNumber, SpanStatusCode, trace } from '@opentelemetry/api';
import { resourceFromAttributes } from '@opentelemetry/resources';
import { BatchLogRecordProcessor, LoggerProvider, type LogRecordExporter } from '@opentelemetry/sdk-logs';
import {
  AggregationType,
  MeterProvider,
  PeriodicExportingMetricReader,
  type PushMetricExporter,
} from '@opentelemetry/sdk-metrics';
import { BatchSpanProcessor, type SpanExporter, TracerProvider } from '@opentelemetry/sdk-trace';
import type { Sent } from '../sent.ts';

const SPANS = 20;
const RECORDS = 40;
const ROWS = 30;
const NEVER_MS = 3_600_000; // metrics are collected once, at shutdown

const [protocol, endpoint, runId] = process.argv.slice(2) as [string, string, string];
const [spanExporter, metricExporter, logExporter] = await exporters();
const resource = resourceFromAttributes({
  'service.name': 'interop',
  'service.instance.id': 'js-1',
  'kymo.run.id': runId,
});
const tracers = new TracerProvider({
  resource,
  spanProcessors: [new BatchSpanProcessor({ exporter: spanExporter })],
});
const meters = new MeterProvider({
  resource,
  readers: [new PeriodicExportingMetricReader({ exporter: metricExporter, exportIntervalMillis: NEVER_MS })],
  views: [
    { instrumentName: 'latency/exponential', aggregation: { type: AggregationType.EXPONENTIAL_HISTOGRAM } },
  ],
});
const loggers = new LoggerProvider({
  resource,
  processors: [new BatchLogRecordProcessor({ exporter: logExporter })],
});
const sent: Sent = { count: String(2 ** 53 - 1), spans: [], logs: [], rows: [], scalars: [], histograms: [] };

sendSpansAndRecords();
sendRows();
sendMetrics();
for (const provider of [tracers, meters, loggers]) await provider.shutdown();
process.stdout.write(`${JSON.stringify(sent)}\n`);

async function exporters(): Promise<[SpanExporter, PushMetricExporter, LogRecordExporter]> {
  const path = (signal: string) => ({ url: `${endpoint}/v1/${signal}` });
  if (protocol === 'http-json') {
    const { OTLPTraceExporter } = await import('@opentelemetry/exporter-trace-otlp-http');
    const { OTLPMetricExporter } = await import('@opentelemetry/exporter-metrics-otlp-http');
    const { OTLPLogExporter } = await import('@opentelemetry/exporter-logs-otlp-http');
    return [
      new OTLPTraceExporter(path('traces')),
      new OTLPMetricExporter(path('metrics')),
      new OTLPLogExporter(path('logs')),
    ];
  }
  if (protocol === 'http-proto') {
    const { OTLPTraceExporter } = await import('@opentelemetry/exporter-trace-otlp-proto');
    const { OTLPMetricExporter } = await import('@opentelemetry/exporter-metrics-otlp-proto');
    const { OTLPLogExporter } = await import('@opentelemetry/exporter-logs-otlp-proto');
    return [
      new OTLPTraceExporter(path('traces')),
      new OTLPMetricExporter(path('metrics')),
      new OTLPLogExporter(path('logs')),
    ];
  }
  const { OTLPTraceExporter } = await import('@opentelemetry/exporter-trace-otlp-grpc');
  const { OTLPMetricExporter } = await import('@opentelemetry/exporter-metrics-otlp-grpc');
  const { OTLPLogExporter } = await import('@opentelemetry/exporter-logs-otlp-grpc');
  const address = { url: endpoint };
  return [new OTLPTraceExporter(address), new OTLPMetricExporter(address), new OTLPLogExporter(address)];
}

/** A root span with children of which one fails; attributes of every kind, an event, a link; log records under the root. */
function sendSpansAndRecords(): void {
  const tracer = tracers.getTracer('interop.tracer', '1.2.3');
  const root = tracer.startSpan('episode', { kind: 1 });
  root.setAttributes({ text: 'häß 漢 🚀', flag: true, count: 2 ** 53 - 1, ratio: 0.1, sizes: [1, 2, 3] });
  const { traceId, spanId } = root.spanContext();
  const under = trace.setSpan(context.active(), root);
  for (let i = 0; i < SPANS; i++) {
    const child = tracer.startSpan(
      `step ${i}`,
      { links: [{ context: root.spanContext() }], attributes: { index: i } },
      under,
    );
    child.addEvent('reset', { reason: 'fell' });
    const failed = i === SPANS - 1;
    if (failed) child.setStatus({ code: SpanStatusCode.ERROR, message: 'it fell' });
    child.end();
    sent.spans.push({
      name: `step ${i}`,
      traceId,
      spanId: child.spanContext().spanId,
      parentSpanId: spanId,
      status: failed ? 2 : 0,
    });
  }
  const logger = loggers.getLogger('interop.trainer');
  for (let i = 0; i < RECORDS; i++) {
    const body = `record ${i} of ${RECORDS}`;
    logger.emit({
      context: under,
      severityNumber: SeverityNumber.WARN,
      severityText: 'WARN',
      body,
      attributes: { index: i, place: { cart: 0.5, tags: ['a', 'b'] } },
    });
    sent.logs.push({ body, severityNumber: SeverityNumber.WARN, attribute: i, traceId });
  }
  root.end();
  sent.spans.push({ name: 'episode', traceId, spanId, parentSpanId: '', status: 0 });
}

/** Rows as events, for clients whose metrics carry no step. */
function sendRows(): void {
  const logger = loggers.getLogger('interop.rows');
  for (let step = 0; step < ROWS; step++) {
    const values = { 'js/loss': 1 / (step + 1), 'js/lr': 0.01 };
    logger.emit({
      eventName: 'kymo.row',
      severityNumber: SeverityNumber.INFO,
      attributes: { 'kymo.step': step, 'kymo.row.values': values },
    });
    sent.rows.push({ step, values });
  }
}

/** Every instrument; one gauge has its step as an attribute, as loggers of other worlds do it. */
function sendMetrics(): void {
  const meter = meters.getMeter('interop.meter');
  meter.createCounter('episodes').add(7);
  meter.createUpDownCounter('players').add(-3);
  meter.createObservableGauge('temperature').addCallback(result => result.observe(36.6));
  sent.scalars.push(
    { name: 'episodes', value: 7 },
    { name: 'players', value: -3 },
    { name: 'temperature', value: 36.6 },
  );
  const stepped = meter.createGauge('stepped');
  for (let step = 0; step < ROWS; step++) {
    stepped.record(step / 2, { step });
    sent.scalars.push({ name: 'stepped', value: step / 2, step });
  }
  for (const name of ['latency/explicit', 'latency/exponential']) {
    const latency = meter.createHistogram(name);
    for (let value = 1; value <= 100; value++) latency.record(value);
    sent.histograms.push({ name, count: 100, sum: 5050, min: 1, max: 100 });
  }
}
