// A table as CSV, JSON lines or Parquet: text in pieces for any stream, Parquet into a file.
import { LINE_END, numberCell, textCell } from '../collector/exporters/csv/cells.ts';
import { keyJson, numberJson } from '../collector/runs/json.ts';
import type { CellValue, Column, ExportTable } from './export-table.ts';

/** Pieces are handed out when they have grown to this. */
const PIECE_CHARACTERS = 64 * 1024;
/** Cells of one row group of a Parquet file, which is in memory as a whole: some 100 MiB at most. */
const MAX_GROUP_CELLS = 4_000_000;
const MAX_GROUP_ROWS = 100_000;

export function* csvText({ columns, lines }: ExportTable): Generator<string> {
  let text = columns.map(({ name }) => textCell(name)).join(',') + LINE_END;
  for (const cells of lines()) {
    columns.forEach(({ type }, i) => {
      text += (i === 0 ? '' : ',') + csvCell(cells[i], type);
    });
    text += LINE_END;
    if (text.length < PIECE_CHARACTERS) continue;
    yield text;
    text = '';
  }
  yield text;
}

/** One object a line; what a row does not have is left out, and what JSON has no number for is a string. */
export function* jsonText({ columns, lines }: ExportTable): Generator<string> {
  const keys = columns.map(({ name }) => keyJson(name));
  let text = '';
  for (const cells of lines()) {
    let line = '';
    columns.forEach(({ type }, i) => {
      const value = cells[i];
      if (value === undefined) return;
      line += (line === '' ? '' : ',') + keys[i] + jsonCell(value, type);
    });
    text += `{${line}}\n`;
    if (text.length < PIECE_CHARACTERS) continue;
    yield text;
    text = '';
  }
  yield text;
}

/** Writes a Parquet file: doubles, int64 for steps and long integers, UTF-8 text; Snappy. */
export async function writeParquet({ columns, lines }: ExportTable, path: string): Promise<void> {
  const { fileWriter, ParquetWriter, schemaFromColumnData } = await import('hyparquet-writer');
  const types = columns.map(({ type }) => PARQUET_TYPES[type]);
  const empty = columns.map(({ name }, i) => ({ name, data: [], type: types[i]!, nullable: true }));
  const writer = fileWriter(path);
  const parquet = new ParquetWriter({
    writer,
    schema: schemaFromColumnData({ columnData: empty }),
    createdBy: 'kymo',
  });
  const rows = Math.max(1, Math.min(MAX_GROUP_ROWS, Math.floor(MAX_GROUP_CELLS / columns.length)));
  let group: CellValue[][] = columns.map(() => []);
  const flush = (): void => {
    if (group[0]!.length === 0) return;
    const columnData = columns.map(({ name }, i) => ({ name, data: group[i]!, type: types[i]! }));
    void parquet.write({ columnData, rowGroupSize: rows });
    group = columns.map(() => []);
  };
  for (const cells of lines()) {
    columns.forEach(({ type }, i) => {
      group[i]!.push(parquetCell(cells[i], type));
    });
    if (group[0]!.length >= rows) flush();
  }
  flush();
  await parquet.finish();
}

const PARQUET_TYPES = {
  number: 'DOUBLE',
  seconds: 'DOUBLE',
  integer: 'INT64',
  long: 'INT64',
  text: 'STRING',
} as const satisfies Record<Column['type'], string>;

function csvCell(value: CellValue, type: Column['type']): string {
  if (value === undefined) return '';
  if (typeof value === 'string') return textCell(value);
  return type === 'seconds' && Number.isFinite(Number(value)) ? Number(value).toFixed(6) : numberCell(value);
}

function jsonCell(value: number | bigint | string, type: Column['type']): string {
  if (typeof value === 'string') return JSON.stringify(value);
  if (typeof value === 'bigint') return value.toString();
  return type === 'seconds' && Number.isFinite(value) ? value.toFixed(6) : numberJson(value);
}

/** Null where a row has no such value. */
function parquetCell(value: CellValue, type: Column['type']): CellValue {
  if (value === undefined || typeof value === 'string') return value;
  return PARQUET_TYPES[type] === 'INT64' ? BigInt(value) : Number(value);
}
