// What the demo shows in a terminal: one line of progress, and at the end a table with a sparkline per metric.

const BARS = '▁▂▃▄▅▆▇█';
/** Without a terminal to write over, a line now and then is enough. */
const PLAIN_LINE_INTERVAL_MS = 5_000;
/** For terminals that do not say how wide they are. */
const DEFAULT_COLUMNS = 80;
const CLEAR_LINE = '\r\x1b[K';

/** A progress line: rewritten in place on a terminal, a plain line every few seconds elsewhere. */
export class ProgressLine {
  readonly #output: NodeJS.WriteStream;
  #plainLineDueAt = 0;

  constructor(output: NodeJS.WriteStream) {
    this.#output = output;
  }

  show(text: string): void {
    if (this.#output.isTTY) {
      this.#output.write(CLEAR_LINE + text.slice(0, (this.#output.columns || DEFAULT_COLUMNS) - 1));
      return;
    }
    const now = performance.now();
    if (now < this.#plainLineDueAt) return;
    this.#plainLineDueAt = now + PLAIN_LINE_INTERVAL_MS;
    this.#output.write(`${text}\n`);
  }

  /** Leaves the terminal with an empty line to go on from. */
  clear(): void {
    if (this.#output.isTTY) this.#output.write(CLEAR_LINE);
  }
}

/** Everything that was measured under one name, for the table at the end. */
export class Curve {
  readonly name: string;
  readonly values: number[] = [];
  readonly #better: 'higher' | 'lower';

  constructor(name: string, better: 'higher' | 'lower') {
    this.name = name;
    this.#better = better;
  }

  add(value: number): void {
    if (Number.isFinite(value)) this.values.push(value);
  }

  get first(): number {
    return this.values[0] ?? Number.NaN;
  }

  get last(): number {
    return this.values.at(-1) ?? Number.NaN;
  }

  get best(): number {
    const pick = this.#better === 'higher' ? Math.max : Math.min;
    return this.values.length === 0 ? Number.NaN : this.values.reduce((a, b) => pick(a, b));
  }
}

/** `values` as bars, at most `width` of them, each the mean of an equal share of the values. */
export function sparkline(values: readonly number[], width: number): string {
  const columns = Math.min(width, values.length);
  const means = Array.from({ length: columns }, (_, column) => {
    const share = values.slice(
      Math.floor((column * values.length) / columns),
      Math.floor(((column + 1) * values.length) / columns),
    );
    return share.reduce((sum, value) => sum + value, 0) / share.length;
  });
  const low = Math.min(...means);
  const span = Math.max(...means) - low;
  return means
    .map(mean => BARS[span === 0 ? 0 : Math.round(((mean - low) / span) * (BARS.length - 1))])
    .join('');
}

export function table(curves: readonly Curve[], sparklineWidth = 32): string {
  const rows = curves.map(curve => [
    curve.name,
    ...[curve.first, curve.last, curve.best].map(format),
    sparkline(curve.values, sparklineWidth),
  ]);
  const cells = [['metric', 'first', 'last', 'best', ''], ...rows];
  const widths = [0, 1, 2, 3].map(column => Math.max(...cells.map(row => row[column]!.length)));
  return cells
    .map(row =>
      row
        .map((cell, column) =>
          column === 0 ? cell.padEnd(widths[0]!) : column < 4 ? cell.padStart(widths[column]!) : cell,
        )
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

function format(value: number): string {
  if (!Number.isFinite(value)) return '–';
  return Math.abs(value) >= 100 ? value.toFixed(0) : value.toPrecision(3);
}
