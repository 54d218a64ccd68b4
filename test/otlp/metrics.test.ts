// Metrics that others wrote: what the decoder makes of every kind of point, against a plain reading of the oracle's objects.
import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { checkRequest } from '../../src/otlp/check.ts';
import { encodeKeyValue } from '../../src/otlp/encode-records.ts';
import { decodeMetrics } from '../../src/otlp/metrics.ts';
import { WireWriter } from '../../src/otlp/wire-writer.ts';
import { STEP, STEP_ATTRIBUTES } from '../../src/semconv/names.ts';
import { metricsRequest } from './arbitraries.ts';
import {
  attributesOf,
  decode,
  encode,
  hex,
  long,
  modelValue,
  oracleAttributes,
  type Plain,
  plain,
  TYPES,
} from './oracle.ts';

describe('decodeMetrics', () => {
  it('reads every kind of point that the oracle writes', () => {
    fc.assert(
      fc.property(metricsRequest, request => {
        const bytes = encode(TYPES.metrics, request);
        const seen = decode(TYPES.metrics, bytes);
        const expected = reading(seen);
        const { scalars, histograms } = decodeMetrics(bytes);
        expect(
          Array.from({ length: scalars.count }, (_, i) => ({
            series: plain(scalars.series[scalars.seriesIndex[i]!]),
            timeUnixNano: scalars.timeUnixNano[i],
            value: scalars.bigValue?.get(i) ?? scalars.value[i],
            step: scalars.step[i],
            context: plain(scalars.context?.get(i)),
          })),
        ).toEqual(expected.scalars);
        expect(
          histograms.map(({ bounds: _, counts, ...rest }) =>
            plain({ ...rest, total: counts.reduce((a, b) => a + b, 0) }),
          ),
        ).toEqual(expected.histograms);
        expect(checkRequest('metrics', bytes)).toEqual({ ok: true, items: expected.items });
      }),
      { numRuns: 400 },
    );
  });

  const gauge = (points: object[], name = 'loss', extra: object = {}) => ({
    resourceMetrics: [
      {
        resource: {},
        scopeMetrics: [{ scope: {}, metrics: [{ name, ...extra, gauge: { dataPoints: points } }] }],
      },
    ],
  });
  const scalarsOf = (request: object) => decodeMetrics(encode(TYPES.metrics, request)).scalars;

  it('takes the step from the exemplar, else from the point attributes in their order, and out of the identity', () => {
    for (const [i, name] of STEP_ATTRIBUTES.entries()) {
      const later = STEP_ATTRIBUTES[i + 1] ?? 'other';
      const attributes = (step: number) => oracleAttributes({ layer: 'a', [later]: 7, [name]: step });
      const scalars = scalarsOf(
        gauge([1, 2, 3].map(step => ({ asDouble: step, attributes: attributes(step) }))),
      );
      expect([...scalars.step]).toEqual([1, 2, 3]);
      expect(scalars.series).toHaveLength(1);
      expect(plain(scalars.series[0]!.attributes)).toEqual(plain({ layer: 'a', [later]: 7 }));
    }
    const both = scalarsOf(
      gauge([
        {
          asDouble: 1,
          attributes: oracleAttributes({ [STEP]: 5, step: 6 }),
          exemplars: [
            { asDouble: 0.5 },
            { asDouble: 1, filteredAttributes: oracleAttributes({ [STEP]: 9, note: 'n' }) },
          ],
        },
      ]),
    );
    expect([...both.step]).toEqual([9]);
    expect(plain(both.series[0]!.attributes)).toEqual(plain({ step: 6 }));
    expect(plain(both.context!.get(0)!.attributes)).toEqual(plain({ note: 'n' }));
  });

  it('reads a step attribute anew where one point has an exemplar with a step and its neighbour has not', () => {
    const attributes = oracleAttributes({ step: 6 });
    const exemplars = [{ asDouble: 1, filteredAttributes: oracleAttributes({ [STEP]: 9 }) }];
    const scalars = scalarsOf(
      gauge([
        { asDouble: 1, attributes },
        { asDouble: 1, attributes, exemplars },
        { asDouble: 1, attributes },
      ]),
    );
    expect([...scalars.step]).toEqual([6, 9, 6]);
    expect([...scalars.seriesIndex].map(i => scalars.series[i]!.attributes.step)).toEqual([
      undefined,
      6,
      undefined,
    ]);
  });

  it('reads attributes that other fields of the point stand between', () => {
    const writer = new WireWriter();
    const outer = [writer.beginMessage(1), writer.beginMessage(2), writer.beginMessage(2)];
    writer.stringField(1, 'loss');
    outer.push(writer.beginMessage(5));
    for (const layer of [1, 2, 2]) {
      const point = writer.beginMessage(1);
      encodeKeyValue(writer, 7, 'mode', 'train');
      writer.doubleField(4, layer);
      encodeKeyValue(writer, 7, 'layer', layer);
      writer.endMessage(point);
    }
    for (const mark of outer.reverse()) writer.endMessage(mark);
    const { scalars } = decodeMetrics(writer.copy());
    expect([...scalars.seriesIndex]).toEqual([0, 1, 1]);
    expect(scalars.series.map(series => plain(series.attributes))).toEqual(
      [1, 2].map(layer => plain({ mode: 'train', layer })),
    );
  });

  it('shares one Series between points that differ in the order of attributes, and between pieces of a metric', () => {
    const point = (attributes: object[]) => ({ asDouble: 1, attributes });
    const a = oracleAttributes({ x: 1, y: 'b' });
    const request = gauge([point(a), point(a.toReversed()), point([]), point(a)]);
    const twice = { resourceMetrics: [...request.resourceMetrics, ...request.resourceMetrics] };
    const scalars = scalarsOf(twice);
    expect([...scalars.seriesIndex]).toEqual([0, 0, 1, 0, 0, 0, 1, 0]);
  });

  it('keeps series of one name apart that differ in unit, description or kind', () => {
    const point = [{ asDouble: 1 }];
    const metrics = [{ unit: 's' }, { unit: 'ms' }, { description: 's' }, {}].map(extra => ({
      name: 'n',
      ...extra,
      gauge: { dataPoints: point },
    }));
    const request = {
      resourceMetrics: [
        { scopeMetrics: [{ metrics: [...metrics, { name: 'n', sum: { dataPoints: point } }] }] },
      ],
    };
    expect(scalarsOf(request).series.map(({ unit, description, kind }) => [unit, description, kind])).toEqual(
      [
        ['s', '', 'gauge'],
        ['ms', '', 'gauge'],
        ['', 's', 'gauge'],
        ['', '', 'gauge'],
        ['', '', 'sum'],
      ],
    );
  });

  it('leaves out points that say they have no value', () => {
    expect(scalarsOf(gauge([{ asDouble: 1, flags: 1 }, {}, { asInt: long(4n) }])).value).toEqual(
      Float64Array.of(4),
    );
  });

  it('keeps integers beyond 2^53 exact', () => {
    const values = [2n ** 53n + 1n, -(2n ** 63n), 2n ** 63n - 1n, 5n];
    const scalars = scalarsOf(gauge(values.map(value => ({ asInt: long(value) }))));
    expect([0, 1, 2, 3].map(i => scalars.bigValue!.get(i))).toEqual([...values.slice(0, 3), undefined]);
    expect([...scalars.value]).toEqual(values.map(Number));
  });

  it('gives columns that grow and still share memory between the two views of time', () => {
    const scalars = scalarsOf(
      gauge(Array.from({ length: 3000 }, (_, i) => ({ asDouble: i, timeUnixNano: long(BigInt(i) << 31n) }))),
    );
    expect(scalars.count).toBe(3000);
    expect(scalars.value[2999]).toBe(2999);
    expect(scalars.timeUnixNano[2999]).toBe(2999n << 31n);
    expect(scalars.timeWords[2 * 2999 + 1]).toBe(Number((2999n << 31n) >> 32n));
    expect(scalars.timeUnixNano.buffer).toBe(scalars.timeWords.buffer);
  });

  describe('of histograms', () => {
    const histogramsOf = (kind: string, point: object) =>
      decodeMetrics(
        encode(TYPES.metrics, {
          resourceMetrics: [
            {
              scopeMetrics: [
                { metrics: [{ name: 'h', [kind]: { aggregationTemporality: 2, dataPoints: [point] } }] },
              ],
            },
          ],
        }),
      ).histograms;
    const longs = (...counts: number[]) => counts.map(count => long(BigInt(count)));

    it('keeps only the count where bounds and counts do not fit, or bounds do not ascend', () => {
      for (const point of [
        { explicitBounds: [1, 2], bucketCounts: longs(1, 2) },
        { explicitBounds: [2, 1], bucketCounts: longs(1, 2, 3) },
        { explicitBounds: [Number.NaN], bucketCounts: longs(1, 2) },
        {},
      ]) {
        const [histogram] = histogramsOf('histogram', { count: long(6n), ...point });
        expect([...histogram!.bounds]).toEqual([]);
        expect([...histogram!.counts]).toEqual([6]);
      }
    });

    it('turns exponential buckets into explicit ones', () => {
      const [histogram] = histogramsOf('exponentialHistogram', {
        count: long(21n),
        scale: 0,
        zeroCount: long(3n),
        positive: { offset: 1, bucketCounts: longs(4, 0, 5) },
        negative: { offset: -1, bucketCounts: longs(2, 7) },
      });
      // Negative: [-1, -0.5) 2 values, [-2, -1) 7. Positive: (2, 4] 4, (4, 8] none, (8, 16] 5.
      expect([...histogram!.bounds]).toEqual([-2, -1, -0.5, 0, 2, 4, 8, 16]);
      expect([...histogram!.counts]).toEqual([0, 7, 2, 3, 0, 4, 0, 5, 0]);
      expect(histogram!.temporality).toBe('cumulative');
    });

    it('merges exponential buckets until there are at most 512, and loses no count', () => {
      const counts = fc.array(fc.nat({ max: 9 }), { maxLength: 1500, size: 'max' });
      const offset = fc.oneof(
        fc.integer({ min: -2000, max: 2000 }),
        fc.constantFrom(-(2 ** 31), 2 ** 31 - 1),
      );
      fc.assert(
        fc.property(
          counts,
          counts,
          offset,
          offset,
          fc.integer({ min: -20, max: 20 }),
          fc.boolean(),
          (up, down, upAt, downAt, scale, threshold) => {
            const [histogram] = histogramsOf('exponentialHistogram', {
              scale,
              zeroCount: long(5n),
              zeroThreshold: threshold ? 1e-3 : 0,
              positive: { offset: upAt, bucketCounts: longs(...up) },
              negative: { offset: downAt, bucketCounts: longs(...down) },
            });
            const { bounds, counts } = histogram!;
            expect(counts.length).toBe(bounds.length + 1);
            expect(counts.length).toBeLessThanOrEqual(512);
            expect(
              bounds.every((bound, i) => Number.isFinite(bound) && (i === 0 || bound > bounds[i - 1]!)),
            ).toBe(true);
            expect(counts.reduce((a, b) => a + b, 0)).toBe([...up, ...down, 5].reduce((a, b) => a + b, 0));
            // Up to a bound that is an edge of the original buckets lies what those buckets counted up to it.
            if (threshold || Math.abs(upAt) > 2000 || scale < 0) return;
            let below = 0;
            for (let i = 0; i < bounds.length; i++) {
              below += counts[i]!;
              if (bounds[i]! <= 0) continue;
              const index = Math.round(Math.log2(bounds[i]!) * 2 ** scale) - 1 - upAt;
              if (bounds[i]! === 2 ** ((index + 1 + upAt) * 2 ** -scale))
                expect(below).toBe(
                  [...down, 5, ...up.slice(0, Math.max(0, index + 1))].reduce((a, b) => a + b, 0),
                );
            }
          },
        ),
        { numRuns: 60 },
      );
    });

    it('shares one series between points of a histogram', () => {
      const point = { attributes: oracleAttributes({ a: 1 }), count: long(1n), bucketCounts: longs(1) };
      const bytes = encode(TYPES.metrics, {
        resourceMetrics: [
          { scopeMetrics: [{ metrics: [{ name: 'h', histogram: { dataPoints: [point, point] } }] }] },
        ],
      });
      const [first, second] = decodeMetrics(bytes).histograms;
      expect(second!.series).toBe(first!.series);
    });
  });
});

/** The plain reading: what the decoder's documentation says, done slowly on the oracle's objects. */
function reading(request: Plain): { scalars: unknown[]; histograms: unknown[]; items: number } {
  const scalars: unknown[] = [];
  const histograms: unknown[] = [];
  let items = 0;
  for (const resourceMetrics of request.resourceMetrics ?? []) {
    const resource = plain({ attributes: attributesOf(resourceMetrics.resource?.attributes) });
    for (const scopeMetrics of resourceMetrics.scopeMetrics ?? []) {
      const from = scopeMetrics.scope ?? {};
      const scope = plain({
        name: from.name ?? '',
        version: from.version ?? '',
        attributes: attributesOf(from.attributes),
      });
      for (const metric of scopeMetrics.metrics ?? []) {
        const head = {
          resource,
          scope,
          name: metric.name ?? '',
          unit: metric.unit ?? '',
          description: metric.description ?? '',
        };
        for (const kind of ['gauge', 'sum'] as const) {
          for (const point of metric[kind]?.dataPoints ?? []) {
            items++;
            const value = point.asDouble ?? integer(point.asInt);
            if (value === undefined || (point.flags ?? 0) & 1) continue;
            const { attributes, ...rest } = stepAndContext(point);
            scalars.push({
              series: { ...head, attributes, kind },
              timeUnixNano: BigInt(point.timeUnixNano ?? 0),
              value,
              ...rest,
            });
          }
        }
        for (const point of metric.summary?.dataPoints ?? []) {
          items++;
          if ((point.flags ?? 0) & 1) continue;
          const { attributes, step } = stepAndContext(point);
          const add = (suffix: string, kind: string, value: unknown) =>
            scalars.push({
              series: { ...head, name: `${head.name}/${suffix}`, attributes, kind },
              timeUnixNano: BigInt(point.timeUnixNano ?? 0),
              value,
              step,
              context: undefined,
            });
          add('count', 'sum', integer(point.count ?? 0));
          add('sum', 'sum', point.sum ?? 0);
          for (const { quantile, value } of point.quantileValues ?? [])
            add(`q${quantile ?? 0}`, 'gauge', value ?? 0);
        }
        for (const kind of ['histogram', 'exponentialHistogram'] as const) {
          for (const point of metric[kind]?.dataPoints ?? []) {
            items++;
            if ((point.flags ?? 0) & 1) continue;
            const { attributes, ...rest } = stepAndContext(point);
            const all = [
              ...(point.bucketCounts ?? []),
              point.zeroCount ?? 0,
              ...(point.positive?.bucketCounts ?? []),
              ...(point.negative?.bucketCounts ?? []),
            ];
            histograms.push({
              series: { ...head, attributes },
              timeUnixNano: BigInt(point.timeUnixNano ?? 0),
              ...rest,
              count: Number(point.count ?? 0),
              sum: point.sum ?? Number.NaN,
              min: point.min ?? Number.NaN,
              max: point.max ?? Number.NaN,
              temporality: ['unspecified', 'delta', 'cumulative'][metric[kind].aggregationTemporality ?? 0],
              total: all.map(Number).reduce((a, b) => a + b, 0),
            });
          }
        }
      }
    }
  }
  return { scalars, histograms, items };
}

function integer(text: string | number | undefined): number | bigint | undefined {
  if (text === undefined) return undefined;
  const value = BigInt(text);
  return Number.isSafeInteger(Number(value)) ? Number(value) : value;
}

function stepAndContext(point: Plain): { attributes: unknown; step: number; context: unknown } {
  const numberOf = (entry: Plain): number => {
    const { intValue, doubleValue } = entry.value ?? {};
    return intValue !== undefined ? Number(intValue) : (doubleValue ?? Number.NaN);
  };
  const stepIn = (list: Plain[], name: string) =>
    list.findIndex(entry => entry.key === name && !Number.isNaN(numberOf(entry)));
  const exemplars: Plain[] = point.exemplars ?? [];
  const chosen = exemplars.find(one => stepIn(one.filteredAttributes ?? [], STEP) >= 0) ?? exemplars[0];
  let step = Number.NaN;
  let context: unknown;
  if (chosen !== undefined) {
    const filtered: Plain[] = chosen.filteredAttributes ?? [];
    const steps = filtered.filter(entry => entry.key === STEP && !Number.isNaN(numberOf(entry)));
    if (steps.length > 0) step = numberOf(steps.at(-1));
    const others = filtered.filter(entry => !steps.includes(entry));
    const id = (bytes: Uint8Array | undefined, size: number) =>
      bytes?.length === size && !/^0*$/.test(hex(bytes)) ? hex(bytes) : '';
    const traceId = id(chosen.traceId, 16);
    const spanId = id(chosen.spanId, 8);
    if (traceId !== '' || spanId !== '' || others.length > 0)
      context = plain({
        traceId,
        spanId,
        attributes: Object.assign(
          Object.create(null),
          ...others.map(entry => ({ [entry.key ?? '']: modelValue(entry.value) })),
        ),
      });
  }
  const attributes: Plain[] = [...(point.attributes ?? [])];
  const fromExemplar = !Number.isNaN(step);
  for (const name of fromExemplar ? [STEP] : STEP_ATTRIBUTES) {
    const at = stepIn(attributes, name);
    if (at < 0) continue;
    if (!fromExemplar) step = numberOf(attributes[at]);
    attributes.splice(at, 1);
    break;
  }
  return { attributes: plain(attributesOf(attributes)), step, context };
}
