// The meter provider: instruments of the user's own, collected now and then, as whole export requests to the recorder.
import { createRequire } from 'node:module';
import type { MeterProvider } from '@opentelemetry/api';
import type { ExportResult } from '@opentelemetry/core';
import type { ResourceMetrics } from '@opentelemetry/sdk-metrics';
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
}

export function createMeterProvider(runtime: Runtime, env = process.env): RecordingMeterProvider {
  const sdk = require('@opentelemetry/sdk-metrics') as SdkMetrics;
  const { emptyResource } = require('@opentelemetry/resources') as Resources;
  const interval = Number(env.OTEL_METRIC_EXPORT_INTERVAL?.trim() || DEFAULT_INTERVAL_MS);
  const exportIntervalMillis = interval >= 1 && interval <= MAX_INTERVAL_MS ? interval : DEFAULT_INTERVAL_MS;
  return new sdk.MeterProvider({
    // Replaced at each export by that of the run that is current then.
    resource: emptyResource(),
    readers: [
      new sdk.PeriodicExportingMetricReader({
        exporter: recordingExporter(runtime),
        exportIntervalMillis,
        exportTimeoutMillis: exportIntervalMillis,
      }),
    ],
  });
}

/** The stock OTLP exporter (temporality, aggregation, serializing) with the recorder where it has its HTTP client. */
function recordingExporter(runtime: Runtime): InstanceType<HttpExporter['OTLPMetricExporterBase']> {
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
  class RecordingMetricExporter extends OTLPMetricExporterBase {
    override export(metrics: ResourceMetrics, done: (result: ExportResult) => void): void {
      items = countPoints(metrics);
      if (items === 0) {
        done({ code: 0 });
        return;
      }
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
