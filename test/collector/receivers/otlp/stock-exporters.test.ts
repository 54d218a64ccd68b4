// OpenTelemetry's own exporters for JavaScript against the receiver, over every protocol they speak.

import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { SeverityNumber } from '@opentelemetry/api';
import { OTLPLogExporter as GrpcLogs } from '@opentelemetry/exporter-logs-otlp-grpc';
import { OTLPLogExporter as JsonLogs } from '@opentelemetry/exporter-logs-otlp-http';
import { OTLPLogExporter as ProtoLogs } from '@opentelemetry/exporter-logs-otlp-proto';
import { OTLPMetricExporter as GrpcMetrics } from '@opentelemetry/exporter-metrics-otlp-grpc';
import { OTLPMetricExporter as JsonMetrics } from '@opentelemetry/exporter-metrics-otlp-http';
import { OTLPMetricExporter as ProtoMetrics } from '@opentelemetry/exporter-metrics-otlp-proto';
import { OTLPTraceExporter as GrpcTraces } from '@opentelemetry/exporter-trace-otlp-grpc';
import { OTLPTraceExporter as JsonTraces } from '@opentelemetry/exporter-trace-otlp-http';
import { OTLPTraceExporter as ProtoTraces } from '@opentelemetry/exporter-trace-otlp-proto';
import { CompressionAlgorithm } from '@opentelemetry/otlp-exporter-base';
import { resourceFromAttributes } from '@opentelemetry/resources';
import { LoggerProvider, type LogRecordExporter, SimpleLogRecordProcessor } from '@opentelemetry/sdk-logs';
import {
  MeterProvider,
  PeriodicExportingMetricReader,
  type PushMetricExporter,
} from '@opentelemetry/sdk-metrics';
import { SimpleSpanProcessor, type SpanExporter, TracerProvider } from '@opentelemetry/sdk-trace';
import { decodeLogs } from '../../../../src/otlp/logs.ts';
import { decodeMetrics } from '../../../../src/otlp/metrics.ts';
import { decodeTraces } from '../../../../src/otlp/traces.ts';
import { type RunningReceiver, startReceiver } from './harness.ts';

let running: RunningReceiver;
beforeAll(async () => {
  running = await startReceiver({ grpc: {}, http: {} });
});
afterAll(async () => {
  await running.receiver.stop(1_000);
});
const resource = resourceFromAttributes({ 'service.name': 'stock' });
const http = (signal: string) => ({ url: `http://localhost:${running.http}/v1/${signal}` });
const zipped = (signal: string) => ({ ...http(signal), compression: CompressionAlgorithm.GZIP });
const grpc = () => ({ url: `http://localhost:${running.grpc}` });
const zippedGrpc = () => ({ ...grpc(), compression: CompressionAlgorithm.GZIP });

function taken() {
  const { stored } = running.ingest;
  return stored.splice(0);
}

describe('spans', () => {
  const exporters: [string, () => SpanExporter][] = [
    ['http/json', () => new JsonTraces(http('traces'))],
    ['http/json, gzip', () => new JsonTraces(zipped('traces'))],
    ['http/protobuf', () => new ProtoTraces(http('traces'))],
    ['http/protobuf, gzip', () => new ProtoTraces(zipped('traces'))],
    ['grpc', () => new GrpcTraces(grpc())],
    ['grpc, gzip', () => new GrpcTraces(zippedGrpc())],
  ];
  it.each(exporters)('over %s', async (_name, create) => {
    const provider = new TracerProvider({
      resource,
      spanProcessors: [new SimpleSpanProcessor({ exporter: create() })],
    });
    const span = provider.getTracer('tracer').startSpan('step', { attributes: { 'kymo.step': 7 } });
    span.end();
    await provider.shutdown();
    const requests = taken();
    expect(requests.map(each => [each.signal, each.items])).toEqual([['traces', 1]]);
    const [record] = decodeTraces(requests[0]!.bytes);
    expect(record).toMatchObject({ name: 'step', traceId: span.spanContext().traceId });
    expect(record!.attributes['kymo.step']).toBe(7);
    expect(record!.resource.attributes['service.name']).toBe('stock');
  });
});

describe('log records', () => {
  const exporters: [string, () => LogRecordExporter][] = [
    ['http/json', () => new JsonLogs(http('logs'))],
    ['http/protobuf, gzip', () => new ProtoLogs(zipped('logs'))],
    ['grpc', () => new GrpcLogs(grpc())],
  ];
  it.each(exporters)('over %s', async (_name, create) => {
    const processors = [new SimpleLogRecordProcessor({ exporter: create() })];
    const provider = new LoggerProvider({ resource, processors });
    provider.getLogger('logger').emit({
      eventName: 'kymo.row',
      body: 'hello',
      severityNumber: SeverityNumber.INFO,
      attributes: { nested: { a: [1, 'two', true] } },
    });
    await provider.shutdown();
    const [record] = decodeLogs(taken()[0]!.bytes);
    expect(record).toMatchObject({ eventName: 'kymo.row', body: 'hello', severityNumber: 9 });
    expect(JSON.stringify(record!.attributes)).toBe('{"nested":{"a":[1,"two",true]}}');
  });
});

describe('metrics', () => {
  const exporters: [string, () => PushMetricExporter][] = [
    ['http/json', () => new JsonMetrics(http('metrics'))],
    ['http/protobuf, gzip', () => new ProtoMetrics(zipped('metrics'))],
    ['grpc', () => new GrpcMetrics(grpc())],
  ];
  it.each(exporters)('over %s', async (_name, create) => {
    const reader = new PeriodicExportingMetricReader({ exporter: create(), exportIntervalMillis: 3_600_000 });
    const provider = new MeterProvider({ resource, readers: [reader] });
    const meter = provider.getMeter('meter');
    meter.createGauge('loss').record(0.25, { layer: 'a' });
    meter.createHistogram('duration').record(3);
    await provider.shutdown();
    const { scalars, histograms } = decodeMetrics(taken()[0]!.bytes);
    expect(scalars.series.map(series => series.name)).toEqual(['loss']);
    expect([...scalars.value]).toEqual([0.25]);
    expect(histograms.map(point => [point.series.name, point.count, point.sum])).toEqual([
      ['duration', 1, 3],
    ]);
  });
});

it('counts what it took, by transport', () => {
  const { instruments } = running;
  expect(instruments.sum('otelcol_receiver_accepted_spans', { transport: 'http' })).toBe(4);
  expect(instruments.sum('otelcol_receiver_accepted_spans', { transport: 'grpc' })).toBe(2);
  expect(instruments.sum('otelcol_receiver_accepted_metric_points')).toBe(6);
});
