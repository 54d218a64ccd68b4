// Bytes recorded from the OpenTelemetry SDKs of other languages and from the upstream Collector; testdata/recorded says which.

import fs from 'node:fs';
import { describe, expect, it } from '@jest/globals';
import { checkRequest } from '../../src/otlp/check.ts';
import { decodeLogs } from '../../src/otlp/logs.ts';
import { decodeMetrics } from '../../src/otlp/metrics.ts';
import type { Signal } from '../../src/otlp/model.ts';
import { decodeTraces } from '../../src/otlp/traces.ts';
import type { Sent } from '../interop/sent.ts';

const RECORDED = new URL('./testdata/recorded/', import.meta.url);
/** Unix ns of 2020; anything earlier is a wrong field. */
const LONG_AGO = 1_577_836_800_000_000_000n;

describe.each(['python', 'go', 'js', 'upstream'])('requests written by %s', sender => {
  const sent = JSON.parse(fs.readFileSync(new URL(`${sender}.json`, RECORDED), 'utf8')) as Sent;
  const request = (signal: Signal) =>
    new Uint8Array(fs.readFileSync(new URL(`${sender}-${signal}.bin`, RECORDED)));

  it('pass the check, which counts their items', () => {
    expect(checkRequest('traces', request('traces'))).toEqual({ ok: true, items: sent.spans.length });
    expect(checkRequest('logs', request('logs'))).toEqual({
      ok: true,
      items: sent.logs.length + sent.rows.length,
    });
    const points = sent.scalars.length + sent.histograms.length;
    expect(checkRequest('metrics', request('metrics'))).toEqual({ ok: true, items: points });
  });

  it('decode to their spans', () => {
    const spans = decodeTraces(request('traces'));
    const decoded = spans.map(({ name, traceId, spanId, parentSpanId, statusCode: status }) => ({
      name,
      traceId,
      spanId,
      parentSpanId,
      status,
    }));
    expect(decoded).toEqual(sent.spans);
    for (const span of spans) {
      expect(span.startTimeUnixNano).toBeGreaterThan(LONG_AGO);
      expect(span.endTimeUnixNano).toBeGreaterThanOrEqual(span.startTimeUnixNano);
      expect(span.scope).toMatchObject({ name: 'interop.tracer', version: '1.2.3' });
      expect(span.resource.attributes).toMatchObject({
        'service.name': 'interop',
        'kymo.run.id': 'recorded',
      });
    }
    const { attributes } = spans.find(span => span.name === 'episode')!;
    const { count, ...others } = attributes;
    expect({ ...others }).toEqual({ text: 'häß 漢 🚀', flag: true, ratio: 0.1, sizes: [1, 2, 3] });
    expect(BigInt(count as number | bigint)).toBe(BigInt(sent.count));
    const failed = spans.find(span => span.statusCode === 2)!;
    expect(failed).toMatchObject({
      statusMessage: 'it fell',
      events: [{ name: 'reset', attributes: { reason: 'fell' } }],
      links: [{ traceId: failed.traceId, spanId: failed.parentSpanId }],
    });
  });

  it('decode to their log records and events', () => {
    const records = decodeLogs(request('logs'));
    const texts = records.filter(record => record.eventName === '');
    expect(
      texts.map(({ body, severityNumber, attributes, traceId }) => ({
        body,
        severityNumber,
        attribute: attributes.index,
        traceId,
      })),
    ).toEqual(sent.logs);
    for (const record of texts)
      expect(record.attributes).toMatchObject({ place: { cart: 0.5, tags: ['a', 'b'] } });
    const rows = records.filter(record => record.eventName === 'kymo.row');
    expect(
      rows.map(({ attributes }) => ({
        step: attributes['kymo.step'],
        values: { ...(attributes['kymo.row.values'] as object) },
      })),
    ).toEqual(sent.rows);
  });

  it('decode to their points, with the step that stands among the attributes', () => {
    const { scalars, histograms } = decodeMetrics(request('metrics'));
    const points = Array.from({ length: scalars.count }, (_, i) => {
      const series = scalars.series[scalars.seriesIndex[i]!]!;
      expect(series.attributes).toEqual({});
      expect(scalars.timeUnixNano[i]!).toBeGreaterThan(LONG_AGO);
      const step = scalars.step[i]!;
      return { name: series.name, value: scalars.value[i]!, ...(Number.isNaN(step) ? {} : { step }) };
    });
    expect(points.toSorted(byNameAndStep)).toEqual(sent.scalars.toSorted(byNameAndStep));
    expect(scalars.series.filter(series => series.name === 'stepped')).toHaveLength(1);
    const decoded = histograms.map(({ series, count, sum, min, max }) => ({
      name: series.name,
      count,
      sum,
      min,
      max,
    }));
    expect(decoded.toSorted(byNameAndStep)).toEqual(sent.histograms.toSorted(byNameAndStep));
    for (const { counts, bounds, count } of histograms) {
      expect(counts).toHaveLength(bounds.length + 1);
      expect(counts.reduce((sum, n) => sum + n, 0)).toBe(count);
    }
  });
});

interface Named {
  readonly name: string;
  readonly step?: number;
}
function byNameAndStep(a: Named, b: Named): number {
  return a.name < b.name ? -1 : a.name > b.name ? 1 : (a.step ?? 0) - (b.step ?? 0);
}
