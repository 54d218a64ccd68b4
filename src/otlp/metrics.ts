// Decodes an ExportMetricsServiceRequest: number points into columns, histograms into points.
import { ColumnBuilder, unsigned64 } from './columns.ts';
import { visitRecords } from './envelope.ts';
import { type HistogramMetric, readExponentialPoint, readHistogramPoint } from './histogram-reader.ts';
import type { DecodedMetrics, HistogramPoint, Resource, Scope, Series } from './model.ts';
import {
  attributesAt,
  ExemplarReader,
  type MetricIdentity,
  type PointIdentity,
  pointIdentity,
  sameBytes,
} from './point-reader.ts';
import type { ValueReader } from './value-reader.ts';

/** All points of a request, in wire order. Throws WireError for bytes that `checkRequest` refuses. */
export function decodeMetrics(bytes: Uint8Array): DecodedMetrics {
  const decoder = new MetricsDecoder();
  visitRecords(bytes, (reader, resource, scope) => decoder.metric(reader, resource, scope));
  return { scalars: decoder.columns.finish(), histograms: decoder.histograms };
}

// The fields of Metric that hold data points.
const GAUGE = 0x2a;
const SUM = 0x3a;
const HISTOGRAM = 0x4a;
const EXPONENTIAL = 0x52;
const SUMMARY = 0x5a;
/** Attributes of number and summary points. */
const POINT_ATTRIBUTE = 0x3a;
/** Bit 0 of a point's flags: the series has ended, there is no value. */
const NO_RECORDED_VALUE = 1;

/** The series of one metric, by the key of their attributes. */
type SeriesByKey = Map<string, number>;

class MetricsDecoder {
  readonly columns = new ColumnBuilder();
  readonly histograms: HistogramPoint[] = [];
  readonly #histogramSeries: HistogramPoint['series'][] = [];
  #reader: ValueReader | undefined;
  #exemplars!: ExemplarReader;
  /** Series of every metric of the request, so that a metric that comes in pieces still has one Series each. */
  readonly #byScope = new Map<Resource, Map<Scope, Map<string, SeriesByKey>>>();

  // The point before, whose series is most likely that of the next: where its attributes stood and what they meant.
  #lastSeries = -1;
  #lastAttributesAt = 0;
  #lastAttributesSize = 0;
  #lastExemplarStep = false;
  #lastAttributeStep = Number.NaN;

  metric(reader: ValueReader, resource: Resource, scope: Scope): void {
    if (this.#reader !== reader) {
      this.#reader = reader;
      this.#exemplars = new ExemplarReader(reader);
    }
    const begin = reader.position;
    const { end } = reader;
    let name = '';
    let unit = '';
    let description = '';
    for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
      if (tag === 0x0a) name = reader.word();
      else if (tag === 0x12) description = reader.word();
      else if (tag === 0x1a) unit = reader.word();
      else reader.skip(tag);
    }
    const metric: MetricIdentity = { resource, scope, name, unit, description };
    reader.position = begin;
    for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
      if (tag !== GAUGE && tag !== SUM && tag !== HISTOGRAM && tag !== EXPONENTIAL && tag !== SUMMARY) {
        reader.skip(tag);
        continue;
      }
      reader.enter();
      if (tag === GAUGE) this.#numbers(reader, metric, 'gauge');
      else if (tag === SUM) this.#numbers(reader, metric, 'sum');
      else if (tag === SUMMARY) this.#summaries(reader, metric);
      else this.#histograms(reader, metric, tag === EXPONENTIAL);
      reader.end = end;
    }
  }

  #numbers(reader: ValueReader, metric: MetricIdentity, kind: Series['kind']): void {
    const byKey = this.#seriesOf(metric, kind);
    const { end } = reader;
    this.#lastSeries = -1;
    for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
      if (tag !== 0x0a) {
        reader.skip(tag);
        continue;
      }
      reader.enter();
      this.#number(reader, metric, kind, byKey);
      reader.end = end;
    }
  }

  #number(reader: ValueReader, metric: MetricIdentity, kind: Series['kind'], byKey: SeriesByKey): void {
    const start = reader.position;
    const exemplars = this.#exemplars;
    exemplars.begin();
    let timeLow = 0;
    let timeHigh = 0;
    let value = 0;
    let exact: bigint | undefined;
    let hasValue = false;
    let flags = 0;
    let attributesAt = 0;
    let attributesEnd = 0;
    for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
      switch (tag) {
        case 0x19:
          timeLow = reader.fixed64();
          timeHigh = reader.high;
          break;
        case 0x21:
          value = reader.double();
          exact = undefined;
          hasValue = true;
          break;
        case 0x31: {
          const integer = reader.sfixed64();
          value = Number(integer);
          exact = typeof integer === 'bigint' ? integer : undefined;
          hasValue = true;
          break;
        }
        case 0x2a:
          exemplars.read();
          break;
        case POINT_ATTRIBUTE: {
          // All attributes compare as one piece of bytes, together with whatever stands between them.
          if (attributesEnd === 0) attributesAt = reader.position;
          reader.skip(tag);
          attributesEnd = reader.position;
          break;
        }
        case 0x40:
          flags = reader.varint();
          break;
        default:
          reader.skip(tag);
      }
    }
    if (!hasValue || (flags & NO_RECORDED_VALUE) !== 0) return;
    const hasStep = !Number.isNaN(exemplars.step);
    const size = attributesEnd - attributesAt;
    let series: number;
    let step: number;
    if (
      this.#lastSeries >= 0 &&
      size === this.#lastAttributesSize &&
      hasStep === this.#lastExemplarStep &&
      sameBytes(reader.bytes, attributesAt, this.#lastAttributesAt, size)
    ) {
      series = this.#lastSeries;
      step = hasStep ? exemplars.step : this.#lastAttributeStep;
    } else {
      const identity = pointIdentity(reader, start, reader.end, POINT_ATTRIBUTE, hasStep);
      series = this.#series(reader, metric, kind, byKey, identity);
      step = hasStep ? exemplars.step : identity.step;
      this.#lastSeries = series;
      this.#lastAttributesAt = attributesAt;
      this.#lastAttributesSize = size;
      this.#lastExemplarStep = hasStep;
      this.#lastAttributeStep = identity.step;
    }
    this.columns.add(series, timeLow, timeHigh, value, step);
    if (exact !== undefined) this.columns.exact(exact);
    const context = exemplars.context();
    if (context !== undefined) this.columns.context(context);
  }

  /** A summary point becomes points of `<name>/count`, `<name>/sum` and one `<name>/q<quantile>` for each quantile. */
  #summaries(reader: ValueReader, metric: MetricIdentity): void {
    const { end } = reader;
    for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
      if (tag !== 0x0a) {
        reader.skip(tag);
        continue;
      }
      reader.enter();
      this.#summary(reader, metric);
      reader.end = end;
    }
  }

  #summary(reader: ValueReader, metric: MetricIdentity): void {
    const start = reader.position;
    let timeLow = 0;
    let timeHigh = 0;
    let count = unsigned64(0, 0);
    let sum = 0;
    let flags = 0;
    const quantiles: [quantile: number, value: number][] = [];
    for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
      switch (tag) {
        case 0x19:
          timeLow = reader.fixed64();
          timeHigh = reader.high;
          break;
        case 0x21: {
          const low = reader.fixed64();
          count = unsigned64(low, reader.high);
          break;
        }
        case 0x29:
          sum = reader.double();
          break;
        case 0x32:
          quantiles.push(readQuantile(reader));
          break;
        case 0x40:
          flags = reader.varint();
          break;
        default:
          reader.skip(tag);
      }
    }
    if ((flags & NO_RECORDED_VALUE) !== 0) return;
    const identity = pointIdentity(reader, start, reader.end, POINT_ATTRIBUTE, false);
    const add = (suffix: string, kind: Series['kind'], value: number): void => {
      const part = { ...metric, name: `${metric.name}/${suffix}` };
      const byKey = this.#seriesOf(part, kind);
      const series = this.#series(reader, part, kind, byKey, identity);
      this.columns.add(series, timeLow, timeHigh, value, identity.step);
    };
    add('count', 'sum', count.value);
    if (count.exact !== undefined) this.columns.exact(count.exact);
    // Proto3 leaves a sum of 0 out; there is no way to tell it from an absent one.
    add('sum', 'sum', sum);
    for (const [quantile, value] of quantiles) add(`q${quantile}`, 'gauge', value);
  }

  #histograms(reader: ValueReader, metric: MetricIdentity, exponential: boolean): void {
    const { end } = reader;
    const begin = reader.position;
    let temporality = 0;
    for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
      if (tag === 0x10) temporality = reader.int32();
      else reader.skip(tag);
    }
    reader.position = begin;
    const byKey = this.#seriesOf(metric, 'histogram');
    const context: HistogramMetric = {
      exemplars: this.#exemplars,
      temporality,
      series: ({ key, places }) => {
        let index = byKey.get(key);
        if (index === undefined) {
          index = this.#histogramSeries.push({ ...metric, attributes: attributesAt(reader, places) }) - 1;
          byKey.set(key, index);
        }
        return this.#histogramSeries[index]!;
      },
    };
    const read = exponential ? readExponentialPoint : readHistogramPoint;
    for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
      if (tag !== 0x0a) {
        reader.skip(tag);
        continue;
      }
      reader.enter();
      const point = read(reader, context);
      if (point !== undefined) this.histograms.push(point);
      reader.end = end;
    }
  }

  #seriesOf(metric: MetricIdentity, kind: Series['kind'] | 'histogram'): SeriesByKey {
    const byScope = ensured(this.#byScope, metric.resource, newMap<Scope, Map<string, SeriesByKey>>);
    const byMetric = ensured(byScope, metric.scope, newMap<string, SeriesByKey>);
    const { name, unit, description } = metric;
    const plain = unit === '' && description === '';
    const key = plain ? `${kind} ${name}` : `${kind} ${JSON.stringify([name, unit, description])}`;
    return ensured(byMetric, key, newMap<string, number>);
  }

  #series(
    reader: ValueReader,
    metric: MetricIdentity,
    kind: Series['kind'],
    byKey: SeriesByKey,
    { key, places }: PointIdentity,
  ): number {
    const known = byKey.get(key);
    if (known !== undefined) return known;
    const index = this.columns.series.length;
    this.columns.series.push({ ...metric, attributes: attributesAt(reader, places), kind });
    byKey.set(key, index);
    return index;
  }
}

function newMap<K, V>(): Map<K, V> {
  return new Map();
}

function ensured<K, V>(map: Map<K, V>, key: K, make: () => V): V {
  let value = map.get(key);
  if (value === undefined) {
    value = make();
    map.set(key, value);
  }
  return value;
}

function readQuantile(reader: ValueReader): [quantile: number, value: number] {
  const outer = reader.enter();
  let quantile = 0;
  let value = 0;
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag === 0x09) quantile = reader.double();
    else if (tag === 0x11) value = reader.double();
    else reader.skip(tag);
  }
  reader.end = outer;
  return [quantile, value];
}
