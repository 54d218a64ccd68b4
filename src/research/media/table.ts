// Tables as JSON: `{"columns": […], "data": [[…], …]}`, the form that W&B and pandas (`orient="split"`) read.
import { kindOf } from '../checks.ts';

export interface TableContent {
  readonly columns: readonly string[];
  readonly rows: number;
  readonly json: string;
}

const MAX_COLUMNS = 10_000;
const MAX_ROWS = 10_000_000;

/** Rows are objects, or arrays beside `columns`; or all at once as `{columns, data}`. Throws a TypeError or RangeError for other things. */
export function tableContent(
  subject: string,
  value: unknown,
  columnNames: readonly string[] | undefined,
): TableContent {
  let rows: unknown = value;
  let given: unknown = columnNames;
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
    const split = value as { columns?: unknown; data?: unknown };
    rows = split.data;
    given ??= split.columns;
  }
  if (!Array.isArray(rows))
    throw new TypeError(
      `kymo: ${subject} must be an array of rows (objects, or arrays beside columns) or {columns, data}, not ${kindOf(value)}`,
    );
  if (rows.length > MAX_ROWS)
    throw new RangeError(`kymo: ${subject} has ${rows.length} rows; at most ${MAX_ROWS} are taken`);
  const columns = given === undefined ? columnsOf(subject, rows) : given;
  if (!Array.isArray(columns) || !columns.every(name => typeof name === 'string'))
    throw new TypeError(`kymo: ${subject} must have columns that are strings, not ${kindOf(columns)}`);
  if (columns.length === 0 || columns.length > MAX_COLUMNS)
    throw new RangeError(`kymo: ${subject} has ${columns.length} columns; 1 to ${MAX_COLUMNS} are taken`);
  const parts: string[] = [];
  for (const [i, row] of rows.entries()) parts.push(rowJson(subject, row, i, columns as string[]));
  return {
    columns: columns as string[],
    rows: rows.length,
    json: `{"columns":${JSON.stringify(columns)},"data":[${parts.join(',')}]}`,
  };
}

/** In order of first appearance. */
function columnsOf(subject: string, rows: readonly unknown[]): string[] {
  const columns = new Set<string>();
  for (const [n, row] of rows.entries()) {
    if (Array.isArray(row)) {
      for (let i = columns.size; i < row.length; i++) columns.add(String(i));
    } else if (typeof row === 'object' && row !== null) for (const key of Object.keys(row)) columns.add(key);
    else throw noRow(subject, row, n);
  }
  return [...columns];
}

function rowJson(subject: string, row: unknown, i: number, columns: readonly string[]): string {
  if (typeof row !== 'object' || row === null) throw noRow(subject, row, i);
  if (Array.isArray(row) && row.length !== columns.length)
    throw new RangeError(
      `kymo: ${subject} has ${columns.length} columns, but row ${i} has ${row.length} cells`,
    );
  let json = '[';
  for (const [n, column] of columns.entries()) {
    const cell: unknown = Array.isArray(row) ? row[n] : (row as Record<string, unknown>)[column];
    json += (n === 0 ? '' : ',') + cellJson(cell);
  }
  return `${json}]`;
}

function noRow(subject: string, row: unknown, i: number): TypeError {
  return new TypeError(
    `kymo: ${subject} must have rows that are objects or arrays; row ${i} is ${kindOf(row)}`,
  );
}

/** What JSON has no form for becomes text: NaN and infinities, bigints, functions. */
function cellJson(cell: unknown): string {
  switch (typeof cell) {
    case 'number':
      return Number.isFinite(cell) ? String(cell) : `"${cell}"`;
    case 'string':
      return JSON.stringify(cell);
    case 'boolean':
      return String(cell);
    case 'undefined':
      return 'null';
    case 'object':
      return (
        JSON.stringify(cell, (_key, inner: unknown) => (typeof inner === 'bigint' ? String(inner) : inner)) ??
        'null'
      );
    default:
      return JSON.stringify(String(cell));
  }
}
