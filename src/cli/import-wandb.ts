// A W&B transaction log as a run of Kymo: rows, histograms, configuration, summary, text and media, written as the jsonl exporter writes them.
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import type { Batch } from '../collector/component.ts';
import { exporterContext } from '../collector/exporter-runners.ts';
import { jsonlExporter } from '../collector/exporters/jsonl/index.ts';
import { parseExtendedNumber, plainJson } from '../collector/exporters/wandb/extended-json.ts';
import { LogReader } from '../collector/exporters/wandb/log/log-reader.ts';
import type { LogItem, LogRecord, RunFields } from '../collector/exporters/wandb/log/model.ts';
import { STEP_KEY } from '../collector/exporters/wandb/names.ts';
import { isMap, parseJson } from '../collector/runs/json.ts';
import { createLogger } from '../collector/telemetry/logger.ts';
import { createRegistry } from '../collector/telemetry/metrics.ts';
import {
  batchOf,
  histogramBatchOf,
  logBatchOf,
  type TestHistogram,
  type TestLog,
  type TestRow,
} from '../collector/testing/index.ts';
import type { AnyValue, Attributes } from '../otlp/model.ts';
import * as names from '../semconv/names.ts';
import { escapeRunId } from '../semconv/run-folder.ts';

export interface ImportedWandb {
  /** Where the run is now. */
  readonly folder: string;
  readonly rows: number;
  readonly media: number;
  /** Values that Kymo has no place for: strings, lists, media without a file. */
  readonly leftOut: number;
  /** The log ends in the middle, or has damaged places. */
  readonly isWhole: boolean;
}

/** Rows and records of one request. */
const BATCH_ITEMS = 5_000;
const MAX_MEDIA_BYTES = 256 * 1024 * 1024;
/** W&B's own keys of a row. */
const OWN_KEYS: ReadonlySet<string> = new Set(['_step', '_timestamp', '_runtime', '_wandb', STEP_KEY]);
const MIME_TYPES: Readonly<Record<string, string>> = {
  ...{ png: 'image/png', jpg: 'image/jpeg', jpeg: 'image/jpeg', gif: 'image/gif', webp: 'image/webp' },
  ...{ mp4: 'video/mp4', webm: 'video/webm', wav: 'audio/wav', mp3: 'audio/mpeg', ogg: 'audio/ogg' },
  ...{ html: 'text/html', json: 'application/json', txt: 'text/plain' },
};
const KINDS: Readonly<Record<string, string>> = {
  ...{ 'image-file': 'image', 'video-file': 'video', 'audio-file': 'audio' },
  ...{ 'html-file': 'html', 'table-file': 'table' },
};

/** @param into the folder of run folders. Throws where the run is there already. */
export async function importWandb(file: string, into: string): Promise<ImportedWandb> {
  const reader = new LogReader(file);
  const folder = join(resolve(into), escapeRunId(runIdIn(file)));
  if (existsSync(folder)) throw new Error(`${folder} is there already`);
  const scratch = mkdtempSync(join(tmpdir(), 'kymo-import-'));
  const context = exporterContext(
    {
      journal: { directory: scratch },
      baseDirectory: process.cwd(),
      logger: createLogger({ level: 'warn' }),
      registry: createRegistry(),
    },
    jsonlExporter.type,
    'import',
  );
  const settings = jsonlExporter.config.parse({ directory: resolve(into) });
  const exporter = jsonlExporter.create(context, settings);
  try {
    await exporter.start(undefined);
    const source = new WandbSource(dirname(resolve(file)));
    for (let entry = reader.next(); entry !== undefined; entry = reader.next()) {
      if (entry.kind === 'damaged') source.isWhole = false;
      else source.take(entry.record);
      if (source.isFull) for (const batch of source.batches()) await exporter.export(batch);
    }
    source.end();
    if (reader.cut) source.isWhole = false;
    for (const batch of source.batches()) await exporter.export(batch);
    await exporter.commit();
    await exporter.committed?.();
    const { rows, media, leftOut, isWhole } = source;
    return { folder, rows, media, leftOut, isWhole };
  } finally {
    await exporter.stop();
    reader.close();
    rmSync(scratch, { recursive: true, force: true });
  }
}

/** The first record of a run names it. */
function runIdIn(file: string): string {
  const reader = new LogReader(file);
  try {
    for (let entry = reader.next(); entry !== undefined; entry = reader.next())
      if (entry.kind === 'record' && entry.record.kind === 'run' && entry.record.run.id !== '')
        return entry.record.run.id;
  } finally {
    reader.close();
  }
  throw new Error(`${file} names no run`);
}

class WandbSource {
  rows = 0;
  media = 0;
  leftOut = 0;
  isWhole = true;
  readonly #folder: string;
  #run: RunFields | undefined;
  #summary: Attributes = {};
  #exit: number | undefined;
  #lastTime = 0n;
  readonly #rowsReady: TestRow[] = [];
  readonly #histograms: TestHistogram[] = [];
  readonly #logs: TestLog[] = [];

  constructor(folder: string) {
    this.#folder = folder;
  }

  get isFull(): boolean {
    return this.#rowsReady.length + this.#histograms.length + this.#logs.length >= BATCH_ITEMS;
  }

  take(record: LogRecord): void {
    switch (record.kind) {
      case 'run': {
        const isFirst = this.#run === undefined;
        this.#run = record.run;
        if (isFirst) this.#event(names.EVENT_RUN_START, {}, record.run.startTimeUnixNano);
        this.#config(record.run.config);
        break;
      }
      case 'config':
        this.#config(record.update);
        break;
      case 'summary':
        for (const item of record.update) {
          const [first = item.key] = item.path;
          if (!OWN_KEYS.has(first) && item.path.length === 0) this.#summary[item.key] = jsonValue(item.json);
        }
        break;
      case 'history':
        this.#row(record.items);
        break;
      case 'output':
        this.#logs.push({
          ...this.#origin(record.timeUnixNano),
          ...(record.stream === 'stderr' && { severityNumber: 17, severityText: 'ERROR' }),
          body: record.text.replace(/\n$/, ''),
        });
        break;
      case 'metric':
        if (record.metric.stepMetric !== STEP_KEY && !record.metric.expandedFromGlob)
          this.#event(names.EVENT_METRIC, {
            [names.METRIC_PATTERN]: record.metric.name || record.metric.glob,
            ...(record.metric.stepMetric && { [names.METRIC_STEP_METRIC]: record.metric.stepMetric }),
            ...(record.metric.summary.length > 0 && { [names.METRIC_SUMMARY]: [...record.metric.summary] }),
          });
        break;
      case 'exit':
        this.#exit = record.exitCode;
        break;
      default:
        break;
    }
  }

  /** What can be said only behind the last record. */
  end(): void {
    if (this.#run === undefined) return;
    if (Object.keys(this.#summary).length > 0)
      this.#event(names.EVENT_RUN_SUMMARY, { [names.RUN_SUMMARY]: this.#summary });
    const state = this.#exit === undefined ? 'crashed' : this.#exit === 0 ? 'finished' : 'failed';
    this.#event(names.EVENT_RUN_FINISH, {
      [names.RUN_STATE]: state,
      ...(this.#exit !== undefined && { [names.EXIT_CODE]: this.#exit }),
    });
  }

  batches(): Batch[] {
    const batches = [
      logBatchOf(this.#logs.splice(0)),
      batchOf(this.#rowsReady.splice(0)),
      histogramBatchOf(this.#histograms.splice(0)),
    ];
    return batches;
  }

  #row(items: readonly LogItem[]): void {
    const own = (key: string) => Number(items.find(one => one.key === key)?.json ?? Number.NaN);
    const ownStep = own(STEP_KEY);
    const step = Number.isNaN(ownStep) ? own('_step') : ownStep;
    const time = BigInt(Math.round((own('_timestamp') || 0) * 1e6)) * 1_000n;
    // Rows of one time would be one.
    this.#lastTime = time > this.#lastTime ? time : this.#lastTime + 1n;
    const row: Record<string, number> = {};
    const objects = new Map<string, Attributes>();
    for (const { key, path, json } of items) {
      if (OWN_KEYS.has(key)) continue;
      const name = path.length > 0 ? path.slice(0, -1).join('.') : key;
      const number = parseExtendedNumber(json);
      if (path.length > 0) {
        const into = objects.get(name) ?? {};
        objects.set(name, into);
        into[path.at(-1)!] = jsonValue(json);
      } else if (number !== undefined && !json.startsWith('"')) row[key] = number;
      else objects.set(name, asMap(jsonValue(json)));
    }
    for (const [name, value] of objects) this.#object(name, value, step, row);
    this.rows++;
    if (Object.keys(row).length > 0)
      this.#rowsReady.push({ ...this.#origin(this.#lastTime), step, values: row });
  }

  #object(name: string, value: Attributes, step: number, row: Record<string, number>): void {
    const type = value._type;
    if (type === 'histogram' && Array.isArray(value.bins) && Array.isArray(value.values)) {
      const counts = [0, ...value.values.map(Number), 0];
      this.#histograms.push({
        ...{ ...this.#origin(this.#lastTime), name, bounds: value.bins.map(Number), counts, step },
      });
    } else if (typeof type === 'string') this.#file(name, value, step);
    else {
      for (const [key, inner] of Object.entries(value)) {
        if (typeof inner === 'number') row[`${name}.${key}`] = inner;
        else if (isMap(inner)) this.#object(`${name}.${key}`, inner, step, row);
        else this.leftOut++;
      }
      if (Object.keys(value).length === 0) this.leftOut++;
    }
  }

  #file(name: string, value: Attributes, step: number): void {
    const { path, _type, width, height, caption } = value;
    const kind = KINDS[String(_type)];
    const parts = typeof path === 'string' ? path.split('/') : [];
    const place = join(this.#folder, 'files', ...parts);
    const isThere = parts.length > 0 && !parts.includes('..') && existsSync(place);
    if (kind === undefined || !isThere || statSync(place).size > MAX_MEDIA_BYTES) {
      this.leftOut++;
      return;
    }
    const extension = place.slice(place.lastIndexOf('.') + 1).toLowerCase();
    this.media++;
    this.#event(
      names.EVENT_MEDIA,
      {
        [names.MEDIA_NAME]: name,
        [names.MEDIA_KIND]: kind,
        [names.MEDIA_MIME_TYPE]: MIME_TYPES[extension] ?? 'application/octet-stream',
        [names.MEDIA_CONTENT]: new Uint8Array(readFileSync(place)),
        ...(Number.isNaN(step) ? {} : { [names.STEP]: step }),
        ...(typeof width === 'number' && { [names.MEDIA_WIDTH]: width }),
        ...(typeof height === 'number' && { [names.MEDIA_HEIGHT]: height }),
        ...(typeof caption === 'string' && { [names.MEDIA_CAPTION]: caption }),
      },
      this.#lastTime,
    );
  }

  #config(items: readonly LogItem[]): void {
    const config: Attributes = {};
    for (const { key, path, json } of items) {
      const top = path[0] ?? key;
      if (top === '_wandb') continue;
      let at = config;
      for (const part of path.slice(0, -1)) {
        at[part] = asMap(at[part] ?? null);
        at = at[part] as Attributes;
      }
      at[path.at(-1) ?? key] = jsonValue(json);
    }
    if (Object.keys(config).length > 0) this.#event(names.EVENT_RUN_CONFIG, { [names.RUN_CONFIG]: config });
  }

  #event(eventName: string, attributes: Attributes, timeUnixNano = this.#lastTime): void {
    this.#logs.push({ ...this.#origin(timeUnixNano), eventName, attributes });
  }

  #origin(timeUnixNano: bigint) {
    const run = this.#run;
    const time = timeUnixNano > 0n ? timeUnixNano : (run?.startTimeUnixNano ?? 1n);
    return {
      run: run?.id ?? '',
      project: run?.project || 'wandb',
      instance: `wandb/${run?.id ?? ''}`,
      timeUnixNano: time > 0n ? time : 1n,
      resource: {
        ...(run?.name && { [names.RUN_NAME]: run.name }),
        ...(run?.group && { [names.RUN_GROUP]: run.group }),
        ...(run?.jobType && { [names.RUN_JOB_TYPE]: run.jobType }),
        ...(run !== undefined && run.tags.length > 0 && { [names.RUN_TAGS]: [...run.tags] }),
      },
    };
  }
}

function jsonValue(json: string): AnyValue {
  try {
    return parseJson(plainJson(json));
  } catch {
    return json;
  }
}
function asMap(value: AnyValue): Attributes {
  return isMap(value) ? value : {};
}
