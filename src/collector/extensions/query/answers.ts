// Answers a request: finds its route, reads its parameters, and puts together what the files and indexes hold.
import { parquetWriteBuffer } from 'hyparquet-writer';
import { IndexSet } from '../../query/index-set.ts';
import {
  type CurveRun,
  longTable,
  readCurves,
  rowsJson,
  type Statistic,
  type Table,
  valueRange,
  wideTable,
} from './curves.ts';
import { MAX_CURVE_RUNS } from './limits.ts';
import { type LinePage, readLine, readPage } from './lines.ts';
import { openApiDocument } from './openapi.ts';
import { BadRequest, readParameters, type Values } from './parameters.ts';
import { type Operation, ROUTES, routeOf } from './routes.ts';
import { RunDocuments } from './run-documents.ts';

export interface AnswersOptions {
  /** Folders that hold run folders; absolute. */
  readonly roots: readonly string[];
  /** Where indexes are kept. */
  readonly directory: string;
  readonly tell: (message: string, error: unknown) => void;
}

export type Answer =
  | {
      readonly kind: 'body';
      readonly status: number;
      readonly type: string;
      readonly body: string | Uint8Array;
    }
  /** A file below a run's folder, to be sent as it is. */
  | {
      readonly kind: 'file';
      readonly root: string;
      readonly segments: readonly string[];
      readonly type: string;
      readonly name: string;
    };

const JSON_TYPE = 'application/json; charset=utf-8';
const PARQUET_TYPE = 'application/vnd.apache.parquet';
/** What a browser shows without running anything in it; all else is sent as bytes to be saved. */
const SHOWN = /^(?:image\/(?:png|jpeg|gif|webp|bmp)|video\/(?:mp4|webm)|audio\/(?:wav|mpeg|ogg|flac))$/;
const MEDIA_PATH = /^(?:media|\.store)(?:\/[^/\\\0]+){1,17}$/;

export class Answers {
  readonly #indexes: IndexSet;
  readonly #runs: RunDocuments;
  readonly #operations: Readonly<Record<Operation, (values: Values) => Answer | Promise<Answer>>>;

  constructor(options: AnswersOptions) {
    this.#indexes = new IndexSet(options);
    this.#runs = new RunDocuments(options.roots);
    const description = JSON.stringify(openApiDocument());
    this.#operations = {
      getDescription: () => json(description),
      listRuns: values => this.#listRuns(values),
      getRun: values => this.#getRun(values),
      listMetrics: values => this.#listMetrics(values),
      getCurves: values => this.#getCurves(values),
      listLogs: values => this.#listLogs(values),
      listSpans: values => this.#listSpans(values),
      listMedia: values => this.#listMedia(values),
      getMedia: values => this.#getMedia(values),
    };
  }

  start(): void {
    this.#indexes.start();
  }

  stop(): Promise<void> {
    return this.#indexes.stop();
  }

  /** `url`: path and query. Never rejects. */
  async answer(url: string): Promise<Answer> {
    try {
      const query = url.indexOf('?');
      const path = query < 0 ? url : url.slice(0, query);
      const found = routeOf(path);
      if (found === undefined) {
        const paths = ROUTES.map(route => route.path).join(', ');
        return failure(404, `there is nothing at ${JSON.stringify(path.slice(0, 200))}; there are ${paths}`);
      }
      const search = new URLSearchParams(query < 0 ? '' : url.slice(query + 1));
      return await this.#operations[found.route.operation](
        readParameters(found.route.parameters, search, found.values),
      );
    } catch (error) {
      if (error instanceof BadRequest) return failure(error.status, error.message, error.parameter);
      if (error instanceof URIError) return failure(400, 'the path is not percent-encoded UTF-8');
      return failure(500, error instanceof Error ? error.message : String(error));
    }
  }

  async #listRuns(values: Values): Promise<Answer> {
    const states = values.list('state');
    const tags = values.list('tag');
    const project = values.text('project');
    const group = values.text('group');
    const filter = values.text('filter')?.toLowerCase();
    const all = await this.#runs.list(root => this.#indexes.folders(root));
    const matching = all.filter(
      run =>
        (states.length === 0 || states.includes(run.state)) &&
        (project === undefined || run.project === project) &&
        (group === undefined || run.group === group) &&
        tags.every(tag => run.tags.includes(tag)) &&
        (filter === undefined || `${run.id}\n${run.name}`.toLowerCase().includes(filter)),
    );
    const offset = values.number('offset')!;
    const runs = matching.slice(offset, offset + values.number('limit')!);
    return json(JSON.stringify({ runs, total: matching.length, offset }));
  }

  #getRun(values: Values): Answer {
    const { run, config } = this.#runs.documents(this.#runs.find(values.text('run')!));
    return json(`{"run":${run},"config":${config ?? 'null'}}`);
  }

  async #listMetrics(values: Values): Promise<Answer> {
    const prefix = values.text('prefix') ?? '';
    const search = values.text('search')?.toLowerCase();
    const found = new Map<
      string,
      { runs: number; points: number; first_step: number; last_step: number; min: number; max: number }
    >();
    const axes = new Set<string>();
    let behind = 0;
    const left = { lines: 0, points: 0 };
    for (const run of this.#runsOf(values, 'id')) {
      await this.#indexes.use(run.root, run.folder, index => {
        behind += index.progress().behind;
        left.lines += index.counts.unreadable;
        left.points += index.counts.leftOut;
        for (const name of index.axes.keys()) axes.add(name);
        for (const [name, series] of index.metrics) {
          if (!name.startsWith(prefix)) continue;
          if (search !== undefined && !name.toLowerCase().includes(search)) continue;
          const { steps } = series;
          if (steps === undefined) continue;
          const range = valueRange(series) ?? [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
          const before = found.get(name);
          found.set(name, {
            runs: (before?.runs ?? 0) + 1,
            points: (before?.points ?? 0) + series.count,
            first_step: Math.min(before?.first_step ?? Number.POSITIVE_INFINITY, steps[0]),
            last_step: Math.max(before?.last_step ?? Number.NEGATIVE_INFINITY, steps[1]),
            min: Math.min(before?.min ?? Number.POSITIVE_INFINITY, range[0]),
            max: Math.max(before?.max ?? Number.NEGATIVE_INFINITY, range[1]),
          });
        }
      });
    }
    const offset = values.number('offset')!;
    const names = [...found.keys()].sort();
    // JSON makes null of the infinities of a metric without a finite value.
    const metrics = names
      .slice(offset, offset + values.number('limit')!)
      .map(name => ({ name, ...found.get(name)! }));
    const body = {
      metrics,
      axes: [...axes].sort(),
      total: names.length,
      offset,
      not_indexed: left,
      behind_bytes: behind,
    };
    return json(JSON.stringify(body));
  }

  async #getCurves(values: Values): Promise<Answer> {
    const runs = this.#runsOf(values, values.text('label') as 'id' | 'name');
    const from = values.number('from');
    const to = values.number('to');
    if (from !== undefined && to !== undefined && from > to)
      throw new BadRequest('parameter to is below from', 'to');
    const request = {
      runs,
      metrics: values.list('metric'),
      x: values.text('x')!,
      from,
      to,
      points: values.number('points')!,
    };
    const curves = await readCurves(this.#indexes, request);
    const isWide = values.text('shape') === 'wide';
    const statistics = values.list('values') as readonly Statistic[];
    if (!isWide && statistics.length > 0)
      throw new BadRequest(
        'parameter values belongs to shape=wide; the long shape has all of them',
        'values',
      );
    const wide = isWide ? wideTable(curves, statistics.length > 0 ? statistics : ['last']) : undefined;
    const table: Table = wide ?? longTable(curves);
    if (values.text('format') === 'parquet')
      return { kind: 'body', status: 200, type: PARQUET_TYPE, body: parquet(table) };
    const series = curves.curves.map(({ run, metric, total }, i) => ({
      run: run.id,
      name: run.label,
      metric,
      points: total,
      columns: wide?.names[i],
    }));
    const head = JSON.stringify({
      x: curves.x,
      from: curves.from ?? null,
      to: curves.to ?? null,
      width: curves.width ?? null,
      series,
      missing: curves.missing,
      behind_bytes: curves.behindBytes,
    });
    return json(`${head.slice(0, -1)},"rows":${rowsJson(table)}}`);
  }

  #listLogs(values: Values): Answer {
    const severity = values.number('severity');
    const search = values.text('search')?.toLowerCase();
    const inTime = timeFilter(values, 'time');
    return this.#page(values, 'logs', line => {
      if (severity !== undefined && !(typeof line.severity === 'number' && line.severity >= severity))
        return false;
      return inTime(line) && (search === undefined || JSON.stringify(line).toLowerCase().includes(search));
    });
  }

  #listSpans(values: Values): Answer {
    const name = values.text('name');
    const trace = values.text('trace_id');
    const inTime = timeFilter(values, 'start');
    return this.#page(
      values,
      'spans',
      line =>
        (name === undefined || line.name === name) &&
        (trace === undefined || line.trace_id === trace) &&
        inTime(line),
    );
  }

  #listMedia(values: Values): Answer {
    const name = values.text('name');
    const kind = values.text('kind');
    const base = `/api/v1/runs/${encodeURIComponent(values.text('run')!)}/media/`;
    return this.#page(
      values,
      'media',
      line => (name === undefined || line.name === name) && (kind === undefined || line.kind === kind),
      (line, cursor) => (typeof line.path === 'string' ? `"content":${JSON.stringify(base + cursor)},` : ''),
    );
  }

  #getMedia(values: Values): Answer {
    const run = this.#runs.find(values.text('run')!);
    const line = readLine(run, 'media', values.text('media')!, 'media');
    const { path, mime } = line;
    if (typeof path !== 'string' || !MEDIA_PATH.test(path))
      throw new BadRequest('this medium has no content', 'media', 404);
    const type = typeof mime === 'string' && SHOWN.test(mime) ? mime : 'application/octet-stream';
    const segments = path.split('/');
    return {
      kind: 'file',
      root: run.root,
      segments: [run.folder, ...segments],
      type,
      name: segments.at(-1)!,
    };
  }

  #page(
    values: Values,
    kind: string,
    matches: (line: Readonly<Record<string, unknown>>) => boolean,
    more: (line: Readonly<Record<string, unknown>>, cursor: string) => string = () => '',
  ): Answer {
    const run = this.#runs.find(values.text('run')!);
    const page: LinePage = readPage(run, kind, {
      limit: values.number('limit')!,
      newestFirst: values.text('order') === 'desc',
      cursor: values.text('cursor'),
      matches,
    });
    // The line itself is put in as it is: what it says of long integers must not be lost.
    const lines = page.lines.map(({ text, value, cursor }) => {
      const rest = text.slice(text.indexOf('{') + 1);
      const comma = /^\s*}/.test(rest) ? '' : ',';
      return `{"cursor":${JSON.stringify(cursor)},${more(value, cursor)}`.replace(/,$/, comma) + rest;
    });
    return json(
      `{"lines":[${lines.join(',')}],"next":${JSON.stringify(page.next ?? null)},"skipped":${page.skipped}}`,
    );
  }

  /** The runs that a query names. @throws BadRequest */
  #runsOf(values: Values, label: 'id' | 'name'): CurveRun[] {
    const ids = [...new Set([...values.list('runs'), ...values.list('run')])];
    if (ids.length === 0) throw new BadRequest('parameter runs is missing: name one run or several', 'runs');
    if (ids.length > MAX_CURVE_RUNS)
      throw new BadRequest(`parameter runs: ${ids.length} runs, at most ${MAX_CURVE_RUNS} at a time`, 'runs');
    return ids.map(id => {
      const place = this.#runs.find(id);
      return { ...place, id, label: label === 'name' ? this.#runs.entry(place)?.name || id : id };
    });
  }
}

function timeFilter(values: Values, key: string): (line: Readonly<Record<string, unknown>>) => boolean {
  const from = values.number('from') ?? Number.NEGATIVE_INFINITY;
  const to = values.number('to') ?? Number.POSITIVE_INFINITY;
  if (from > to) throw new BadRequest('parameter to is below from', 'to');
  return line => {
    const time = line[key];
    return typeof time === 'number'
      ? time >= from && time <= to
      : from === Number.NEGATIVE_INFINITY && to === Number.POSITIVE_INFINITY;
  };
}

function parquet({ columns }: Table): Uint8Array {
  const columnData = columns.map(({ name, kind, values }) => ({
    name,
    data: values,
    type: kind === 'number' ? ('DOUBLE' as const) : ('STRING' as const),
    nullable: kind === 'number',
  }));
  return new Uint8Array(parquetWriteBuffer({ columnData, createdBy: 'kymo' }));
}

function json(body: string): Answer {
  return { kind: 'body', status: 200, type: JSON_TYPE, body };
}

export function failure(status: number, message: string, parameter?: string): Answer {
  const error = { message, ...(parameter === undefined ? {} : { parameter }) };
  return { kind: 'body', status, type: JSON_TYPE, body: JSON.stringify({ error }) };
}
