// The meter provider: instruments of the user's own, collected now and then, as whole export requests to the recorder.
import { createRequire } from 'node:module';
import type { HrTime, MeterProvider } from '@opentelemetry/api';
import type { ExportResult } from '@opentelemetry/core';
import type { MetricData, ResourceMetrics, ScopeMetrics } from '@opentelemetry/sdk-metrics';
import { processResource } from './providers-resource.ts';
import type { Runtime } from './runtime.ts';

type SdkMetrics = typeof import('@opentelemetry/sdk-metrics');
type Resources = typeof import('@opentelemetry/resources');
type HttpExporter = typeof import('@opentelemetry/exporter-metrics-otlp-http');
type ExporterBase = typeof import('@opentelemetry/otlp-exporter-base');
type Transformer = typeof import('@opentelemetry/otlp-transformer');

const require = createRequire(import.meta.url);

/** Shorter than OpenTelemetry's minute: what a killed process has not collected is gone. */
const DEFAULT_INTERVAL_MS = 10_000;
const MAX_INTERVAL_MS = 86_400_000;

export interface RecordingMeterProvider extends MeterProvider {
  forceFlush(): Promise<void>;
  /**
   * Records what the instruments hold, unless that was the last thing recorded, before it returns: for a process that is
   * ending, where no promise runs any more. Observable instruments have the value that they were last asked for.
   */
  collectNow(): void;
}

/** What `collectNow` needs of the SDK's insides: it has no synchronous way in, and its version is pinned. */
interface SdkState {
  readonly metricCollectors: readonly unknown[];
  readonly meterSharedStates: ReadonlyMap<unknown, MeterState>;
}
interface MeterState {
  readonly _instrumentationScope: ScopeMetrics['scope'];
  readonly metricStorageRegistry: {
    getStorages(
      collector: unknown,
    ): readonly { collect(collector: unknown, time: HrTime): MetricData | undefined }[];
  };
}

export function createMeterProvider(runtime: Runtime, env = process.env): RecordingMeterProvider {
  const sdk = require('@opentelemetry/sdk-metrics') as SdkMetrics;
  const { emptyResource } = require('@opentelemetry/resources') as Resources;
  const interval = Number(env.OTEL_METRIC_EXPORT_INTERVAL?.trim() || DEFAULT_INTERVAL_MS);
  const exportIntervalMillis = interval >= 1 && interval <= MAX_INTERVAL_MS ? interval : DEFAULT_INTERVAL_MS;
  const exporter = recordingExporter(runtime);
  // The resource is replaced at each export by that of the run that is current then.
  const resource = emptyResource();
  const reader = new sdk.PeriodicExportingMetricReader({
    exporter,
    exportIntervalMillis,
    exportTimeoutMillis: exportIntervalMillis,
  });
  const provider = new sdk.MeterProvider({ resource, readers: [reader] });
  return Object.assign(provider, {
    collectNow() {
      const scopeMetrics = readInstruments(provider);
      if (exporter.isNews(scopeMetrics)) exporter.export({ resource, scopeMetrics }, () => undefined);
    },
  });
}

/** What the reader would collect, without waiting for the callbacks of observable instruments. */
function readInstruments(provider: object): ScopeMetrics[] {
  const { metricCollectors, meterSharedStates } = (provider as { _sharedState: SdkState })._sharedState;
  const nowMs = Date.now();
  const time: HrTime = [Math.floor(nowMs / 1000), (nowMs % 1000) * 1e6];
  const [collector] = metricCollectors;
  return [...meterSharedStates.values()]
    .map(meter => ({
      scope: meter._instrumentationScope,
      metrics: meter.metricStorageRegistry
        .getStorages(collector)
        .map(storage => storage.collect(collector, time))
        .filter(metric => metric !== undefined),
    }))
    .filter(({ metrics }) => metrics.length > 0);
}

/** The stock OTLP exporter (temporality, aggregation, serializing) with the recorder where it has its HTTP client. */
function recordingExporter(runtime: Runtime): InstanceType<HttpExporter['OTLPMetricExporterBase']> & {
  isNews(metrics: readonly ScopeMetrics[]): boolean;
} {
  const { OTLPMetricExporterBase } = require('@opentelemetry/exporter-metrics-otlp-http') as HttpExporter;
  const base = require('@opentelemetry/otlp-exporter-base') as ExporterBase;
  const transformer = require('@opentelemetry/otlp-transformer') as Transformer;
  const { resourceFromAttributes } = require('@opentelemetry/resources') as Resources;
  /** Of the request being serialized: `export` hands it to the transport before it returns. */
  let items = 0;
  const delegate = base.createOtlpNetworkExportDelegate(
    base.getSharedConfigurationDefaults(),
    transformer.ProtobufMetricsSerializer,
    new base.ExporterMetrics({
      componentType: 'kymo_recorder',
      metricsHelper: transformer.MetricsExporterMetricsHelper,
      url: undefined,
      meterProvider: undefined,
      responseAttributesFromError: () => ({}),
    }),
    {
      send: bytes => {
        runtime.recorder.request('metrics', bytes, items);
        return Promise.resolve({ status: 'success' as const });
      },
      shutdown: () => undefined,
    },
  );
  let lastValues = '[]';
  class RecordingMetricExporter extends OTLPMetricExporterBase {
    isNews(metrics: readonly ScopeMetrics[]): boolean {
      return valuesOf(metrics) !== lastValues;
    }

    override export(metrics: ResourceMetrics, done: (result: ExportResult) => void): void {
      items = countPoints(metrics);
      if (items === 0) {
        done({ code: 0 });
        return;
      }
      lastValues = valuesOf(metrics.scopeMetrics);
      const run = runtime.owningRun();
      const resource = resourceFromAttributes(run?.resourceAttributes ?? processResource(runtime));
      super.export({ resource, scopeMetrics: metrics.scopeMetrics }, done);
    }
  }
  return new RecordingMetricExporter(delegate);
}

function countPoints(metrics: ResourceMetrics): number {
  let points = 0;
  for (const scope of metrics.scopeMetrics)
    for (const metric of scope.metrics) points += metric.dataPoints.length;
  return points;
}

/** Everything but the times. */
function valuesOf(scopes: readonly ScopeMetrics[]): string {
  return JSON.stringify(
    scopes.map(({ scope, metrics }) => [
      scope.name,
      scope.version,
      metrics.map(({ descriptor, dataPoints }) => [
        descriptor.name,
        dataPoints.map(({ attributes, value }) => [attributes, value]),
      ]),
    ]),
  );
}
