// Batches as the feed hands them to exporters, made from rows, histograms and events written down plainly.

import type {
  Batch,
  ExporterContext,
  Logger,
  ResolvedHistogram,
  ResolvedLog,
} from '../../../../src/collector/component.ts';
import { createResolver } from '../../../../src/collector/runs/resolve.ts';
import type {
  Attributes,
  HistogramPoint,
  LogRecord,
  Resource,
  Scope,
  Series,
} from '../../../../src/otlp/model.ts';

export interface Process {
  readonly run: string;
  readonly instance?: string;
  readonly rank?: number;
  readonly attempt?: number;
  readonly resumeStep?: number;
}
export interface Row {
  /** NaN or left out: none. */
  readonly step?: number;
  /** Unix seconds. */
  readonly time?: number;
  readonly values: Readonly<Record<string, number>>;
}
export interface Histogram {
  readonly name: string;
  readonly step: number;
  readonly bounds: readonly number[];
  readonly counts: readonly number[];
  readonly min?: number;
  readonly max?: number;
  readonly temporality?: HistogramPoint['temporality'];
}
export interface Event {
  readonly name: string;
  readonly attributes?: Attributes;
}

/** Makes batches with positions and times that grow. */
export class Sender {
  readonly #resolver = createResolver({ caseSensitive: true });
  #position = 0;
  #time = 1_700_000_000;

  rows(process: Process, rows: readonly Row[], histograms: readonly Histogram[] = []): Batch {
    const resource = resourceOf(process);
    const series: Series[] = [];
    const indexOf = new Map<string, number>();
    const count = rows.reduce((sum, row) => sum + Object.keys(row.values).length, 0);
    const timeUnixNano = new BigUint64Array(count);
    const columns = {
      count,
      series,
      seriesIndex: new Uint32Array(count),
      timeUnixNano,
      timeWords: new Uint32Array(timeUnixNano.buffer),
      value: new Float64Array(count),
      bigValue: undefined,
      step: new Float64Array(count),
      context: undefined,
    };
    const first = new Uint32Array(rows.length + 1);
    let at = 0;
    for (const [index, row] of rows.entries()) {
      const time = BigInt(Math.round((row.time ?? this.#time++) * 1e6)) * 1000n;
      for (const [name, value] of Object.entries(row.values)) {
        let known = indexOf.get(name);
        if (known === undefined) {
          known = series.length;
          indexOf.set(name, known);
          series.push({
            resource,
            scope: SCOPE,
            name,
            unit: '',
            description: '',
            attributes: none(),
            kind: 'gauge',
          });
        }
        columns.seriesIndex[at] = known;
        timeUnixNano[at] = time;
        columns.value[at] = value;
        columns.step[at++] = row.step ?? Number.NaN;
      }
      first[index + 1] = at;
    }
    const received = this.#received();
    return this.#batch('metrics', {
      scalars: {
        columns,
        resolved: series.map(one => this.#resolver.series(one, received)),
        rows: { count: rows.length, first, points: Uint32Array.from({ length: count }, (_, i) => i) },
      },
      histograms: histograms.map(one => this.#histogram(resource, one, received)),
    });
  }

  events(process: Process, events: readonly Event[]): Batch {
    const resource = resourceOf(process);
    const received = this.#received();
    const logs = events.map((event): ResolvedLog => {
      const record: LogRecord = {
        resource,
        scope: SCOPE,
        timeUnixNano: received,
        observedTimeUnixNano: received,
        severityNumber: 9,
        severityText: 'INFO',
        eventName: event.name,
        body: null,
        attributes: event.attributes ?? none(),
        droppedAttributesCount: 0,
        traceId: '',
        spanId: '',
        flags: 0,
      };
      return { record, ...this.#resolver.log(record, received) };
    });
    return this.#batch('logs', { logs });
  }

  #histogram(resource: Resource, one: Histogram, received: bigint): ResolvedHistogram {
    const series = { resource, scope: SCOPE, name: one.name, unit: '', description: '', attributes: none() };
    const counts = Float64Array.from(one.counts);
    return {
      point: {
        series,
        timeUnixNano: BigInt(this.#time++) * 1_000_000_000n,
        step: one.step,
        count: counts.reduce((sum, value) => sum + value, 0),
        sum: Number.NaN,
        min: one.min ?? Number.NaN,
        max: one.max ?? Number.NaN,
        bounds: Float64Array.from(one.bounds),
        counts,
        temporality: one.temporality ?? 'delta',
        context: undefined,
      },
      resolved: this.#resolver.series(series, received),
    };
  }

  #received(): bigint {
    return BigInt(this.#time) * 1_000_000_000n;
  }

  #batch(signal: Batch['signal'], parts: Partial<Batch>): Batch {
    const position = this.#position;
    this.#position += 100;
    return {
      position,
      next: this.#position,
      signal,
      receivedUnixNano: this.#received(),
      batchKey: '',
      bytes: new Uint8Array(0),
      scalars: undefined,
      histograms: [],
      logs: [],
      spans: [],
      ...parts,
    };
  }
}

/** A map as the decoder makes them. */
export function attributes(values: Readonly<Record<string, Attributes[string]>>): Attributes {
  return Object.assign(none(), values);
}

/** A context that writes down what it is told. */
export function testContext(
  baseDirectory: string,
  stateDirectory: string,
  writerId = 'w1',
): ExporterContext & { readonly said: string[]; readonly counts: Map<string, number> } {
  const said: string[] = [];
  const counts = new Map<string, number>();
  const say =
    (level: string): Logger['info'] =>
    (message, fields) =>
      void said.push(`${level} ${message} ${JSON.stringify(fields ?? {})}`);
  return {
    id: 'tensorboard',
    logger: { debug: say('debug'), info: say('info'), warn: say('warn'), error: say('error') },
    instruments: {
      count: (name, amount, labels) => {
        const key = labels === undefined ? name : `${name}{${Object.values(labels).join()}}`;
        counts.set(key, (counts.get(key) ?? 0) + amount);
      },
      set: () => undefined,
    },
    baseDirectory,
    stateDirectory,
    writerId,
    said,
    counts,
  };
}

const SCOPE: Scope = { name: 'test', version: '', attributes: none() };

function resourceOf(process: Process): Resource {
  const found = none();
  found['kymo.run.id'] = process.run;
  found['service.instance.id'] = process.instance ?? 'i1';
  if (process.rank !== undefined) found['kymo.rank'] = process.rank;
  if (process.attempt !== undefined) found['kymo.run.attempt'] = process.attempt;
  if (process.resumeStep !== undefined) found['kymo.run.resume_step'] = process.resumeStep;
  return { attributes: found };
}

function none(): Attributes {
  return Object.create(null) as Attributes;
}
