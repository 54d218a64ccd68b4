// What the emitters in Python, Go and JavaScript print after they sent it, and the judge of whether all of it is in a run's files.

import fs from 'node:fs';
import path from 'node:path';
import { expect } from '@jest/globals';
import { decodeFile } from '../../src/collector/exporters/tensorboard/event-reader.ts';

export interface Sent {
  /** An integer attribute of the root span that a double cannot hold, or the largest that the sender's language has. */
  readonly count: string;
  readonly spans: {
    readonly name: string;
    readonly traceId: string;
    readonly spanId: string;
    readonly parentSpanId: string;
    /** OTLP's StatusCode. */
    readonly status: number;
  }[];
  readonly logs: {
    readonly body: string;
    readonly severityNumber: number;
    /** Value of the attribute `index`. */
    readonly attribute: number;
    readonly traceId: string;
  }[];
  /** Sent as `kymo.row` events. */
  readonly rows: { readonly step: number; readonly values: Readonly<Record<string, number>> }[];
  readonly scalars: { readonly name: string; readonly value: number; readonly step?: number }[];
  readonly histograms: {
    readonly name: string;
    readonly count: number;
    readonly sum: number;
    readonly min: number;
    readonly max: number;
  }[];
}

type Line = Readonly<Record<string, unknown>>;

/** Fails unless every item is in the run's folder exactly once, and nothing else is. */
export function expectEverything(sent: Sent, runFolder: string): void {
  expectSpans(sent, runFolder);
  expectLogs(sent, runFolder);
  expectMetrics(sent, runFolder);
  expectCurves(sent, runFolder);
}

/** The lines of a run's file; none where there is no such file. */
export function readLines(runFolder: string, file: string): Line[] {
  const name = path.join(runFolder, 'logs', file);
  if (!fs.existsSync(name)) return [];
  return fs
    .readFileSync(name, 'utf8')
    .split('\n')
    .filter(line => line !== '')
    .map(line => JSON.parse(line) as Line);
}

function expectSpans(sent: Sent, runFolder: string): void {
  const lines = readLines(runFolder, 'spans.jsonl');
  const written = lines.map(line => ({
    name: line.name,
    traceId: line.trace_id,
    spanId: line.span_id,
    parentSpanId: line.parent_span_id ?? '',
    status: line.status === 'error' ? 2 : 0,
  }));
  expect(written.toSorted(bySpanId)).toEqual(sent.spans.toSorted(bySpanId));

  const root = lines.find(line => line.name === 'episode') ?? {};
  const { count, ...attributes } = root.attributes as Record<string, unknown>;
  expect(attributes).toEqual({ text: 'häß 漢 🚀', flag: true, ratio: 0.1, sizes: [1, 2, 3] });
  expect(root.kind).toBe('server');
  // JSON.parse would round it.
  expect(fs.readFileSync(path.join(runFolder, 'logs', 'spans.jsonl'), 'utf8')).toContain(
    `"count":${sent.count}`,
  );
  expect(Number(sent.count)).toBe(count);

  const last = lines.find(line => line.status === 'error');
  expect(last).toMatchObject({
    status_message: 'it fell',
    events: [{ name: 'reset', attributes: { reason: 'fell' } }],
    links: [{ trace_id: root.trace_id, span_id: root.span_id }],
  });
}

function expectLogs(sent: Sent, runFolder: string): void {
  const lines = readLines(runFolder, 'logs.jsonl').filter(line => line.event === undefined);
  const written = lines.map(line => ({
    body: line.message,
    severityNumber: line.severity,
    attribute: (line.attributes as Record<string, unknown>).index,
    traceId: line.trace_id,
  }));
  expect(written).toEqual(sent.logs);
  for (const line of lines) expect(line.attributes).toMatchObject({ place: { cart: 0.5, tags: ['a', 'b'] } });
}

function expectMetrics(sent: Sent, runFolder: string): void {
  const lines = readLines(runFolder, 'metrics.jsonl');
  const scalars = lines.filter(line => line.histogram === undefined);
  const written = scalars.flatMap(({ step, time, instance, trace_id, span_id, axes, ...values }) =>
    Object.entries(values).map(([name, value]) => ({ name, value, step })),
  );
  const expected = [
    ...sent.rows.flatMap(({ step, values }) =>
      Object.entries(values).map(([name, value]) => ({ name, value, step })),
    ),
    // A sender that knows no steps gets them counted, from 0.
    ...sent.scalars.map(scalar => ({ step: 0, ...scalar })),
  ];
  expect(written.toSorted(byNameAndStep)).toEqual(expected.toSorted(byNameAndStep));
  for (const { values } of sent.rows) {
    const together = scalars.filter(line => Object.keys(values).every(name => name in line));
    expect(together).toHaveLength(sent.rows.length);
  }

  const histograms = lines
    .filter(line => line.histogram !== undefined)
    .map(line => {
      const counts = line.counts as number[];
      expect(counts).toHaveLength((line.bounds as number[]).length + 1);
      expect(counts.reduce((sum, count) => sum + count, 0)).toBe(line.count);
      return { name: line.histogram, count: line.count, sum: line.sum, min: line.min, max: line.max };
    });
  expect(histograms.toSorted(byNameAndStep)).toEqual(sent.histograms.toSorted(byNameAndStep));
}

/** The same points once more, as readers of the event files see them: a START drops what was read from its step on. */
function expectCurves(sent: Sent, runFolder: string): void {
  const found = new Map<string, number[]>();
  for (const file of fs.readdirSync(runFolder).filter(name => name.includes('tfevents'))) {
    const { events, end } = decodeFile(fs.readFileSync(path.join(runFolder, file)));
    expect(end.kind).toBe('end');
    for (const event of events) {
      if (event.start)
        for (const [tag, steps] of found)
          found.set(
            tag,
            steps.filter(step => step < event.step),
          );
      for (const value of event.values) found.set(value.tag, [...(found.get(value.tag) ?? []), event.step]);
    }
  }
  const stepped = sent.scalars.filter(scalar => scalar.name === 'stepped').map(scalar => scalar.step);
  expect(found.get('stepped')).toEqual(stepped);
  for (const name of Object.keys(sent.rows[0]!.values))
    expect(found.get(name)).toEqual(sent.rows.map(row => row.step));
  for (const { name } of [...sent.scalars, ...sent.histograms]) expect([...found.keys()]).toContain(name);
}

function bySpanId(a: { readonly spanId: unknown }, b: { readonly spanId: unknown }): number {
  return compare(a.spanId, b.spanId);
}

function byNameAndStep(
  a: Line | { name: unknown; step?: unknown },
  b: Line | { name: unknown; step?: unknown },
): number {
  return compare(a.name, b.name) || Number(a.step ?? 0) - Number(b.step ?? 0);
}

function compare(a: unknown, b: unknown): number {
  return String(a) < String(b) ? -1 : String(a) > String(b) ? 1 : 0;
}
