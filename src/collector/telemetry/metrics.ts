// The collector's own counters and gauges, under upstream's names (`otelcol_*`), so that existing dashboards work.
import type { Instruments } from '../component.ts';

export type Labels = Readonly<Record<string, string>>;

/** One series at one moment. */
export interface Sample {
  readonly name: string;
  readonly kind: 'counter' | 'gauge';
  readonly labels: Labels;
  readonly value: number;
}

/** Sets a series to what it is at this moment, also a counter that somebody else counts. */
export type Report = (kind: Sample['kind'], name: string, labels: Labels, value: number) => void;

export interface Registry {
  /** The instruments of one component: every series carries these labels (`{exporter: 'jsonl'}`). */
  instruments(labels: Labels): Instruments;
  /** Called before each snapshot, for numbers that are read where they are kept. */
  observe(read: (report: Report) => void): void;
  /** Every series, by name and labels. */
  snapshot(): Sample[];
  /** Sum of a counter over all series that carry these labels; 0 when there are none. */
  total(name: string, labels?: Labels): number;
}

/** Series of one name. Labels are a small, fixed set; past this a component has put data into them, and they are added up in one. */
export const MAX_SERIES_PER_NAME = 1_000;
const OVERFLOW: Labels = { otel_metric_overflow: 'true' };

interface Family {
  readonly name: string;
  readonly kind: 'counter' | 'gauge';
  readonly series: Map<string, { readonly labels: Labels; value: number }>;
}

export function createRegistry(): Registry {
  const families = new Map<string, Family>();
  const readers: ((report: Report) => void)[] = [];

  const seriesOf = (name: string, kind: Family['kind'], labels: Labels) => {
    let family = families.get(name);
    if (family === undefined) {
      family = { name, kind, series: new Map() };
      families.set(name, family);
    }
    let key = keyOf(labels);
    let series = family.series.get(key);
    if (series === undefined) {
      let own = labels;
      if (family.series.size >= MAX_SERIES_PER_NAME) {
        own = OVERFLOW;
        key = keyOf(own);
        series = family.series.get(key);
      }
      if (series === undefined) {
        series = { labels: own, value: 0 };
        family.series.set(key, series);
      }
    }
    return series;
  };

  return {
    instruments: labels => ({
      count: (name, amount, attributes) => {
        // A counter never goes back, whatever a component computes.
        if (amount >= 0) seriesOf(name, 'counter', { ...labels, ...attributes }).value += amount;
      },
      set: (name, value, attributes) => {
        seriesOf(name, 'gauge', { ...labels, ...attributes }).value = value;
      },
    }),
    observe: read => void readers.push(read),
    snapshot: () => {
      const report: Report = (kind, name, labels, value) => {
        seriesOf(name, kind, labels).value = value;
      };
      for (const read of readers) read(report);
      return [...families.values()]
        .sort((a, b) => (a.name < b.name ? -1 : 1))
        .flatMap(({ name, kind, series }) =>
          [...series.entries()]
            .sort(([a], [b]) => (a < b ? -1 : 1))
            .map(([, { labels, value }]) => ({ name, kind, labels, value })),
        );
    },
    total: (name, labels = {}) => {
      let sum = 0;
      for (const series of families.get(name)?.series.values() ?? []) {
        if (Object.entries(labels).every(([key, value]) => series.labels[key] === value)) sum += series.value;
      }
      return sum;
    },
  };
}

/** Gauges of this process, named as upstream's. */
export function observeProcess(registry: Registry): void {
  registry.observe(report => {
    const memory = process.memoryUsage();
    const cpu = process.cpuUsage();
    report('counter', 'otelcol_process_uptime', {}, process.uptime());
    report('counter', 'otelcol_process_cpu_seconds', {}, (cpu.user + cpu.system) / 1e6);
    report('gauge', 'otelcol_process_memory_rss', {}, memory.rss);
    report('gauge', 'otelcol_process_runtime_heap_alloc_bytes', {}, memory.heapUsed);
    // Request bodies live outside the heap: without this the numbers above do not explain themselves.
    report('gauge', 'otelcol_process_runtime_external_bytes', {}, memory.external + memory.arrayBuffers);
  });
}

function keyOf(labels: Labels): string {
  return JSON.stringify(Object.entries(labels).sort(([a], [b]) => (a < b ? -1 : 1)));
}
