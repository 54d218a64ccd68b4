// A recorder that keeps calls instead of encoding them, in a runtime that stands where the process's own would: for the API's rules.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { context, logs, metrics, propagation, trace } from '@opentelemetry/api';
import { encodeResource, encodeScope } from '../../src/otlp/encode-records.ts';
import { decodeLogs } from '../../src/otlp/logs.ts';
import type { Attributes, LogRecord, SpanRecord } from '../../src/otlp/model.ts';
import { decodeTraces } from '../../src/otlp/traces.ts';
import { WireWriter } from '../../src/otlp/wire-writer.ts';
import type { MediaJob } from '../../src/sdk/media/job.ts';
import { createProviders, type Providers } from '../../src/sdk/providers.ts';
import type { DeliveryReport, HistogramInput, Recorder, SpanRef } from '../../src/sdk/recorder.ts';
import type { ActiveRun, Runtime } from '../../src/sdk/runtime.ts';

export interface RecordedRow {
  readonly step: number;
  readonly span: SpanRef;
  readonly axes: Attributes | undefined;
  readonly scope: ScopeDefinition;
  /** By metric name; bigints where they were recorded as integers. */
  readonly values: Record<string, number | bigint>;
  /** `kymo.mode` by metric name. */
  readonly modes: Record<string, unknown>;
}
export interface ScopeDefinition {
  readonly resource: Attributes;
  readonly name: string;
  readonly version: string;
  readonly attributes: Attributes;
}

/** A piece of media or an artifact, with a copy of its raw bytes. */
export interface RecordedJob {
  readonly scope: ScopeDefinition;
  readonly job: MediaJob;
  /** The log record as the caller's thread leaves it. */
  readonly record: LogRecord;
  readonly content: Uint8Array | undefined;
}

export class KeepingRecorder implements Recorder {
  readonly sender = 'test';
  readonly rows: RecordedRow[] = [];
  readonly histograms: { name: string; step: number; point: HistogramInput; scope: ScopeDefinition }[] = [];
  readonly records: { kind: 'log' | 'span'; scope: ScopeDefinition; bytes: Uint8Array }[] = [];
  readonly requests: { signal: string; bytes: Uint8Array; items: number }[] = [];
  readonly jobs: RecordedJob[] = [];
  readonly dropped: Record<string, number> = {};
  readonly spans: { traceId: string; spanId: string }[] = [];
  readonly series: { scope: ScopeDefinition; name: string; attributes: Attributes | undefined }[] = [];
  private readonly resources: Attributes[] = [];
  private readonly scopes: ScopeDefinition[] = [];
  private open:
    | { step: number; span: SpanRef; axes: Attributes | undefined; points: [number, number | bigint][] }
    | undefined;
  private time = 1_700_000_000_000_000_000n;

  defineResource(attributes: Attributes): number {
    this.idle();
    return this.resources.push({ ...attributes });
  }
  defineScope(resource: number, name: string, version: string, attributes: Attributes): number {
    this.idle();
    return this.scopes.push({ resource: this.resources[resource - 1]!, name, version, attributes });
  }
  defineSeries(scope: number, name: string, attributes: Attributes | undefined): number {
    this.idle();
    return this.series.push({ scope: this.scopes[scope - 1]!, name, attributes });
  }
  defineSpan(traceId: string, spanId: string): number {
    this.idle();
    return this.spans.push({ traceId, spanId });
  }
  beginRow(step: number, span: SpanRef, axes: Attributes | undefined): void {
    this.idle();
    this.open = { step, span, axes, points: [] };
  }
  add(series: number, value: number): void {
    this.open!.points.push([series, value]);
  }
  addInteger(series: number, value: bigint): void {
    this.open!.points.push([series, value]);
  }
  endRow(): void {
    const { step, span, axes, points } = this.open!;
    this.open = undefined;
    const values: Record<string, number | bigint> = Object.create(null);
    const modes: Record<string, unknown> = Object.create(null);
    let scope: ScopeDefinition | undefined;
    for (const [id, value] of points) {
      const series = this.series[id - 1]!;
      values[series.name] = value;
      modes[series.name] = series.attributes?.['kymo.mode'];
      scope = series.scope;
    }
    this.rows.push({ step, span, axes, scope: scope!, values, modes });
  }
  abortRow(): void {
    this.open = undefined;
  }
  histogram(series: number, step: number, _span: SpanRef, point: HistogramInput): void {
    this.idle();
    const { name, scope } = this.series[series - 1]!;
    this.histograms.push({
      name,
      step,
      point: { ...point, bounds: [...Array.from(point.bounds)], counts: [...Array.from(point.counts)] },
      scope,
    });
  }
  record(kind: 'log' | 'span', scope: number, bytes: Uint8Array): void {
    this.idle();
    this.records.push({ kind, scope: this.scopes[scope - 1]!, bytes: new Uint8Array(bytes) });
  }
  watchSystem(): void {}

  recordLast(scope: number, bytes: Uint8Array): void {
    this.record('log', scope, bytes);
  }
  media(scope: number, job: MediaJob, record: Uint8Array, content: Uint8Array | undefined): boolean {
    this.idle();
    this.jobs.push({
      scope: this.scopes[scope - 1]!,
      job,
      record: decodeLogs(requestAround(this.scopes[scope - 1]!, record))[0]!,
      content: content === undefined ? undefined : new Uint8Array(content),
    });
    return true;
  }
  request(signal: string, bytes: Uint8Array, items: number): void {
    this.idle();
    this.requests.push({ signal, bytes: new Uint8Array(bytes), items });
  }
  drop(reason: string, items: number): void {
    this.dropped[reason] = (this.dropped[reason] ?? 0) + items;
  }
  now(): bigint {
    this.time += 1n;
    return this.time;
  }
  flush(): Promise<DeliveryReport> {
    return Promise.resolve(this.report());
  }
  flushSync(): DeliveryReport {
    return this.report();
  }
  report(): DeliveryReport {
    const emitted =
      this.rows.reduce((sum, row) => sum + Object.keys(row.values).length, 0) + this.records.length;
    return {
      emitted,
      delivered: 0,
      pending: emitted,
      spooled: 0,
      dropped: { ...this.dropped },
      written: undefined,
      lastError: '',
    };
  }

  /** The log records so far, decoded from the bytes that were recorded. */
  logs(): LogRecord[] {
    return this.records
      .filter(record => record.kind === 'log')
      .flatMap(record => decodeLogs(requestAround(record.scope, record.bytes)));
  }
  spanRecords(): SpanRecord[] {
    return this.records
      .filter(record => record.kind === 'span')
      .flatMap(record => decodeTraces(requestAround(record.scope, record.bytes)));
  }

  /** The contract: nothing else may be recorded while a row is open. */
  private idle(): void {
    if (this.open !== undefined) throw new Error('something else was recorded inside a row');
  }
}

/** An Export{Logs,Traces}ServiceRequest with one record: resource group (1) of resource (1) and scope group (2) of scope (1) and record (2). */
function requestAround(scope: ScopeDefinition, record: Uint8Array): Uint8Array {
  const writer = new WireWriter();
  const group = writer.beginMessage(1);
  writer.bytesField(1, encodeResource(scope.resource));
  const inner = writer.beginMessage(2);
  writer.bytesField(1, encodeScope(scope.name, scope.version, scope.attributes));
  writer.bytesField(2, record);
  writer.endMessage(inner);
  writer.endMessage(group);
  return writer.copy();
}

export interface TestRuntime extends Runtime {
  readonly recorder: KeepingRecorder;
  delivered: number;
}

const RUNTIME = Symbol.for('kymo.runtime.v1');

/** Puts a runtime over a `KeepingRecorder` where `init` looks for the process's. `remove` takes it and its folder away. */
export function testRuntime(): { runtime: TestRuntime; recorder: KeepingRecorder; remove(): void } {
  const recorder = new KeepingRecorder();
  const runs: ActiveRun[] = [];
  const projectDirectory = mkdtempSync(join(tmpdir(), 'kymo-research-'));
  let providers: Providers | undefined;
  const otel = (): Providers => {
    providers ??= createProviders(runtime, {});
    return providers;
  };
  const runtime: TestRuntime = {
    version: '9.9.9',
    instanceId: 'instance-1',
    projectDirectory,
    recorder,
    delivered: 0,
    runs,
    addRun: run => {
      runs.push(run);
    },
    removeRun: run => {
      const at = runs.indexOf(run);
      if (at >= 0) runs.splice(at, 1);
    },
    currentRun: () => runs.at(-1),
    owningRun: () => runs.at(-1),
    tracerProvider: () => otel().tracerProvider(),
    loggerProvider: () => otel().loggerProvider(),
    meterProvider: () => otel().meterProvider(),
    deliver: async () => {
      await providers?.flush();
      runtime.delivered++;
      return recorder.report();
    },
  };
  const holder = globalThis as { [RUNTIME]?: Runtime };
  holder[RUNTIME] = runtime;
  return {
    runtime,
    recorder,
    remove() {
      delete holder[RUNTIME];
      for (const api of [trace, logs, metrics, context, propagation]) api.disable();
      rmSync(projectDirectory, { recursive: true, force: true });
    },
  };
}
