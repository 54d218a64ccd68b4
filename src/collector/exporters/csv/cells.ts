// Cells of CSV as RFC 4180 has them, and as a spreadsheet does not mistake them for formulas.

/** The columns of the long format, in this order. */
export const LONG_COLUMNS = ['time', 'step', 'scope', 'mode', 'metric', 'value'] as const;
export const LINE_END = '\r\n';

/**
 * What makes a spreadsheet read a text as a formula (also in the full-width forms that East Asian versions accept), and the
 * apostrophe itself, so that taking one apostrophe from the front gives every text back.
 */
const FORMULA = /^[=+\-@\t\r\n'\uff0b\uff0d\uff1d\uff20]/;
const NEEDS_QUOTES = /[",\r\n]/;
/** RFC 4180 has no control characters in a cell; a line feed in one would also end a line that a crash is cut back to. */
const CONTROL = /[\u0000-\u001f\u007f-\u009f\u2028\u2029]/g;

/** A text as a cell: formulas disarmed by an apostrophe in front, control characters as `\n` or `\u{1b}`, quotes where needed. */
export function textCell(text: string): string {
  let cell = FORMULA.test(text) ? `'${text}` : text;
  cell = cell.replace(CONTROL, escapeControl);
  return NEEDS_QUOTES.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell;
}

/** A number as a cell: `NaN`, `Infinity`, `-0` and integers of any size as they are. */
export function numberCell(value: number | bigint): string {
  return Object.is(value, -0) ? '-0' : String(value);
}

export function line(cells: readonly string[]): string {
  return cells.join(',') + LINE_END;
}

function escapeControl(character: string): string {
  if (character === '\n') return '\\n';
  if (character === '\r') return '\\r';
  if (character === '\t') return '\\t';
  return `\\u{${character.codePointAt(0)!.toString(16)}}`;
}
