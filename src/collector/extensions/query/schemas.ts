// The shapes of the answers, as JSON schemas: what the OpenAPI description says, and what the tests hold the answers against.

/** Names of metrics are capped at this by sinks, and may have a rank behind them. */
export const MAX_METRIC_CHARACTERS = 1_024;

const text = { type: 'string' } as const;
const number = { type: 'number' } as const;
const count = { type: 'integer', minimum: 0 } as const;
const numberOrNull = { type: ['number', 'null'] } as const;
const object = (properties: Readonly<Record<string, object>>, optional: readonly string[] = []): object => ({
  type: 'object',
  additionalProperties: false,
  required: Object.keys(properties).filter(key => !optional.includes(key)),
  properties,
});
const list = (items: object): object => ({ type: 'array', items });

const runEntry = object({
  id: text,
  name: text,
  project: text,
  group: text,
  job_type: text,
  tags: list(text),
  state: text,
  created: text,
  updated: text,
  finished: { type: ['string', 'null'] },
  points: count,
  last_step: numberOrNull,
  summary: { type: 'object' },
});

export const schemas = {
  runs: object({ runs: list(runEntry), total: count, offset: count }),
  run: object({
    run: { type: 'object', required: ['id', 'state', 'metrics', 'summary'] },
    config: { type: ['object', 'null'] },
  }),
  metrics: object({
    metrics: list(
      object({
        name: text,
        /** How many of the runs have it. */
        runs: count,
        points: count,
        first_step: number,
        last_step: number,
        min: numberOrNull,
        max: numberOrNull,
      }),
    ),
    axes: list(text),
    total: count,
    offset: count,
    not_indexed: object({ lines: count, points: count }),
    behind_bytes: count,
  }),
  curves: object({
    x: text,
    from: numberOrNull,
    to: numberOrNull,
    width: numberOrNull,
    series: list(
      object({ run: text, name: text, metric: text, points: count, columns: list(text) }, ['columns']),
    ),
    missing: list(object({ run: text, metric: text })),
    rows: list({ type: 'object', additionalProperties: { type: ['number', 'string', 'null'] } }),
    behind_bytes: count,
  }),
  lines: object({
    lines: list({ type: 'object', required: ['cursor'], properties: { cursor: text } }),
    next: { type: ['string', 'null'] },
    skipped: count,
  }),
  error: object({ error: object({ message: text, parameter: text }, ['parameter']) }),
} as const;
