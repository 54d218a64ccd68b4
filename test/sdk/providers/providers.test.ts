// OpenTelemetry's own API, with Kymo's providers behind it: what comes out is decoded from the bytes that were recorded.
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import {
  context,
  type LoggerProvider,
  logs,
  metrics,
  propagation,
  ROOT_CONTEXT,
  SpanKind,
  SpanStatusCode,
  TraceFlags,
  trace,
} from '@opentelemetry/api';
import { decodeMetrics } from '../../../src/otlp/metrics.ts';
import { createProviders } from '../../../src/sdk/providers.ts';
import { installGlobals } from '../../../src/sdk/providers-globals.ts';
import { parseResourceAttributes, processResource } from '../../../src/sdk/providers-resource.ts';
import type { ActiveRun } from '../../../src/sdk/runtime.ts';
import { type KeepingRecorder, type TestRuntime, testRuntime } from '../../research/recording.ts';

let recorder: KeepingRecorder;
let runtime: TestRuntime;
let remove: () => void;

beforeEach(() => {
  ({ recorder, runtime, remove } = testRuntime());
});
afterEach(() => remove());

function addRun(id: string): ActiveRun {
  const resourceAttributes = { 'service.name': 'p', 'kymo.run.id': id };
  const run: ActiveRun = {
    id,
    resource: recorder.defineResource(resourceAttributes),
    resourceAttributes,
    onExit: () => undefined,
  };
  runtime.addRun(run);
  return run;
}

describe('spans', () => {
  it('come out with everything that was put in', () => {
    installGlobals(runtime, {});
    const tracer = trace.getTracer('lib', '1.2.3');
    const remote = trace.setSpanContext(ROOT_CONTEXT, {
      traceId: '0af7651916cd43dd8448eb211c80319c',
      spanId: 'b7ad6b7169203331',
      traceFlags: TraceFlags.SAMPLED,
      isRemote: true,
    });
    const span = tracer.startSpan(
      'fetch',
      {
        kind: SpanKind.CLIENT,
        startTime: [1_700_000_000, 123_456_789],
        attributes: { int: 5, float: 0.5, list: ['a', 'b'], nested: { deep: true } },
        links: [
          {
            context: { traceId: '1'.repeat(32), spanId: '2'.repeat(16), traceFlags: 1 },
            attributes: { why: 'x' },
          },
        ],
      },
      remote,
    );
    span.addEvent('halfway', { at: 1 }, [1_700_000_000, 500_000_000]);
    span.setStatus({ code: SpanStatusCode.ERROR, message: 'refused' });
    span.end([1_700_000_001, 1]);
    expect(recorder.spanRecords()).toHaveLength(1);
    expect(recorder.spanRecords()[0]).toMatchObject({
      name: 'fetch',
      kind: 3,
      traceId: '0af7651916cd43dd8448eb211c80319c',
      parentSpanId: 'b7ad6b7169203331',
      startTimeUnixNano: 1_700_000_000_123_456_789n,
      endTimeUnixNano: 1_700_000_001_000_000_001n,
      attributes: { int: 5, float: 0.5, list: ['a', 'b'], nested: { deep: true } },
      events: [{ name: 'halfway', timeUnixNano: 1_700_000_000_500_000_000n, attributes: { at: 1 } }],
      links: [{ traceId: '1'.repeat(32), spanId: '2'.repeat(16), attributes: { why: 'x' } }],
      statusCode: 2,
      statusMessage: 'refused',
      scope: { name: 'lib', version: '1.2.3' },
    });
  });

  it('belong to the run that was current when they began', () => {
    const tracer = runtime.tracerProvider().getTracer('lib');
    const run = addRun('first');
    const span = tracer.startSpan('a');
    runtime.removeRun(run);
    addRun('second');
    span.end();
    tracer.startSpan('b').end();
    expect(recorder.spanRecords().map(record => record.resource.attributes['kymo.run.id'])).toEqual([
      'first',
      'second',
    ]);
  });

  it('belong to the run that they name, if that is open', () => {
    addRun('named');
    addRun('current');
    const tracer = runtime.tracerProvider().getTracer('lib');
    tracer.startSpan('a', { attributes: { 'kymo.run.id': 'named' } }).end();
    tracer.startSpan('b', { attributes: { 'kymo.run.id': 'elsewhere' } }).end();
    expect(
      recorder
        .spanRecords()
        .map(({ resource, attributes }) => [resource.attributes['kymo.run.id'], attributes['kymo.run.id']]),
    ).toEqual([
      ['named', 'named'],
      ['current', 'elsewhere'],
    ]);
  });

  it('without a run belong to the process', () => {
    runtime.tracerProvider().getTracer('lib').startSpan('a').end();
    const { attributes } = recorder.spanRecords()[0]!.resource;
    expect(attributes).toMatchObject({
      'service.instance.id': 'instance-1',
      'telemetry.distro.name': 'kymo',
    });
    expect(attributes).not.toHaveProperty('kymo.run.id');
  });

  it.each([
    ['always_off', '', 0],
    ['parentbased_always_off', '', 0],
    ['traceidratio', '0', 0],
    ['parentbased_traceidratio', '1', 10],
    ['always_on', '', 10],
    ['unknown', '', 10],
  ])('are sampled as OTEL_TRACES_SAMPLER=%s (%s) says', (sampler, argument, expected) => {
    const env = { OTEL_TRACES_SAMPLER: sampler, OTEL_TRACES_SAMPLER_ARG: argument };
    const tracer = createProviders(runtime, env).tracerProvider().getTracer('lib');
    for (let i = 0; i < 10; i++) tracer.startSpan('a').end();
    expect(recorder.spanRecords()).toHaveLength(expected);
  });

  it('carry their context over headers', () => {
    installGlobals(runtime, {});
    const headers: Record<string, string> = {};
    trace.getTracer('lib').startActiveSpan('outer', span => {
      propagation.inject(context.active(), headers);
      span.end();
    });
    const { traceId, spanId } = recorder.spanRecords()[0]!;
    expect(headers.traceparent).toBe(`00-${traceId}-${spanId}-01`);
    const extracted = trace.getSpanContext(propagation.extract(ROOT_CONTEXT, headers));
    expect(extracted).toMatchObject({ traceId, spanId, isRemote: true });
  });
});

describe('log records', () => {
  it('come out with everything that was put in', () => {
    installGlobals(runtime, {});
    addRun('r');
    logs.getLogger('lib', '2', { attributes: { 'kymo.scope': 'env' } }).emit({
      eventName: 'my.event',
      timestamp: [1_700_000_000, 5],
      severityNumber: 13,
      severityText: 'WARN',
      body: { text: 'x', n: 1 },
      attributes: { list: [1, 'a', null], bytes: Uint8Array.of(1, 2) },
    });
    expect(recorder.logs()[0]).toMatchObject({
      eventName: 'my.event',
      timeUnixNano: 1_700_000_000_000_000_005n,
      severityNumber: 13,
      severityText: 'WARN',
      body: { text: 'x', n: 1 },
      attributes: { list: [1, 'a', null], bytes: Uint8Array.of(1, 2) },
      scope: { name: 'lib', version: '2', attributes: { 'kymo.scope': 'env' } },
      resource: { attributes: { 'kymo.run.id': 'r' } },
    });
  });

  it('say how many attributes the SDK left out', () => {
    const attributes = Object.fromEntries(Array.from({ length: 130 }, (_, i) => [`a${i}`, i]));
    runtime.loggerProvider().getLogger('lib').emit({ attributes });
    expect(recorder.logs()[0]!.droppedAttributesCount).toBe(2);
  });

  it('of one logger in two runs stand under two scopes, of equal loggers under one', () => {
    const provider = runtime.loggerProvider();
    const run = addRun('one');
    provider.getLogger('lib').emit({ body: 'a' });
    provider.getLogger('lib').emit({ body: 'b' });
    runtime.removeRun(run);
    addRun('two');
    provider.getLogger('lib').emit({ body: 'c' });
    expect(recorder.records[0]!.scope).toBe(recorder.records[1]!.scope);
    expect(recorder.records[2]!.scope).not.toBe(recorder.records[0]!.scope);
  });
});

describe('instruments', () => {
  it('are recorded as a whole request under the current run’s resource when the providers are flushed', async () => {
    addRun('r');
    const providers = createProviders(runtime, {});
    const meter = providers.meterProvider().getMeter('lib');
    meter.createCounter('requests').add(3, { route: '/' });
    meter.createHistogram('latency').record(0.5);
    await providers.flush();
    expect(recorder.requests).toHaveLength(1);
    const [request] = recorder.requests;
    expect([request!.signal, request!.items]).toEqual(['metrics', 2]);
    const { scalars, histograms } = decodeMetrics(request!.bytes);
    expect(scalars.series[0]).toMatchObject({ name: 'requests', attributes: { route: '/' }, kind: 'sum' });
    expect(scalars.series[0]!.resource.attributes['kymo.run.id']).toBe('r');
    expect([...scalars.value]).toEqual([3]);
    expect(histograms[0]).toMatchObject({ count: 1, sum: 0.5 });
  });

  it('cost nothing where there are none', async () => {
    const providers = createProviders(runtime, {});
    await providers.flush();
    providers.meterProvider();
    await providers.flush();
    expect(recorder.requests).toHaveLength(0);
  });

  it('whose callback throws do not make flush reject', async () => {
    const providers = createProviders(runtime, {});
    const gauge = providers.meterProvider().getMeter('lib').createObservableGauge('g');
    gauge.addCallback(() => {
      throw new Error('no');
    });
    await expect(providers.flush()).resolves.toBeUndefined();
  });
});

describe('installGlobals', () => {
  it('leaves what the application has set itself', () => {
    const own: LoggerProvider = { getLogger: () => ({ emit: () => undefined, enabled: () => false }) };
    logs.setGlobalLoggerProvider(own);
    installGlobals(runtime, {});
    expect(logs.getLoggerProvider()).toBe(own);
    trace.getTracer('lib').startSpan('a').end();
    expect(recorder.spanRecords()).toHaveLength(1);
  });

  it('works for tracers that were taken before it', () => {
    const early = trace.getTracer('early');
    installGlobals(runtime, {});
    installGlobals(runtime, {});
    early.startSpan('a').end();
    expect(recorder.spanRecords()).toHaveLength(1);
  });

  it('does nothing when OTEL_SDK_DISABLED is true', () => {
    installGlobals(runtime, { OTEL_SDK_DISABLED: 'true' });
    const providers = createProviders(runtime, { OTEL_SDK_DISABLED: 'TRUE' });
    trace.getTracer('lib').startSpan('a').end();
    providers.tracerProvider().getTracer('lib').startSpan('a').end();
    providers.loggerProvider().getLogger('lib').emit({ body: 'a' });
    providers.meterProvider().getMeter('lib').createCounter('c').add(1);
    metrics.getMeter('lib').createCounter('c').add(1);
    expect(recorder.records).toHaveLength(0);
  });
});

describe('resource of the process', () => {
  it('has what OTEL_RESOURCE_ATTRIBUTES and OTEL_SERVICE_NAME say', () => {
    const env = {
      OTEL_RESOURCE_ATTRIBUTES: 'service.name=a,team=r%26d, x = y ,broken,=z,bad=%',
      OTEL_SERVICE_NAME: 'b',
    };
    expect(processResource(runtime, env)).toMatchObject({
      'service.name': 'b',
      team: 'r&d',
      x: 'y',
      bad: '%',
    });
    expect(processResource(runtime, {})['service.name']).toBe('unknown_service:node');
    expect(Object.keys(parseResourceAttributes('broken,=z'))).toEqual([]);
  });
});
