// The stock OpenTelemetry JS SDK under the same timer: gauge.record, logger.emit and a span, to OTLP/HTTP. Prints one line of JSON.
import { OTLPLogExporter } from '@opentelemetry/exporter-logs-otlp-proto';
import { OTLPMetricExporter } from '@opentelemetry/exporter-metrics-otlp-proto';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-proto';
import { BatchLogRecordProcessor, LoggerProvider } from '@opentelemetry/sdk-logs';
import { MeterProvider, PeriodicExportingMetricReader } from '@opentelemetry/sdk-metrics';
import { BatchSpanProcessor, TracerProvider } from '@opentelemetry/sdk-trace';
import { timeAtFullSpeed, timePaced } from './call-timer.ts';

const NAMES = 20;
const [kind = 'gauge', url = '', callsText = '100000', pacedText = '10000', perSecondText = '10000'] =
  process.argv.slice(2);
const calls = Number(callsText);
const warmUp = Math.min(calls, 20_000);

const { call, settle, shutdown } = makeCall();
const full = await timeAtFullSpeed(call, { warmUp, calls, burst: calls, settle });
const slow = timePaced(call, warmUp + 2 * calls, Number(pacedText), Number(perSecondText));
await shutdown().catch(() => undefined);
console.log(JSON.stringify({ full, slow }));
process.exit(0);

function makeCall(): {
  readonly call: (i: number) => void;
  readonly settle: () => Promise<void>;
  readonly shutdown: () => Promise<void>;
} {
  switch (kind) {
    case 'gauge': {
      const reader = new PeriodicExportingMetricReader({
        exporter: new OTLPMetricExporter({ url: `${url}/v1/metrics` }),
        exportIntervalMillis: 1_000,
      });
      const provider = new MeterProvider({ readers: [reader] });
      const meter = provider.getMeter('bench');
      const gauges = Array.from({ length: NAMES }, (_, n) => meter.createGauge(`train/metric_${n}`));
      return {
        call: i => gauges[i % NAMES]!.record(i * 0.5, { mode: 'train' }),
        settle: () => provider.forceFlush().catch(() => undefined),
        shutdown: () => provider.shutdown(),
      };
    }
    case 'emit': {
      const exporter = new OTLPLogExporter({ url: `${url}/v1/logs` });
      const provider = new LoggerProvider({ processors: [new BatchLogRecordProcessor({ exporter })] });
      const logger = provider.getLogger('bench');
      return {
        call: i =>
          logger.emit({
            eventName: 'scalar',
            attributes: { name: `train/metric_${i % NAMES}`, value: i * 0.5, step: i },
          }),
        settle: () => provider.forceFlush().catch(() => undefined),
        shutdown: () => provider.shutdown(),
      };
    }
    case 'span': {
      const exporter = new OTLPTraceExporter({ url: `${url}/v1/traces` });
      const provider = new TracerProvider({ spanProcessors: [new BatchSpanProcessor({ exporter })] });
      const tracer = provider.getTracer('bench');
      return {
        call: i => tracer.startSpan('work', { attributes: { step: i } }).end(),
        settle: () => provider.forceFlush().catch(() => undefined),
        shutdown: () => provider.shutdown(),
      };
    }
    default:
      throw new Error(`no kind of call is named ${kind}`);
  }
}
