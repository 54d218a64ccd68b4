// Scalar columns and histograms, encoded by us: what the oracle reads, and what our own decoder makes of them.
import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { checkRequest } from '../../src/otlp/check.ts';
import { encodeHistograms } from '../../src/otlp/encode-histograms.ts';
import { encodeAttributes, encodeResource, encodeScope } from '../../src/otlp/encode-records.ts';
import {
  type EncodedSeries,
  encodeScalars,
  type ScalarInput,
  SPAN_ENTRY_BYTES,
} from '../../src/otlp/encode-scalars.ts';
import { decodeMetrics } from '../../src/otlp/metrics.ts';
import type { Attributes } from '../../src/otlp/model.ts';
import { STEP } from '../../src/semconv/names.ts';
import { text, uint64 } from './arbitraries.ts';
import { attributesOf, decode, hex, type Plain, plain, TYPES } from './oracle.ts';

const RESOURCES = [{ 'service.name': 'one' }, { 'service.name': 'two', tags: ['a', 'b'] }].map(
  encodeResource,
);
const SCOPES = [encodeScope('trainer', '1', { 'kymo.scope': 'global' }), encodeScope('', '', {})];

interface SeriesChoice {
  resource: number;
  scope: number;
  name: string;
  attributes: Attributes;
}
interface Point {
  series: number;
  time: bigint;
  value: number | bigint;
  step: number;
  span: number;
  axes: number;
}

const seriesChoice: fc.Arbitrary<SeriesChoice> = fc.record({
  resource: fc.nat({ max: 1 }),
  scope: fc.nat({ max: 1 }),
  name: fc.oneof(fc.constantFrom('loss', 'train/loss'), text),
  attributes: fc.constantFrom<Attributes>(
    {},
    { 'kymo.mode': 'eval' },
    { long: 'x'.repeat(200) },
    { layer: 3 },
  ),
});
const step = fc.oneof(
  fc.integer(),
  fc.maxSafeInteger(),
  fc.constantFrom(Number.NaN, 0, 0.5, -1, 2 ** 60, Number.POSITIVE_INFINITY),
);
const point = fc.record({
  series: fc.nat({ max: 3 }),
  time: uint64,
  value: fc.oneof(fc.double(), fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n })),
  step,
  span: fc.nat({ max: 2 }),
  axes: fc.nat({ max: 2 }),
});
const AXES = [{ epoch: 3 }, { epoch: 4, 'kymo.time': 12.5, note: 'x'.repeat(150) }];
const SPANS = Buffer.from(Array.from({ length: 2 * SPAN_ENTRY_BYTES }, (_, i) => i + 1));

function table(series: readonly SeriesChoice[]): EncodedSeries[] {
  return series.map(({ resource, scope, name, attributes }) => ({
    resourceBytes: RESOURCES[resource]!,
    scopeBytes: SCOPES[scope]!,
    name,
    attributeBytes: encodeAttributes(attributes),
  }));
}

function columns(points: readonly Point[]): ScalarInput {
  const value = new Float64Array(points.length);
  const integers = new BigInt64Array(value.buffer);
  points.forEach((point, i) => {
    if (typeof point.value === 'bigint') integers[i] = point.value;
    else value[i] = point.value;
  });
  return {
    count: points.length,
    seriesIndex: Uint32Array.from(points, point => point.series),
    timeUnixNano: BigUint64Array.from(points, point => point.time),
    value,
    isInteger: Uint8Array.from(points, point => (typeof point.value === 'bigint' ? 1 : 0)),
    step: Float64Array.from(points, point => point.step),
    spanIndex: Uint32Array.from(points, point => point.span),
    spans: SPANS,
    axesIndex: Uint32Array.from(points, point => point.axes),
    axes: AXES.map(encodeAttributes),
  };
}

describe('encodeScalars', () => {
  it('writes what the oracle reads: every point once, grouped, with its exemplar', () => {
    fc.assert(
      fc.property(
        fc.array(seriesChoice, { minLength: 4, maxLength: 4 }),
        fc.array(point, { maxLength: 30 }),
        (series, points) => {
          const bytes = encodeScalars(table(series), columns(points));
          expect(checkRequest('metrics', bytes)).toEqual({ ok: true, items: points.length });
          const seen = oraclePoints(decode(TYPES.metrics, bytes));
          const expected = points.map(point => expectedPoint(series[point.series]!, point));
          // Points keep their order within a series; series stand in the order of the table.
          const byText = (a: unknown, b: unknown) => (show(a) < show(b) ? -1 : 1);
          expect(seen.toSorted(byText)).toEqual(expected.toSorted(byText));
          for (const one of series) {
            const of = (list: Plain[]) =>
              list.filter(
                p =>
                  p.name === one.name &&
                  p.resource === hex(RESOURCES[one.resource]!) &&
                  show(p.attributes) === show(plain(one.attributes)) &&
                  p.scope === hex(SCOPES[one.scope]!),
              );
            const twins = series.filter(other => show(other) === show(one)).length;
            if (twins === 1) expect(of(seen)).toEqual(of(expected));
          }
        },
      ),
      { numRuns: 300 },
    );
  });

  it('is decoded by us to the same columns', () => {
    fc.assert(
      fc.property(
        fc.array(seriesChoice, { minLength: 4, maxLength: 4 }),
        fc.array(point, { maxLength: 30 }),
        (series, points) => {
          const { scalars } = decodeMetrics(encodeScalars(table(series), columns(points)));
          const seen = Array.from({ length: scalars.count }, (_, i) => {
            const of = scalars.series[scalars.seriesIndex[i]!]!;
            return {
              name: of.name,
              resource: plain(of.resource.attributes),
              scope: of.scope.name,
              attributes: plain(of.attributes),
              time: scalars.timeUnixNano[i],
              value: scalars.bigValue?.get(i) ?? scalars.value[i],
              step: scalars.step[i],
              context: plain(scalars.context?.get(i)),
            };
          });
          const expected = points.map(({ series: index, time, value, step, span, axes }) => {
            const of = series[index]!;
            return {
              name: of.name,
              resource: plain(
                of.resource === 0 ? { 'service.name': 'one' } : { 'service.name': 'two', tags: ['a', 'b'] },
              ),
              scope: of.scope === 0 ? 'trainer' : '',
              attributes: plain(of.attributes),
              time,
              value: typeof value === 'bigint' && Number.isSafeInteger(Number(value)) ? Number(value) : value,
              step: step === 0 ? 0 : step,
              context:
                span === 0 && axes === 0
                  ? undefined
                  : plain({ ...spanOf(span), attributes: axes === 0 ? {} : AXES[axes - 1]! }),
            };
          });
          const byText = (a: unknown, b: unknown) => (show(a) < show(b) ? -1 : 1);
          expect(seen.toSorted(byText)).toEqual(expected.toSorted(byText));
        },
      ),
      { numRuns: 300 },
    );
  });

  it('writes nothing for no points and forgets nothing between calls of different size', () => {
    const series = table([{ resource: 0, scope: 0, name: 'a', attributes: {} }]);
    expect(encodeScalars(series, columns([]))).toHaveLength(0);
    const one = (count: number) =>
      encodeScalars(
        series,
        columns(Array.from({ length: count }, (_, i) => ({ ...POINT, time: BigInt(i), step: i }))),
      );
    const small = Buffer.from(one(3)).toString('hex');
    expect(decodeMetrics(one(5000)).scalars.count).toBe(5000);
    expect(Buffer.from(one(3)).toString('hex')).toBe(small);
  });

  it('gives neighbouring points of one span and one row the same context object', () => {
    const series = table([{ resource: 0, scope: 0, name: 'a', attributes: {} }]);
    const points = Array.from({ length: 10 }, (_, i) => ({ ...POINT, step: i, span: 1 }));
    const { context } = decodeMetrics(encodeScalars(series, columns(points))).scalars;
    expect(new Set(context!.values()).size).toBe(1);
  });
});

describe('encodeHistograms', () => {
  const histogram = fc.record({
    seriesIndex: fc.nat({ max: 3 }),
    timeUnixNano: uint64,
    step,
    span: fc.constantFrom(undefined, SPANS.subarray(0, SPAN_ENTRY_BYTES)),
    axes: fc.constantFrom(undefined, encodeAttributes(AXES[1]!)),
    bounds: fc
      .uniqueArray(
        fc.double({ noNaN: true }).map(bound => bound + 0),
        { maxLength: 20 },
      )
      .map(list => list.sort((a, b) => a - b)),
    sum: fc.double(),
    min: fc.double(),
    max: fc.double(),
  });

  it('writes what our decoder reads, and the oracle takes', () => {
    fc.assert(
      fc.property(
        fc.array(seriesChoice, { minLength: 4, maxLength: 4 }),
        fc.array(histogram, { maxLength: 8 }),
        (series, inputs) => {
          const points = inputs.map(input => {
            const counts = Array.from({ length: input.bounds.length + 1 }, (_, i) => i * 3);
            return { ...input, counts, count: counts.reduce((a, b) => a + b, 0) };
          });
          const bytes = encodeHistograms(table(series), points);
          expect(checkRequest('metrics', bytes)).toEqual({ ok: true, items: points.length });
          const metrics = decode(TYPES.metrics, bytes).resourceMetrics ?? [];
          const oracle = metrics.flatMap((r: Plain) => r.scopeMetrics.flatMap((s: Plain) => s.metrics));
          expect(
            oracle.map((metric: Plain) => [metric.name ?? '', metric.histogram.aggregationTemporality]),
          ).toEqual(points.map(p => [series[p.seriesIndex]!.name, 1]));
          const { histograms } = decodeMetrics(bytes);
          expect(histograms.map(plain)).toEqual(
            points.map(p => {
              const of = series[p.seriesIndex]!;
              return plain({
                series: {
                  resource: {
                    attributes:
                      of.resource === 0
                        ? { 'service.name': 'one' }
                        : { 'service.name': 'two', tags: ['a', 'b'] },
                  },
                  scope:
                    of.scope === 0
                      ? { name: 'trainer', version: '1', attributes: { 'kymo.scope': 'global' } }
                      : { name: '', version: '', attributes: {} },
                  name: of.name,
                  unit: '',
                  description: '',
                  attributes: of.attributes,
                },
                timeUnixNano: p.timeUnixNano,
                step: p.step === 0 ? 0 : p.step,
                count: p.count,
                sum: p.sum,
                min: p.min,
                max: p.max,
                bounds: Float64Array.from(p.bounds),
                counts: Float64Array.from(p.counts),
                temporality: 'delta',
                context:
                  p.span === undefined && p.axes === undefined
                    ? undefined
                    : {
                        ...spanOf(p.span === undefined ? 0 : 1),
                        attributes: p.axes === undefined ? {} : AXES[1]!,
                      },
              });
            }),
          );
        },
      ),
      { numRuns: 200 },
    );
  });
});

const POINT: Point = { series: 0, time: 1n, value: 0.5, step: Number.NaN, span: 0, axes: 0 };

function spanOf(span: number): { traceId: string; spanId: string } {
  if (span === 0) return { traceId: '', spanId: '' };
  const entry = SPANS.subarray((span - 1) * SPAN_ENTRY_BYTES, span * SPAN_ENTRY_BYTES);
  return { traceId: hex(entry.subarray(0, 16)), spanId: hex(entry.subarray(16)) };
}

function expectedPoint(series: SeriesChoice, { time, value, step, span, axes }: Point): unknown {
  const number = typeof value === 'bigint' ? { asInt: String(value) } : { asDouble: value };
  const exemplar =
    Number.isNaN(step) && span === 0 && axes === 0
      ? undefined
      : {
          timeUnixNano: String(time),
          ...number,
          ...spanOf(span),
          filtered: plain({
            ...(Number.isNaN(step) ? {} : { [STEP]: step + 0 }),
            ...(axes === 0 ? {} : AXES[axes - 1]),
          }),
        };
  return {
    resource: hex(RESOURCES[series.resource]!),
    scope: hex(SCOPES[series.scope]!),
    name: series.name,
    attributes: plain(series.attributes),
    timeUnixNano: String(time),
    ...number,
    exemplar,
  };
}

/** Every point of a request, as `expectedPoint` describes it. */
function oraclePoints(request: Plain): Plain[] {
  const scopes = new Map(SCOPES.map(bytes => [decodedScopeName(bytes), hex(bytes)]));
  return (request.resourceMetrics ?? []).flatMap((resource: Plain) =>
    resource.scopeMetrics.flatMap((scope: Plain) =>
      scope.metrics.flatMap((metric: Plain) =>
        metric.gauge.dataPoints.map((point: Plain) => {
          const exemplar = point.exemplars?.[0];
          const number = (of: Plain) =>
            of.asInt === undefined ? { asDouble: of.asDouble } : { asInt: of.asInt };
          return {
            resource: hex(encodeResource(attributesOf(resource.resource.attributes))),
            scope: scopes.get(scope.scope.name ?? ''),
            name: metric.name ?? '',
            attributes: plain(attributesOf(point.attributes)),
            timeUnixNano: point.timeUnixNano,
            ...number(point),
            exemplar:
              exemplar === undefined
                ? undefined
                : {
                    timeUnixNano: exemplar.timeUnixNano,
                    ...number(exemplar),
                    traceId: hex(exemplar.traceId),
                    spanId: hex(exemplar.spanId),
                    filtered: plain(attributesOf(exemplar.filteredAttributes)),
                  },
          };
        }),
      ),
    ),
  );
}

function decodedScopeName(bytes: Uint8Array): string {
  return bytes.length === 0 ? '' : 'trainer';
}

function show(value: unknown): string {
  return JSON.stringify(value, (_, inner) =>
    typeof inner === 'bigint' ||
    (typeof inner === 'number' && !Number.isFinite(inner)) ||
    Object.is(inner, -0)
      ? `${Object.is(inner, -0) ? '-0' : inner}`
      : inner,
  );
}
