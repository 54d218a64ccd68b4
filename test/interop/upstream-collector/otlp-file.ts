// Reads what the upstream Collector's file exporter wrote: one OTLP message as JSON a line.
import fs from 'node:fs';

interface KeyValue {
  readonly key: string;
  readonly value: { readonly stringValue?: string; readonly intValue?: string };
}
interface Point {
  readonly asDouble?: number | string;
  readonly asInt?: string;
  readonly timeUnixNano: string;
  readonly exemplars?: readonly { readonly filteredAttributes?: readonly KeyValue[] }[];
  readonly count?: string;
}
interface Metric {
  readonly name: string;
  readonly gauge?: { readonly dataPoints: readonly Point[] };
  readonly sum?: { readonly dataPoints: readonly Point[] };
  readonly histogram?: { readonly dataPoints: readonly Point[] };
}
interface Message {
  readonly resourceMetrics?: readonly {
    readonly scopeMetrics: readonly { readonly metrics: readonly Metric[] }[];
  }[];
  readonly resourceLogs?: readonly {
    readonly scopeLogs: readonly {
      readonly logRecords: readonly {
        readonly eventName?: string;
        readonly body?: { readonly stringValue?: string };
      }[];
    }[];
  }[];
  readonly resourceSpans?: readonly {
    readonly scopeSpans: readonly { readonly spans: readonly { readonly name: string }[] }[];
  }[];
}

export interface Contents {
  /** By name, in the order of the file. */
  readonly scalars: ReadonlyMap<
    string,
    readonly { readonly step: number; readonly value: number; readonly time: bigint }[]
  >;
  readonly histograms: ReadonlyMap<string, number>;
  /** Bodies of log records that are no events. */
  readonly texts: readonly (string | undefined)[];
  readonly events: readonly string[];
  readonly spans: readonly string[];
}

export function readOtlpFile(file: string): Contents {
  const messages = fs
    .readFileSync(file, 'utf8')
    .split('\n')
    .filter(line => line !== '')
    .map(line => JSON.parse(line) as Message);
  const metrics = messages.flatMap(({ resourceMetrics = [] }) =>
    resourceMetrics.flatMap(resource => resource.scopeMetrics.flatMap(scope => scope.metrics)),
  );
  const records = messages.flatMap(({ resourceLogs = [] }) =>
    resourceLogs.flatMap(resource => resource.scopeLogs.flatMap(scope => scope.logRecords)),
  );
  const scalars = new Map<string, { step: number; value: number; time: bigint }[]>();
  const histograms = new Map<string, number>();
  for (const { name, gauge, sum, histogram } of metrics) {
    const points = (gauge ?? sum)?.dataPoints ?? [];
    if (points.length > 0) scalars.set(name, [...(scalars.get(name) ?? []), ...points.map(scalarOf)]);
    for (const point of histogram?.dataPoints ?? [])
      histograms.set(name, (histograms.get(name) ?? 0) + Number(point.count));
  }
  return {
    scalars,
    histograms,
    texts: records.filter(record => !record.eventName).map(record => record.body?.stringValue),
    events: records.flatMap(record => (record.eventName ? [record.eventName] : [])),
    spans: messages.flatMap(({ resourceSpans = [] }) =>
      resourceSpans.flatMap(resource =>
        resource.scopeSpans.flatMap(scope => scope.spans.map(span => span.name)),
      ),
    ),
  };
}

function scalarOf(point: Point): { step: number; value: number; time: bigint } {
  const step = point.exemplars?.[0]?.filteredAttributes?.find(({ key }) => key === 'kymo.step')?.value
    .intValue;
  return {
    step: Number(step),
    value: Number(point.asDouble ?? point.asInt),
    time: BigInt(point.timeUnixNano),
  };
}
