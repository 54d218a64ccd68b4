// Random messages: records in our own terms, and whole metrics requests in the oracle's.
import fc from 'fast-check';
import type { AnyValue, Attributes } from '../../src/otlp/model.ts';
import { STEP_ATTRIBUTES } from '../../src/semconv/names.ts';
import { long, oracleAttributes, oracleValue } from './oracle.ts';

/** Text as JavaScript has it, but without lone surrogates, which no UTF-8 can hold. */
export const text = fc.oneof(
  fc.string({ maxLength: 12 }),
  fc.string({ unit: 'grapheme', maxLength: 60 }),
  fc.constantFrom('__proto__', 'constructor', '', 'é'.repeat(100), 'x'.repeat(130), '\0'),
);
export const uint64 = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
const bigInteger = fc
  .bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n })
  .map(value => (Number.isSafeInteger(Number(value)) ? Number(value) : value));
export const number = fc.oneof(
  fc.double(),
  fc.integer(),
  fc.constantFrom(
    Number.NaN,
    Number.POSITIVE_INFINITY,
    -0,
    2 ** 53,
    Number.MAX_SAFE_INTEGER,
    Number.MIN_SAFE_INTEGER,
  ),
);
const bytes = fc.uint8Array({ maxLength: 20 }).map(array => new Uint8Array(array));

export const { value } = fc.letrec<{ value: AnyValue }>(tie => ({
  value: fc.oneof(
    { maxDepth: 4, depthSize: 'small', withCrossShrink: true },
    text,
    fc.boolean(),
    fc.constant(null),
    number,
    bigInteger,
    bytes,
    fc.array(tie('value'), { maxLength: 4 }),
    fc.dictionary(text, tie('value'), { maxKeys: 4, noNullPrototype: false }) as fc.Arbitrary<AnyValue>,
  ),
}));
export const attributes = fc.dictionary(text, value, {
  maxKeys: 5,
  noNullPrototype: false,
}) as fc.Arbitrary<Attributes>;

function id(size: number): fc.Arbitrary<string> {
  return fc
    .uint8Array({ minLength: size, maxLength: size })
    .map(array => Buffer.from(array).toString('hex'))
    .map(hex => (/^0*$/.test(hex) ? '' : hex));
}
export const traceId = fc.oneof(fc.constant(''), id(16));
export const spanId = fc.oneof(fc.constant(''), id(8));
const uint32 = fc.nat({ max: 0xffffffff });

export const logRecord = fc.record({
  timeUnixNano: uint64,
  observedTimeUnixNano: uint64,
  severityNumber: fc.nat({ max: 24 }),
  severityText: text,
  eventName: text,
  body: value,
  attributes,
  droppedAttributesCount: uint32,
  traceId,
  spanId,
  flags: uint32,
});

export const span = fc.record({
  traceId,
  spanId,
  parentSpanId: spanId,
  traceState: text,
  name: text,
  kind: fc.nat({ max: 5 }),
  startTimeUnixNano: uint64,
  endTimeUnixNano: uint64,
  attributes,
  events: fc.array(fc.record({ timeUnixNano: uint64, name: text, attributes }), { maxLength: 3 }),
  links: fc.array(fc.record({ traceId, spanId, traceState: text, attributes }), { maxLength: 3 }),
  statusCode: fc.nat({ max: 2 }),
  statusMessage: text,
  flags: uint32,
});

export const resource = fc.record({ attributes });
export const scope = fc.record({ name: text, version: text, attributes });

// From here on: metrics as the oracle takes them.

const rawId = (size: number) =>
  fc.oneof(
    fc.constant(new Uint8Array(0)),
    fc.uint8Array({ minLength: size, maxLength: size }).map(array => new Uint8Array(array)),
    fc.constant(new Uint8Array(3).fill(7)),
  );
const keyValues = attributes.map(oracleAttributes);
/** Attributes in which a step may hide, under any of its names and with a fitting value or not. */
const stepAttributes = fc
  .tuple(
    attributes,
    fc.array(fc.tuple(fc.constantFrom(...STEP_ATTRIBUTES), fc.oneof(fc.integer(), fc.double(), text)), {
      maxLength: 2,
    }),
  )
  .map(([others, steps]) => [
    ...oracleAttributes(others),
    ...steps.map(([key, step]) => ({ key, value: oracleValue(step) })),
  ]);
const anyNumber = fc.oneof(
  fc.double().map(asDouble => ({ asDouble })),
  fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }).map(value => ({ asInt: long(value) })),
);
const exemplar = fc
  .tuple(
    anyNumber,
    fc.record({
      timeUnixNano: uint64.map(long),
      spanId: rawId(8),
      traceId: rawId(16),
      filteredAttributes: stepAttributes,
    }),
  )
  .map(([point, rest]) => ({ ...point, ...rest }));
const flags = fc.constantFrom(0, 0, 0, 1);
const numberPoint = fc
  .tuple(
    fc.oneof(anyNumber, fc.constant({})),
    fc.record({
      startTimeUnixNano: uint64.map(long),
      timeUnixNano: uint64.map(long),
      exemplars: fc.array(exemplar, { maxLength: 2 }),
      attributes: stepAttributes,
      flags,
    }),
  )
  .map(([point, rest]) => ({ ...point, ...rest }));
const optionalNumbers = { sum: fc.double(), min: fc.double(), max: fc.double() };
const histogramPoint = fc
  .array(fc.double({ noNaN: true }), { maxLength: 6 })
  .map(bounds => [...new Set(bounds.map(bound => bound + 0))].sort((a, b) => a - b))
  .chain(explicitBounds =>
    fc.record(
      {
        timeUnixNano: uint64.map(long),
        count: fc.nat().map(count => long(BigInt(count))),
        ...optionalNumbers,
        explicitBounds: fc.constant(explicitBounds),
        bucketCounts: fc.array(
          fc.nat().map(count => long(BigInt(count))),
          {
            minLength: explicitBounds.length + 1,
            maxLength: explicitBounds.length + 1,
          },
        ),
        exemplars: fc.array(exemplar, { maxLength: 2 }),
        attributes: stepAttributes,
        flags,
      },
      {
        requiredKeys: [
          'timeUnixNano',
          'count',
          'explicitBounds',
          'bucketCounts',
          'exemplars',
          'attributes',
          'flags',
        ],
      },
    ),
  );
const buckets = fc.record({
  offset: fc.integer({ min: -100, max: 100 }),
  bucketCounts: fc.array(
    fc.nat({ max: 1000 }).map(count => long(BigInt(count))),
    { maxLength: 30 },
  ),
});
const exponentialPoint = fc.record(
  {
    timeUnixNano: uint64.map(long),
    count: fc.nat().map(count => long(BigInt(count))),
    ...optionalNumbers,
    scale: fc.integer({ min: -3, max: 12 }),
    zeroCount: fc.nat({ max: 9 }).map(count => long(BigInt(count))),
    zeroThreshold: fc.constantFrom(0, 0, 1e-9),
    positive: buckets,
    negative: buckets,
    exemplars: fc.array(exemplar, { maxLength: 2 }),
    attributes: stepAttributes,
    flags,
  },
  { requiredKeys: ['timeUnixNano', 'count', 'scale', 'attributes', 'exemplars', 'flags'] },
);
const summaryPoint = fc.record({
  timeUnixNano: uint64.map(long),
  count: uint64.map(long),
  sum: fc.double(),
  quantileValues: fc.array(fc.record({ quantile: fc.double({ min: 0, max: 1 }), value: fc.double() }), {
    maxLength: 3,
  }),
  attributes: stepAttributes,
  flags,
});
const aggregationTemporality = fc.nat({ max: 2 });
const dataPoints = <T>(point: fc.Arbitrary<T>) => fc.array(point, { maxLength: 5 });
const metric = fc
  .tuple(
    fc.record({ name: text, description: text, unit: text }),
    fc.oneof(
      fc.record({ gauge: fc.record({ dataPoints: dataPoints(numberPoint) }) }),
      fc.record({
        sum: fc.record({
          dataPoints: dataPoints(numberPoint),
          aggregationTemporality,
          isMonotonic: fc.boolean(),
        }),
      }),
      fc.record({ histogram: fc.record({ dataPoints: dataPoints(histogramPoint), aggregationTemporality }) }),
      fc.record({
        exponentialHistogram: fc.record({ dataPoints: dataPoints(exponentialPoint), aggregationTemporality }),
      }),
      fc.record({ summary: fc.record({ dataPoints: dataPoints(summaryPoint) }) }),
      fc.constant({}),
    ),
  )
  .map(([head, data]) => ({ ...head, ...data }));

/** What an oracle takes as a resource and a scope. */
export const oracleResource = fc.record({ attributes: keyValues });
export const oracleScope = fc.record({ name: text, version: text, attributes: keyValues });

export const metricsRequest = fc.record({
  resourceMetrics: fc.array(
    fc.record({
      resource: oracleResource,
      schemaUrl: text,
      scopeMetrics: fc.array(
        fc.record({ scope: oracleScope, schemaUrl: text, metrics: fc.array(metric, { maxLength: 4 }) }),
        { maxLength: 2 },
      ),
    }),
    { maxLength: 2 },
  ),
});
