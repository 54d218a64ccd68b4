// Encodes histogram points with explicit bounds as one ExportMetricsServiceRequest, delta temporality.
import { STEP } from '../semconv/names.ts';
import { encodeKeyValue } from './encode-records.ts';
import type { EncodedSeries } from './encode-scalars.ts';
import { WireWriter } from './wire-writer.ts';

/** One histogram to encode. `counts` has one entry more than `bounds`; NaN in `sum`, `min` or `max` means absent. */
export interface HistogramPointInput {
  /** Index into the series table. */
  readonly seriesIndex: number;
  readonly timeUnixNano: bigint;
  /** NaN for none. */
  readonly step: number;
  /** 16 bytes of trace id and 8 of span id. */
  readonly span: Uint8Array | undefined;
  /** Further exemplar attributes, from `encodeAttributes`. */
  readonly axes: Uint8Array | undefined;
  readonly bounds: ArrayLike<number>;
  readonly counts: ArrayLike<number>;
  readonly count: number;
  readonly sum: number;
  readonly min: number;
  readonly max: number;
}

const AGGREGATION_TEMPORALITY_DELTA = 1;
/** The tag of `HistogramDataPoint.attributes` (9), where number points have 7. */
const HISTOGRAM_ATTRIBUTE = 9;

/** One request with a metric for each point, in the order given; neighbours of one resource and scope share their envelope. */
export function encodeHistograms(
  table: readonly EncodedSeries[],
  points: readonly HistogramPointInput[],
): Uint8Array {
  const writer = new WireWriter(1024 * points.length);
  let resourceMark = 0;
  let scopeMark = 0;
  let open: EncodedSeries | undefined;
  for (const point of points) {
    const series = table[point.seriesIndex]!;
    const sameResource = open !== undefined && open.resourceBytes === series.resourceBytes;
    if (open !== undefined && !(sameResource && open.scopeBytes === series.scopeBytes)) {
      writer.endMessage(scopeMark);
      if (!sameResource) writer.endMessage(resourceMark);
    }
    if (!sameResource) {
      resourceMark = writer.beginMessage(1);
      writer.bytesField(1, series.resourceBytes);
    }
    if (!sameResource || open?.scopeBytes !== series.scopeBytes) {
      scopeMark = writer.beginMessage(2);
      writer.bytesField(1, series.scopeBytes);
    }
    open = series;
    writeMetric(writer, series, point);
  }
  if (open !== undefined) {
    writer.endMessage(scopeMark);
    writer.endMessage(resourceMark);
  }
  return writer.copy();
}

function writeMetric(writer: WireWriter, series: EncodedSeries, point: HistogramPointInput): void {
  const metric = writer.beginMessage(2);
  writer.stringField(1, series.name);
  const histogram = writer.beginMessage(9);
  const data = writer.beginMessage(1);
  writePoint(writer, series, point);
  writer.endMessage(data);
  writer.varintField(2, AGGREGATION_TEMPORALITY_DELTA);
  writer.endMessage(histogram);
  writer.endMessage(metric);
}

function writePoint(writer: WireWriter, series: EncodedSeries, point: HistogramPointInput): void {
  writer.fixed64Field(3, point.timeUnixNano);
  writer.fixed64Field(4, BigInt(point.count));
  if (!Number.isNaN(point.sum)) writer.doubleField(5, point.sum);
  const counts = writer.beginMessage(6);
  for (let i = 0; i < point.counts.length; i++) writer.fixed64(BigInt(point.counts[i]!));
  writer.endMessage(counts);
  if (point.bounds.length > 0) {
    const bounds = writer.beginMessage(7);
    for (let i = 0; i < point.bounds.length; i++) writer.double(point.bounds[i]!);
    writer.endMessage(bounds);
  }
  if (!Number.isNaN(point.step) || point.span !== undefined || point.axes !== undefined) {
    const mark = writer.beginMessage(8);
    writeExemplar(writer, point);
    writer.endMessage(mark);
  }
  writePointAttributes(writer, series.attributeBytes);
  if (!Number.isNaN(point.min)) writer.doubleField(11, point.min);
  if (!Number.isNaN(point.max)) writer.doubleField(12, point.max);
}

/** An exemplar is one measurement out of the histogram; the largest is the one that is known. */
function writeExemplar(writer: WireWriter, point: HistogramPointInput): void {
  writer.fixed64Field(2, point.timeUnixNano);
  writer.doubleField(3, point.max);
  if (point.span !== undefined) {
    writer.bytesField(4, point.span.subarray(16, 24));
    writer.bytesField(5, point.span.subarray(0, 16));
  }
  if (!Number.isNaN(point.step)) encodeKeyValue(writer, 7, STEP, point.step);
  if (point.axes !== undefined) writer.raw(point.axes);
}

/** Series attributes are kept as number points have them; each entry gets this message's tag instead. */
function writePointAttributes(writer: WireWriter, attributeBytes: Uint8Array): void {
  for (let at = 0; at < attributeBytes.length; ) {
    at++;
    let length = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = attributeBytes[at++]!;
      length += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) break;
    }
    writer.bytesField(HISTOGRAM_ATTRIBUTE, attributeBytes.subarray(at, at + length));
    at += length;
  }
}
