// What a batch holds, as lines of text that are safe on a terminal: one record never becomes two lines.
import type { AnyValue, Attributes, Resource, Scope } from '../../../otlp/model.ts';
import { printable } from '../../../semconv/printable.ts';
import type { Batch } from '../../component.ts';

export type Verbosity = 'basic' | 'normal' | 'detailed';

/** A value is shown up to here; a model's weights in an attribute are not read in a log. */
const MAX_VALUE_CHARACTERS = 1024;
/** Lines of one batch; what is beyond is counted in a last line. */
export const MAX_LINES = 10_000;
const MAX_DEPTH = 8;

/** The lines of a batch, at most `MAX_LINES` and one that says how many records are not shown. */
export function describe(batch: Batch, verbosity: Verbosity): string[] {
  const lines = [summary(batch)];
  if (verbosity === 'basic') return lines;
  let hidden = 0;
  for (const record of records(batch, verbosity === 'detailed')) {
    if (lines.length + record.length > MAX_LINES) hidden++;
    else for (const line of record) lines.push(printable(line));
  }
  if (hidden > 0) lines.push(`… ${hidden} records more, not shown`);
  return lines;
}

function summary(batch: Batch): string {
  const fields = {
    traces: () => ['Traces', `resource spans: ${distinctResources(batch)}`, `spans: ${batch.spans.length}`],
    metrics: () => {
      const series = new Set([
        ...(batch.scalars?.columns.series ?? []),
        ...batch.histograms.map(({ point }) => point.series),
      ]);
      const points = (batch.scalars?.columns.count ?? 0) + batch.histograms.length;
      return [
        'Metrics',
        `resource metrics: ${distinctResources(batch)}`,
        `series: ${series.size}`,
        `rows: ${batch.scalars?.rows.count ?? 0}`,
        `data points: ${points}`,
      ];
    },
    logs: () => ['Logs', `resource logs: ${distinctResources(batch)}`, `log records: ${batch.logs.length}`],
  };
  const [name, ...rest] = fields[batch.signal]();
  return `${name}  {${rest.join(', ')}}`;
}

function distinctResources(batch: Batch): number {
  return new Set<Resource>([
    ...(batch.scalars?.columns.series ?? []).map(series => series.resource),
    ...batch.histograms.map(({ point }) => point.series.resource),
    ...batch.logs.map(({ record }) => record.resource),
    ...batch.spans.map(({ record }) => record.resource),
  ]).size;
}

/** The records of a batch, each as its lines. */
function* records(batch: Batch, detailed: boolean): Generator<string[]> {
  const columns = batch.scalars?.columns;
  for (let i = 0; i < (columns?.count ?? 0); i++) {
    const index = columns!.seriesIndex[i]!;
    const series = columns!.series[index]!;
    const step = columns!.step[i]!;
    const value = String(columns!.bigValue?.get(i) ?? columns!.value[i]);
    const line = `${series.name}${labels(series.attributes)}${stepText(step)} ${value}`;
    if (!detailed) yield [line];
    else {
      yield [
        `NumberDataPoint ${line}`,
        ...origin(series.resource, series.scope),
        `    time: ${columns!.timeUnixNano[i]}`,
        `    kind: ${series.kind}${series.unit === '' ? '' : `, unit: ${series.unit}`}`,
        ...attributeLines('exemplar', columns!.context?.get(i)?.attributes),
      ];
    }
  }
  for (const { point } of batch.histograms) {
    const { series } = point;
    const line = `${series.name}${labels(series.attributes)}${stepText(point.step)} count=${point.count} sum=${point.sum} min=${point.min} max=${point.max}`;
    if (!detailed) yield [line];
    else {
      yield [
        `HistogramDataPoint ${line}`,
        ...origin(series.resource, series.scope),
        `    time: ${point.timeUnixNano}`,
        `    bounds: ${cut(point.bounds.join(' '))}`,
        `    counts: ${cut(point.counts.join(' '))}`,
      ];
    }
  }
  for (const { record } of batch.logs) {
    const kind = record.eventName === '' ? '' : ` ${record.eventName}`;
    const body = record.body === null ? '' : ` ${show(record.body)}`;
    const line = `${record.severityText || `severity ${record.severityNumber}`}${kind}${body}`;
    if (!detailed) yield [`${line}${labels(record.attributes)}`];
    else {
      yield [
        `LogRecord ${line}`,
        ...origin(record.resource, record.scope),
        `    time: ${record.timeUnixNano}`,
        ...(record.traceId === '' ? [] : [`    trace: ${record.traceId}, span: ${record.spanId}`]),
        ...attributeLines('attribute', record.attributes),
      ];
    }
  }
  for (const { record } of batch.spans) {
    const milliseconds = Number(record.endTimeUnixNano - record.startTimeUnixNano) / 1e6;
    const line = `${record.name} ${record.traceId} ${record.spanId} ${milliseconds} ms`;
    if (!detailed) yield [`${line}${labels(record.attributes)}`];
    else {
      yield [
        `Span ${line}`,
        ...origin(record.resource, record.scope),
        `    start: ${record.startTimeUnixNano}, parent: ${record.parentSpanId || 'none'}, kind: ${record.kind}`,
        `    status: ${record.statusCode}${record.statusMessage === '' ? '' : ` ${cut(record.statusMessage)}`}`,
        ...attributeLines('attribute', record.attributes),
        ...record.events.map(event => `    event: ${event.name}${labels(event.attributes)}`),
        ...record.links.map(link => `    link: ${link.traceId} ${link.spanId}`),
      ];
    }
  }
}

function origin(resource: Resource, scope: Scope): string[] {
  return [
    `    resource: ${show(resource.attributes)}`,
    `    scope: ${scope.name}${scope.version === '' ? '' : ` ${scope.version}`}${labels(scope.attributes)}`,
  ];
}

function attributeLines(name: string, attributes: Attributes | undefined): string[] {
  return Object.entries(attributes ?? {}).map(([key, value]) => `    ${name}: ${key}=${show(value)}`);
}

function labels(attributes: Attributes): string {
  const entries = Object.entries(attributes);
  return entries.length === 0
    ? ''
    : ` {${entries.map(([key, value]) => `${key}=${show(value)}`).join(', ')}}`;
}

function stepText(step: number): string {
  return Number.isNaN(step) ? '' : ` step=${step}`;
}

function show(value: AnyValue): string {
  return cut(typeof value === 'string' ? value : written(value, 0));
}

function written(value: AnyValue, depth: number): string {
  if (typeof value === 'string') return JSON.stringify(cut(value));
  if (typeof value !== 'object' || value === null) return String(value);
  if (value instanceof Uint8Array) return `${value.length} bytes`;
  if (depth === MAX_DEPTH) return '…';
  if (Array.isArray(value)) return `[${value.map(item => written(item, depth + 1)).join(', ')}]`;
  const entries = Object.entries(value as Attributes);
  return `{${entries.map(([key, item]) => `${key}: ${written(item, depth + 1)}`).join(', ')}}`;
}

function cut(text: string): string {
  return text.length <= MAX_VALUE_CHARACTERS ? text : `${text.slice(0, MAX_VALUE_CHARACTERS)}…`;
}
