// What can be asked, where, and with which parameters: each operation with its description and the shape of its answer.

import { STATISTICS } from './curves.ts';
import {
  MAX_CURVE_METRICS,
  MAX_CURVE_RUNS,
  MAX_LINES_PER_PAGE,
  MAX_METRICS_PER_PAGE,
  MAX_POINTS,
  MAX_RUNS_PER_PAGE,
} from './limits.ts';
import type { Parameter } from './parameters.ts';
import { MAX_METRIC_CHARACTERS, schemas } from './schemas.ts';

export const OPERATIONS = [
  'getDescription',
  'listRuns',
  'getRun',
  'listMetrics',
  'getCurves',
  'listLogs',
  'listSpans',
  'listMedia',
  'getMedia',
] as const;
export type Operation = (typeof OPERATIONS)[number];

export interface Route {
  readonly operation: Operation;
  /** `{name}` stands for one segment. */
  readonly path: string;
  readonly summary: string;
  readonly parameters: readonly Parameter[];
  /** JSON schema of the answer; undefined where it is bytes. */
  readonly answer: object | undefined;
  /** Other media types of the answer. */
  readonly also?: readonly string[];
}

export const RUN_STATES = ['running', 'finished', 'failed', 'crashed', 'killed'] as const;
const MAX_ID_CHARACTERS = 1_024;
const MAX_TEXT_CHARACTERS = 1_000;

const run: Parameter = {
  name: 'run',
  in: 'path',
  required: true,
  description: 'Id of the run, percent-encoded.',
  schema: { type: 'string', maxLength: MAX_ID_CHARACTERS },
};
const runs = (required: boolean): readonly Parameter[] => [
  {
    name: 'runs',
    in: 'query',
    description: `Ids of runs, separated by commas${required ? '; this or run is needed' : ''}.`,
    schema: {
      type: 'array',
      maxItems: MAX_CURVE_RUNS,
      items: { type: 'string', maxLength: MAX_ID_CHARACTERS },
    },
  },
  {
    name: 'run',
    in: 'query',
    verbatim: true,
    description: 'Id of one run, commas included; may be given several times.',
    schema: {
      type: 'array',
      maxItems: MAX_CURVE_RUNS,
      items: { type: 'string', maxLength: MAX_ID_CHARACTERS },
    },
  },
];
const limit = (most: number, usual: number): Parameter => ({
  name: 'limit',
  in: 'query',
  description: 'Entries of one page, at most.',
  schema: { type: 'integer', minimum: 1, maximum: most, default: usual },
});
const offset: Parameter = {
  name: 'offset',
  in: 'query',
  description: 'Entries before the page.',
  schema: { type: 'integer', minimum: 0, maximum: 1_000_000_000, default: 0 },
};
const paging = (usualOrder: 'asc' | 'desc'): readonly Parameter[] => [
  limit(MAX_LINES_PER_PAGE, 100),
  {
    name: 'order',
    in: 'query',
    description: 'As they were written, or the newest first.',
    schema: { type: 'string', maxLength: 4, enum: ['asc', 'desc'], default: usualOrder },
  },
  {
    name: 'cursor',
    in: 'query',
    description: 'The `next` of an earlier page, with the same order.',
    schema: { type: 'string', maxLength: 32 },
  },
];
const times: readonly Parameter[] = [
  { name: 'from', in: 'query', description: 'Unix seconds; nothing before.', schema: { type: 'number' } },
  { name: 'to', in: 'query', description: 'Unix seconds; nothing after.', schema: { type: 'number' } },
];
const search: Parameter = {
  name: 'search',
  in: 'query',
  description: 'Only what has this text in it, upper and lower case alike.',
  schema: { type: 'string', maxLength: MAX_TEXT_CHARACTERS },
};

export const ROUTES: readonly Route[] = [
  {
    operation: 'getDescription',
    path: '/api/v1/openapi.json',
    summary: 'This description.',
    parameters: [],
    answer: { type: 'object', required: ['openapi', 'paths'] },
  },
  {
    operation: 'listRuns',
    path: '/api/v1/runs',
    summary: 'Runs, newest first.',
    parameters: [
      {
        name: 'state',
        in: 'query',
        description: 'Only runs in one of these states.',
        schema: { type: 'array', maxItems: 5, items: { type: 'string', maxLength: 16, enum: RUN_STATES } },
      },
      {
        name: 'project',
        in: 'query',
        description: 'Only runs of this project.',
        schema: { type: 'string', maxLength: MAX_TEXT_CHARACTERS },
      },
      {
        name: 'group',
        in: 'query',
        description: 'Only runs of this group.',
        schema: { type: 'string', maxLength: MAX_TEXT_CHARACTERS },
      },
      {
        name: 'tag',
        in: 'query',
        description: 'Only runs with all of these tags.',
        schema: { type: 'array', maxItems: 20, items: { type: 'string', maxLength: MAX_TEXT_CHARACTERS } },
      },
      {
        name: 'filter',
        in: 'query',
        description: 'Only runs with this text in id or name, upper and lower case alike.',
        schema: { type: 'string', maxLength: MAX_TEXT_CHARACTERS },
      },
      limit(MAX_RUNS_PER_PAGE, 100),
      offset,
    ],
    answer: schemas.runs,
  },
  {
    operation: 'getRun',
    path: '/api/v1/runs/{run}',
    summary: 'One run: its run.json (identity, state, totals, metrics, summary) and its config.',
    parameters: [run],
    answer: schemas.run,
  },
  {
    operation: 'listMetrics',
    path: '/api/v1/metrics',
    summary: 'Names of the metrics of runs, in order of name.',
    parameters: [
      ...runs(true),
      {
        name: 'prefix',
        in: 'query',
        description: 'Only names that begin so.',
        schema: { type: 'string', maxLength: MAX_METRIC_CHARACTERS },
      },
      search,
      limit(MAX_METRICS_PER_PAGE, 1_000),
      offset,
    ],
    answer: schemas.metrics,
  },
  {
    operation: 'getCurves',
    path: '/api/v1/curves',
    summary:
      'Curves of metrics over steps, time or an axis, in at most as many buckets as points are asked for.',
    parameters: [
      ...runs(true),
      {
        name: 'metric',
        in: 'query',
        required: true,
        verbatim: true,
        description: 'Name of a metric, as listMetrics has it; may be given several times.',
        schema: {
          type: 'array',
          maxItems: MAX_CURVE_METRICS,
          items: { type: 'string', maxLength: MAX_METRIC_CHARACTERS },
        },
      },
      {
        name: 'x',
        in: 'query',
        description: '`step`, `time` (Unix seconds), or the name of an axis or metric of the run.',
        schema: { type: 'string', maxLength: MAX_METRIC_CHARACTERS, default: 'step' },
      },
      { name: 'from', in: 'query', description: 'Lowest x.', schema: { type: 'number' } },
      { name: 'to', in: 'query', description: 'Highest x.', schema: { type: 'number' } },
      {
        name: 'points',
        in: 'query',
        description: 'Buckets per series, at most.',
        schema: { type: 'integer', minimum: 1, maximum: MAX_POINTS, default: 1_000 },
      },
      {
        name: 'shape',
        in: 'query',
        description: 'wide: a row per x with a column per series; long: a row per series and x.',
        schema: { type: 'string', maxLength: 4, enum: ['wide', 'long'], default: 'long' },
      },
      {
        name: 'values',
        in: 'query',
        description: 'What the columns of the wide shape hold; last by default.',
        schema: {
          type: 'array',
          maxItems: STATISTICS.length,
          items: { type: 'string', maxLength: 8, enum: STATISTICS },
        },
      },
      {
        name: 'label',
        in: 'query',
        description: 'What the columns of the wide shape are called by.',
        schema: { type: 'string', maxLength: 4, enum: ['id', 'name'], default: 'id' },
      },
      {
        name: 'format',
        in: 'query',
        description: 'Parquet has the rows only.',
        schema: { type: 'string', maxLength: 8, enum: ['json', 'parquet'], default: 'json' },
      },
    ],
    answer: schemas.curves,
    also: ['application/vnd.apache.parquet'],
  },
  {
    operation: 'listLogs',
    path: '/api/v1/runs/{run}/logs',
    summary: "A page of the run's log lines.",
    parameters: [
      run,
      {
        name: 'severity',
        in: 'query',
        description: 'Only lines of at least this OTLP severity number (9 is INFO, 13 WARN, 17 ERROR).',
        schema: { type: 'integer', minimum: 1, maximum: 24 },
      },
      search,
      ...times,
      ...paging('asc'),
    ],
    answer: schemas.lines,
  },
  {
    operation: 'listSpans',
    path: '/api/v1/runs/{run}/spans',
    summary: "A page of the run's spans.",
    parameters: [
      run,
      {
        name: 'name',
        in: 'query',
        description: 'Only spans of this name.',
        schema: { type: 'string', maxLength: MAX_TEXT_CHARACTERS },
      },
      {
        name: 'trace_id',
        in: 'query',
        description: 'Only spans of this trace.',
        schema: { type: 'string', maxLength: 32 },
      },
      ...times,
      ...paging('asc'),
    ],
    answer: schemas.lines,
  },
  {
    operation: 'listMedia',
    path: '/api/v1/runs/{run}/media',
    summary: "A page of the run's media; `content` is where the bytes are.",
    parameters: [
      run,
      {
        name: 'name',
        in: 'query',
        description: 'Only media of this name.',
        schema: { type: 'string', maxLength: MAX_TEXT_CHARACTERS },
      },
      {
        name: 'kind',
        in: 'query',
        description: 'Only media of this kind, such as image.',
        schema: { type: 'string', maxLength: 32 },
      },
      ...paging('desc'),
    ],
    answer: schemas.lines,
  },
  {
    operation: 'getMedia',
    path: '/api/v1/runs/{run}/media/{media}',
    summary: 'The bytes of one medium.',
    parameters: [
      run,
      {
        name: 'media',
        in: 'path',
        required: true,
        description: 'The `cursor` of its line.',
        schema: { type: 'string', maxLength: 32 },
      },
    ],
    answer: undefined,
    also: ['*/*'],
  },
];

/** The route of a path, and what stands for its names; undefined for none. @throws URIError for what is no percent-encoding */
export function routeOf(
  path: string,
): { readonly route: Route; readonly values: ReadonlyMap<string, string> } | undefined {
  const segments = path.split('/');
  for (const route of ROUTES) {
    const wanted = route.path.split('/');
    if (wanted.length !== segments.length) continue;
    const values = new Map<string, string>();
    const fits = wanted.every((segment, i) => {
      if (!segment.startsWith('{')) return segment === segments[i];
      values.set(segment.slice(1, -1), decodeURIComponent(segments[i]!));
      return segments[i] !== '';
    });
    if (fits) return { route, values };
  }
  return undefined;
}
