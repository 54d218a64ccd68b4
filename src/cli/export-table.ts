// The two shapes in which a run is exported, long and wide, as columns and cells that no format knows yet.
import { GLOBAL_SCOPE } from '../semconv/names.ts';
import { mergedRows, type RowFile, type RowSurvey, type RunRow, rowsOf, seriesOf } from './run-rows.ts';

/** What a column holds: `long` integers do not all fit a double. */
export type ColumnType = 'number' | 'integer' | 'long' | 'text' | 'seconds';
export interface Column {
  readonly name: string;
  readonly type: ColumnType;
}
export type CellValue = number | bigint | string | undefined;

export interface ExportTable {
  readonly columns: readonly Column[];
  /** Cells in the order of the columns; the array is used again for the next line. */
  lines(): Generator<readonly CellValue[]>;
}

export interface TableOptions {
  readonly files: readonly RowFile[];
  readonly survey: RowSurvey;
  /** What later attempts superseded as well. */
  readonly all: boolean;
}

/** A line per value: `time, step, scope, mode, metric, value`, as the csv exporter writes it. */
export function longTable({ files, survey, all }: TableOptions): ExportTable {
  const long = [...survey.keys.values()].some(key => key.long);
  const whole = [...survey.keys.values()].every(key => key.whole);
  const columns: Column[] = [
    { name: 'time', type: 'seconds' },
    { name: 'step', type: survey.wholeSteps ? 'integer' : 'number' },
    { name: 'scope', type: 'text' },
    { name: 'mode', type: 'text' },
    { name: 'metric', type: 'text' },
    { name: 'value', type: long && whole ? 'long' : 'number' },
  ];
  return {
    columns,
    *lines() {
      const cells: CellValue[] = [];
      for (const row of rowsOf(files, survey.superseded, all)) {
        for (const [key, value] of row.values) {
          const { mode, metric } = seriesOf(row, key);
          cells[0] = row.time;
          cells[1] = row.step;
          cells[2] = row.scope;
          cells[3] = mode;
          cells[4] = metric;
          cells[5] = value;
          yield cells;
        }
      }
    },
  };
}

/** A line per step and a column per metric; who wrote it has a column where there is more than one. */
export function wideTable({ files, survey, all }: TableOptions): ExportTable {
  const owners: { readonly column: Column; readonly read: (row: RunRow) => CellValue }[] = [
    { column: { name: 'time', type: 'seconds' }, read: row => row.time },
    {
      column: { name: 'step', type: survey.wholeSteps ? 'integer' : 'number' },
      read: row => row.step,
    },
  ];
  if (survey.hasScopes)
    owners.push({ column: { name: 'scope', type: 'text' }, read: row => row.scope || GLOBAL_SCOPE });
  if (survey.hasRanks) owners.push({ column: { name: 'rank', type: 'integer' }, read: row => row.rank });
  if (survey.hasInstances)
    owners.push({ column: { name: 'instance', type: 'text' }, read: row => row.instance });
  if (survey.hasAttempts)
    owners.push({ column: { name: 'attempt', type: 'integer' }, read: row => row.attempt });
  const columns = owners.map(({ column }) => column);
  const places = new Map<string, number>();
  for (const [name, { long, whole }] of survey.keys) {
    places.set(name, columns.length);
    columns.push({ name, type: long && whole ? 'long' : 'number' });
  }
  return {
    columns,
    *lines() {
      const cells: CellValue[] = new Array(columns.length).fill(undefined);
      for (const row of mergedRows(rowsOf(files, survey.superseded, all))) {
        cells.fill(undefined);
        owners.forEach(({ read }, i) => {
          cells[i] = read(row);
        });
        for (const [key, value] of row.values) cells[places.get(key)!] = value;
        yield cells;
      }
    },
  };
}
