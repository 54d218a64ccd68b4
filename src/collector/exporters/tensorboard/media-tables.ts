// Tables as markdown: the first rows of JSON (columns and data, or rows as objects or arrays), JSON lines, or CSV.
import { MAX_CELL_CHARACTERS, MAX_TABLE_COLUMNS, MAX_TABLE_ROWS } from './limits.ts';

export interface Table {
  readonly columns: readonly string[];
  readonly rows: readonly (readonly unknown[])[];
  /** There are rows that are not here. */
  readonly hasMore: boolean;
}

/** Undefined for JSON that is no table. */
export function jsonTable(text: string): Table | undefined {
  const begin = firstRows(text);
  const value = begin === undefined ? undefined : parsed(begin.text);
  if (value === undefined) return jsonLines(text);
  const split = isObject(value) && Array.isArray(value.data) ? value : undefined;
  const rows = split === undefined ? value : split.data;
  if (!Array.isArray(rows)) return undefined;
  return tableOf(split?.columns, rows, begin!.isCut);
}

/** RFC 4180, the first line naming the columns. */
export function csvTable(text: string): Table {
  const rows: string[][] = [];
  let row: string[] = [];
  let cell = '';
  let quoted = false;
  for (let i = 0; i <= text.length; i++) {
    const character = text[i];
    if (quoted && character !== undefined) {
      if (character !== '"') cell += character;
      else if (text[i + 1] === '"') cell += text[i++];
      else quoted = false;
      continue;
    }
    if (character === '"' && cell === '') quoted = true;
    else if (character === ',') {
      row.push(cell);
      cell = '';
    } else if (character === '\n' || character === undefined) {
      row.push(cell.replace(/\r$/, ''));
      if (row.length > 1 || row[0] !== '') rows.push(row);
      row = [];
      cell = '';
      if (rows.length > MAX_TABLE_ROWS + 1) break;
    } else cell += character;
  }
  const [columns = [], ...data] = rows;
  return { columns, rows: data.slice(0, MAX_TABLE_ROWS), hasMore: data.length > MAX_TABLE_ROWS };
}

export function tableMarkdown({ columns, rows, hasMore }: Table): string {
  const shown = columns.slice(0, MAX_TABLE_COLUMNS);
  const line = (cells: readonly unknown[]) => `| ${shown.map((_, i) => cellText(cells[i])).join(' | ')} |`;
  const lines = [line(shown), `| ${shown.map(() => '---').join(' | ')} |`, ...rows.map(line)];
  if (hasMore) lines.push('', `… the first ${rows.length} rows`);
  if (columns.length > shown.length)
    lines.push('', `… the first ${shown.length} of ${columns.length} columns`);
  return lines.join('\n');
}

/**
 * As much of a JSON text as its first rows take, with all brackets closed, so that a large table is not parsed for the few rows that are
 * shown. Rows are the arrays or objects that stand in the outermost array, or in an array of the outermost object.
 */
function firstRows(text: string): { readonly text: string; readonly isCut: boolean } | undefined {
  let open = '';
  let rows = 0;
  for (let i = 0; i < text.length; i++) {
    const character = text[i]!;
    if (character === '"') {
      for (i++; i < text.length && text[i] !== '"'; i++) if (text[i] === '\\') i++;
    } else if (character === '[' || character === '{') {
      // A row more than is shown.
      if (rows === MAX_TABLE_ROWS && isRowLevel(open)) {
        const closing = [...open].reverse().map(bracket => (bracket === '[' ? ']' : '}'));
        return { text: text.slice(0, i).replace(/,\s*$/, '') + closing.join(''), isCut: true };
      }
      open += character;
      if (open.length > MAX_DEPTH) return undefined;
    } else if (character === ']' || character === '}') {
      open = open.slice(0, -1);
      if (isRowLevel(open)) rows++;
    }
  }
  return { text, isCut: false };
}

function isRowLevel(open: string): boolean {
  return open === '[' || open === '{[';
}

/** Deeper JSON is no table. */
const MAX_DEPTH = 100;

function jsonLines(text: string): Table | undefined {
  const lines: unknown[] = [];
  let at = 0;
  while (at < text.length && lines.length <= MAX_TABLE_ROWS) {
    const end = text.indexOf('\n', at);
    const line = text.slice(at, end < 0 ? text.length : end);
    at = end < 0 ? text.length : end + 1;
    if (line.trim() === '') continue;
    const value = parsed(line);
    if (value === undefined) return undefined;
    lines.push(value);
  }
  return lines.length === 0 ? undefined : tableOf(undefined, lines, lines.length > MAX_TABLE_ROWS);
}

function tableOf(given: unknown, all: readonly unknown[], isCut: boolean): Table | undefined {
  const rows = all.slice(0, MAX_TABLE_ROWS);
  const hasMore = isCut || all.length > rows.length;
  if (!rows.every(row => Array.isArray(row) || isObject(row))) return undefined;
  const columns = new Set<string>(Array.isArray(given) ? given.map(cellName) : []);
  let widest = Array.isArray(given) ? given.length : 0;
  for (const row of rows) {
    if (Array.isArray(row)) widest = Math.max(widest, row.length);
    else for (const key of Object.keys(row as object)) columns.add(key);
  }
  const names = Array.isArray(given) && columns.size < widest ? given.map(cellName) : [...columns];
  for (let i = names.length; i < widest; i++) names.push(String(i));
  const cells = rows.map(row =>
    Array.isArray(row) ? row : names.map(name => (row as Record<string, unknown>)[name]),
  );
  return { columns: names, rows: cells, hasMore };
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function cellName(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value);
}

/** Markdown has no backslash for these. */
const ENTITIES: ReadonlyMap<string, string> = new Map([
  ['&', '&amp;'],
  ['<', '&lt;'],
  ['>', '&gt;'],
]);

/** One line that ends no cell and is shown as it is. */
function cellText(value: unknown): string {
  if (value === undefined || value === null) return '';
  const text = typeof value === 'string' ? value : JSON.stringify(value);
  const cut = text.length > MAX_CELL_CHARACTERS ? `${text.slice(0, MAX_CELL_CHARACTERS)}…` : text;
  return cut
    .replace(/\s+/g, ' ')
    .replace(/[&<>\\|`*_[\]]/g, character => ENTITIES.get(character) ?? `\\${character}`);
}
