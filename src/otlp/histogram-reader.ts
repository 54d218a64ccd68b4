// Reads histogram points of both kinds into points with explicit bounds.
import { unsigned64 } from './columns.ts';
import {
  type ExplicitBuckets,
  type ExponentialBuckets,
  explicitBuckets,
  mergesNeeded,
} from './exponential.ts';
import type { HistogramPoint } from './model.ts';
import { type ExemplarReader, type PointIdentity, pointIdentity } from './point-reader.ts';
import type { ValueReader } from './value-reader.ts';

const TEMPORALITIES = ['unspecified', 'delta', 'cumulative'] as const;
const NO_RECORDED_VALUE = 1;
const NO_NUMBERS = new Float64Array(0);

/** The metric that points are read for. */
export interface HistogramMetric {
  readonly exemplars: ExemplarReader;
  /** OTLP's AggregationTemporality. */
  readonly temporality: number;
  /** The series of a point; points with equal keys get the same object. */
  series(identity: PointIdentity): HistogramPoint['series'];
}

/** What both kinds of point have, while it is read. */
interface PointFields {
  timeUnixNano: bigint;
  count: number;
  sum: number;
  min: number;
  max: number;
  flags: number;
}

/**
 * One `HistogramDataPoint`, to which the reader is confined; undefined when it says that it has no value. Where bounds and
 * counts do not fit each other, or bounds do not ascend, all that is sure is the number of values: one bucket.
 */
export function readHistogramPoint(reader: ValueReader, metric: HistogramMetric): HistogramPoint | undefined {
  const start = reader.position;
  const { exemplars } = metric;
  const point = newFields();
  const counts = new NumberList();
  const bounds = new NumberList();
  exemplars.begin();
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    switch (tag) {
      case 0x19:
        point.timeUnixNano = reader.uint64();
        break;
      case 0x21:
        point.count = readUnsigned(reader);
        break;
      case 0x29:
        point.sum = reader.double();
        break;
      case 0x31:
        counts.add(readUnsigned(reader));
        break;
      case 0x32: {
        const outer = reader.enter();
        counts.reserve((reader.end - reader.position) / 8);
        while (reader.position < reader.end) counts.add(readUnsigned(reader));
        reader.end = outer;
        break;
      }
      case 0x39:
        bounds.add(reader.double());
        break;
      case 0x3a: {
        const outer = reader.enter();
        bounds.reserve((reader.end - reader.position) / 8);
        while (reader.position < reader.end) bounds.add(reader.double());
        reader.end = outer;
        break;
      }
      case 0x42:
        exemplars.read();
        break;
      case 0x50:
        point.flags = reader.varint();
        break;
      case 0x59:
        point.min = reader.double();
        break;
      case 0x61:
        point.max = reader.double();
        break;
      default:
        reader.skip(tag);
    }
  }
  const upper = bounds.finish();
  const buckets =
    counts.length === upper.length + 1 && ascends(upper)
      ? { bounds: upper, counts: counts.finish() }
      : { bounds: NO_NUMBERS, counts: Float64Array.of(point.count) };
  return finish(reader, start, 0x4a, metric, point, buckets);
}

/** One `ExponentialHistogramDataPoint`, to which the reader is confined. */
export function readExponentialPoint(
  reader: ValueReader,
  metric: HistogramMetric,
): HistogramPoint | undefined {
  const start = reader.position;
  const { exemplars } = metric;
  const point = newFields();
  let scale = 0;
  let zeroCount = 0;
  let zeroThreshold = 0;
  let positive: readonly [number, number] | undefined;
  let negative: readonly [number, number] | undefined;
  exemplars.begin();
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    switch (tag) {
      case 0x19:
        point.timeUnixNano = reader.uint64();
        break;
      case 0x21:
        point.count = readUnsigned(reader);
        break;
      case 0x29:
        point.sum = reader.double();
        break;
      case 0x30:
        scale = zigzag(reader.varint());
        break;
      case 0x39:
        zeroCount = readUnsigned(reader);
        break;
      case 0x42:
        positive = place(reader);
        break;
      case 0x4a:
        negative = place(reader);
        break;
      case 0x50:
        point.flags = reader.varint();
        break;
      case 0x5a:
        exemplars.read();
        break;
      case 0x61:
        point.min = reader.double();
        break;
      case 0x69:
        point.max = reader.double();
        break;
      case 0x71:
        zeroThreshold = reader.double();
        break;
      default:
        reader.skip(tag);
    }
  }
  const above = measureBuckets(reader, positive);
  const below = measureBuckets(reader, negative);
  const merges = Math.max(mergesNeeded(above.offset, above.count), mergesNeeded(below.offset, below.count));
  const buckets = explicitBuckets(
    scale - merges,
    zeroCount,
    zeroThreshold,
    readBuckets(reader, positive, above, merges),
    readBuckets(reader, negative, below, merges),
  );
  return finish(reader, start, 0x0a, metric, point, buckets);
}

function finish(
  reader: ValueReader,
  start: number,
  attributeTag: number,
  metric: HistogramMetric,
  point: PointFields,
  { bounds, counts }: ExplicitBuckets,
): HistogramPoint | undefined {
  if ((point.flags & NO_RECORDED_VALUE) !== 0) return undefined;
  const { exemplars } = metric;
  const hasStep = !Number.isNaN(exemplars.step);
  const identity = pointIdentity(reader, start, reader.end, attributeTag, hasStep);
  return {
    series: metric.series(identity),
    timeUnixNano: point.timeUnixNano,
    step: hasStep ? exemplars.step : identity.step,
    count: point.count,
    sum: point.sum,
    min: point.min,
    max: point.max,
    bounds,
    counts,
    temporality: TEMPORALITIES[metric.temporality] ?? 'unspecified',
    context: exemplars.context(),
  };
}

/** Where a `Buckets` message stands. It is read when all of them are known, because they are merged alike. */
function place(reader: ValueReader): readonly [number, number] {
  const length = reader.length();
  const start = reader.position;
  reader.position += length;
  return [start, start + length];
}

interface BucketsMeasure {
  readonly offset: number;
  readonly count: number;
}

function measureBuckets(reader: ValueReader, at: readonly [number, number] | undefined): BucketsMeasure {
  let offset = 0;
  let count = 0;
  visitBuckets(
    reader,
    at,
    value => {
      offset = value;
    },
    () => {
      count++;
    },
  );
  return { offset, count };
}

function readBuckets(
  reader: ValueReader,
  at: readonly [number, number] | undefined,
  { offset, count }: BucketsMeasure,
  merges: number,
): ExponentialBuckets {
  if (count === 0) return { offset: 0, counts: NO_NUMBERS };
  const width = 2 ** merges;
  const first = Math.floor(offset / width);
  const counts = new Float64Array(Math.floor((offset + count - 1) / width) - first + 1);
  let index = offset;
  visitBuckets(
    reader,
    at,
    () => undefined,
    value => {
      counts[Math.floor(index++ / width) - first]! += value;
    },
  );
  return { offset: first, counts };
}

function visitBuckets(
  reader: ValueReader,
  at: readonly [number, number] | undefined,
  offset: (value: number) => void,
  bucket: (count: number) => void,
): void {
  if (at === undefined) return;
  const outer = reader.end;
  const back = reader.position;
  [reader.position, reader.end] = at;
  const one = (): void => {
    const low = reader.varint();
    bucket(unsigned64(low, reader.high).value);
  };
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag === 0x08) offset(zigzag(reader.varint()));
    else if (tag === 0x10) one();
    else if (tag === 0x12) {
      const messageEnd = reader.enter();
      while (reader.position < reader.end) one();
      reader.end = messageEnd;
    } else reader.skip(tag);
  }
  reader.position = back;
  reader.end = outer;
}

function newFields(): PointFields {
  return { timeUnixNano: 0n, count: 0, sum: Number.NaN, min: Number.NaN, max: Number.NaN, flags: 0 };
}

function readUnsigned(reader: ValueReader): number {
  const low = reader.fixed64();
  return unsigned64(low, reader.high).value;
}

/** sint32: 0, -1, 1, -2, … are written as 0, 1, 2, 3, … */
function zigzag(value: number): number {
  return (value >>> 1) ^ -(value & 1);
}

function ascends(bounds: Float64Array): boolean {
  for (let i = 0; i < bounds.length; i++) {
    if (!(i === 0 ? !Number.isNaN(bounds[0]) : bounds[i]! > bounds[i - 1]!)) return false;
  }
  return true;
}

/** Numbers that come packed, one by one or both. */
class NumberList {
  length = 0;
  #numbers = NO_NUMBERS;

  reserve(more: number): void {
    if (this.length + more <= this.#numbers.length) return;
    const grown = new Float64Array(this.length + more);
    grown.set(this.#numbers.subarray(0, this.length));
    this.#numbers = grown;
  }

  add(value: number): void {
    if (this.length === this.#numbers.length) this.reserve(Math.max(16, this.length));
    this.#numbers[this.length++] = value;
  }

  finish(): Float64Array {
    return this.#numbers.length === this.length ? this.#numbers : this.#numbers.slice(0, this.length);
  }
}
