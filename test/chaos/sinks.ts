// Reads what a collector wrote, the way a reader of each format would: JSON lines, event files, and forwarded OTLP requests.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { decodeFile } from '../../src/collector/exporters/tensorboard/event-reader.ts';
import { decodeMetrics } from '../../src/otlp/metrics.ts';
import { RUN_ATTEMPT, RUN_ID } from '../../src/semconv/names.ts';
import type { SeenPoint } from './judge.ts';
import { readName } from './plan.ts';

/** Keys of a line that are no metric. */
const OWN_KEYS = new Set(['step', 'time', 'mode', 'scope', 'instance', 'rank', 'attempt', 'axes']);

/** A sink whose file cannot be read as its format asks. */
export class SinkError extends Error {}

/** Rows of logs/metrics.jsonl. With `superseded: false` those that a later attempt replaced are left out. */
export function* readJsonl(runs: string, run: string, options: { superseded: boolean }): Iterable<SeenPoint> {
  const folder = join(runs, run, 'logs');
  for (const name of listed(folder).filter(file => /^metrics(\..+)?\.jsonl$/.test(file))) {
    const text = readFileSync(join(folder, name), 'utf8');
    if (text !== '' && !text.endsWith('\n')) throw new SinkError(`${name} of ${run} ends in half a line`);
    const lines = text.split('\n').slice(0, -1);
    const marks: { attempt: number; from_step: number }[] = [];
    const rows = lines.map((line, i) => {
      try {
        const row = JSON.parse(line) as Record<string, unknown>;
        if (row.superseded !== undefined)
          marks.push(row.superseded as { attempt: number; from_step: number });
        return row;
      } catch {
        throw new SinkError(`${name} of ${run}, line ${i + 1} is no JSON: ${line.slice(0, 200)}`);
      }
    });
    for (const [i, row] of rows.entries()) {
      if (row.superseded !== undefined || row.histogram !== undefined) continue;
      const attempt = Number(row.attempt ?? 1);
      const step = Number(row.step);
      const replaced = marks.some(mark => mark.attempt > attempt && mark.from_step <= step);
      if (replaced && !options.superseded) continue;
      for (const [key, value] of Object.entries(row)) {
        if (OWN_KEYS.has(key)) continue;
        const number = typeof value === 'number' ? value : special(value);
        yield { run, name: key, step, value: number, row: `${name}:${i}`, attempt };
      }
    }
  }
}

function special(value: unknown): number {
  if (value === 'NaN' || value === 'Infinity' || value === '-Infinity') return Number(value);
  throw new SinkError(`${JSON.stringify(value)} is no value of a metric`);
}

/** Scalars of the event files as TensorBoard's Python reader keeps them: each START but the first takes away what has its step or a higher one. */
export function* readTensorboard(runs: string, run: string): Iterable<SeenPoint> {
  const folder = join(runs, run);
  const files = listed(folder)
    .filter(name => name.includes('tfevents'))
    .sort();
  let points: SeenPoint[] = [];
  let started = false;
  for (const name of files) {
    const { events, end } = decodeFile(readFileSync(join(folder, name)));
    if (end.kind !== 'end') throw new SinkError(`${name} of ${run}: ${JSON.stringify(end)}`);
    for (const event of events) {
      if (event.start) {
        if (started) points = points.filter(point => point.step < event.step);
        started = true;
      }
      for (const { tag, hasScalar, scalar } of event.values) {
        if (!hasScalar || readName(tag) === undefined) continue;
        points.push({ run, name: tag, step: event.step, value: scalar, row: event.wallTime, attempt: 0 });
      }
    }
  }
  yield* points;
}

/** Points of metrics requests. */
export function* readRequests(requests: Iterable<Uint8Array>): Iterable<SeenPoint> {
  for (const bytes of requests) {
    const { scalars } = decodeMetrics(bytes);
    for (let i = 0; i < scalars.count; i++) {
      const series = scalars.series[scalars.seriesIndex[i]!]!;
      if (readName(series.name) === undefined) continue;
      const { attributes } = series.resource;
      yield {
        run: String(attributes[RUN_ID]),
        name: series.name,
        step: scalars.step[i]!,
        value: scalars.value[i]!,
        row: String(scalars.timeUnixNano[i]),
        attempt: Number(attributes[RUN_ATTEMPT] ?? 1),
      };
    }
  }
}

export function listed(folder: string): string[] {
  return existsSync(folder) ? readdirSync(folder) : [];
}
