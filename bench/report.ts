// What a benchmark reports: figures from repeated measurements, printed as a table and, for the runner, written as JSON.
import fs from 'node:fs';

/** A quick look: fewer repetitions and smaller workloads, for development. */
export const QUICK = process.env.KYMO_BENCH_QUICK === '1';

export interface Target {
  readonly what: string;
  readonly target: string;
  readonly measured: string;
  readonly met: boolean;
}
export interface Report {
  readonly title: string;
  readonly columns: readonly string[];
  readonly rows: readonly (readonly string[])[];
  readonly targets: readonly Target[];
  /** How it was measured, and what was skipped and why. */
  readonly notes: readonly string[];
}

/** Prints the report; the runner names a file in KYMO_BENCH_REPORT to have it as JSON too. */
export function publish(report: Report): void {
  process.stdout.write(`${formatReport(report)}\n`);
  const file = process.env.KYMO_BENCH_REPORT;
  if (file !== undefined && file !== '') fs.appendFileSync(file, `${JSON.stringify(report)}\n`);
}

export function formatReport({ title, columns, rows, targets, notes }: Report): string {
  const table = [columns, ...rows];
  const widths = columns.map((_, c) => Math.max(...table.map(row => (row[c] ?? '').length)));
  const line = (row: readonly string[]) =>
    `  ${row.map((cell, c) => (c === 0 ? cell.padEnd(widths[c]!) : cell.padStart(widths[c]!))).join('  ')}`;
  return [
    '',
    title,
    ...table.map(line),
    ...targets.map(
      one => `  ${one.met ? 'met   ' : 'MISSED'}  ${one.what}: ${one.measured} (target ${one.target})`,
    ),
    ...notes.map(note => `  ${note}`),
  ].join('\n');
}

export function median(values: readonly number[]): number {
  return percentile(Float64Array.from(values).sort(), 0.5);
}

/** @param sorted ascending */
export function percentile(sorted: Float64Array, share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}

/** Per figure the median over repetitions of one measurement. */
export function medians<K extends string>(
  repetitions: readonly Readonly<Record<K, number>>[],
): Record<K, number> {
  const keys = Object.keys(repetitions[0] ?? {}) as K[];
  return Object.fromEntries(keys.map(key => [key, median(repetitions.map(one => one[key]))])) as Record<
    K,
    number
  >;
}

/** Nanoseconds for people. */
export function duration(ns: number): string {
  if (Number.isNaN(ns)) return '-';
  if (ns < 1e3) return `${ns.toFixed(0)} ns`;
  if (ns < 1e6) return `${(ns / 1e3).toFixed(ns < 1e4 ? 1 : 0)} µs`;
  if (ns < 1e9) return `${(ns / 1e6).toFixed(ns < 1e7 ? 1 : 0)} ms`;
  return `${(ns / 1e9).toFixed(2)} s`;
}

/** Counts per second for people. */
export function rate(perSecond: number): string {
  if (Number.isNaN(perSecond)) return '-';
  if (perSecond >= 1e6) return `${(perSecond / 1e6).toFixed(2)} M/s`;
  return perSecond >= 1e4 ? `${(perSecond / 1e3).toFixed(0)} k/s` : `${(perSecond / 1e3).toFixed(1)} k/s`;
}

export function mebibytes(bytes: number): string {
  return Number.isNaN(bytes) ? '-' : `${(bytes / 2 ** 20).toFixed(0)} MiB`;
}
