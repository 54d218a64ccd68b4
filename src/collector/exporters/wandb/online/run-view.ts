// What a transaction log says about its run so far, in the form that the server is told it.
import type { LogItem, LogRecord, MetricFields, RunFields } from '../log/model.ts';
import { SUMMARY_KINDS } from '../log/model.ts';
import { JsonTree } from './json-tree.ts';

type Environment = Extract<LogRecord, { kind: 'environment' }>['environment'];
type Telemetry = Extract<LogRecord, { kind: 'telemetry' }>['telemetry'];

const OPTION_SYNC = 1;
const OPTION_HIDDEN = 2;
const OPTION_DEFINED = 3;

export class RunView {
  run: RunFields | undefined;
  environment: Environment | undefined;
  telemetry: Telemetry | undefined;
  exit: { readonly exitCode: number } | undefined;
  isPreempting = false;
  /** Name, tags and the like; configuration; summary: not sent since they changed. */
  runChanged = false;
  configChanged = false;
  summaryChanged = false;
  readonly summary = new JsonTree();
  readonly #config = new JsonTree();
  readonly #metrics = new Map<string, MetricFields>();

  apply(record: LogRecord): void {
    switch (record.kind) {
      case 'run':
        this.run =
          this.run === undefined
            ? record.run
            : { ...record.run, startTimeUnixNano: this.run.startTimeUnixNano, resumed: this.run.resumed };
        this.runChanged = true;
        if (record.run.config.length > 0) this.configChanged = true;
        for (const item of record.run.config) this.#config.set(placeOf(item), item.json);
        break;
      case 'config':
        for (const item of record.update) this.#config.set(placeOf(item), item.json);
        for (const item of record.remove) this.#config.remove(placeOf(item));
        this.configChanged = true;
        break;
      case 'summary':
        for (const item of record.update) this.summary.set(placeOf(item), item.json);
        for (const item of record.remove) this.summary.remove(placeOf(item));
        this.summaryChanged = true;
        break;
      case 'metric':
        this.#metrics.set(record.metric.name || record.metric.glob, record.metric);
        this.configChanged = true;
        break;
      case 'environment':
        this.environment = record.environment;
        this.configChanged = true;
        break;
      case 'telemetry':
        this.telemetry = record.telemetry;
        this.configChanged = true;
        break;
      case 'preempting':
        this.isPreempting = true;
        break;
      case 'exit':
        this.exit = { exitCode: record.exitCode };
        break;
      default:
        break;
    }
  }

  /** The configuration with W&B's own section; every value wrapped. `globs`: the server expands patterns itself. */
  config(globs: boolean): string {
    const text = this.#config.toEntries((key, json) => `${JSON.stringify(key)}:{"value":${json}}`);
    text.push(`"_wandb":{"value":${JSON.stringify(this.#section(globs))}}`);
    return `{${text.join(',')}}`;
  }

  #section(globs: boolean): object {
    const { environment, telemetry } = this;
    const version = telemetry?.cliVersion ?? '';
    return {
      cli_version: version,
      ...(telemetry?.pythonVersion && { python_version: telemetry.pythonVersion }),
      // Without `t` the official client takes a run for one that never began.
      t: {
        3: [...(telemetry?.features ?? [])].sort((a, b) => a - b),
        ...(telemetry?.pythonVersion && { 4: telemetry.pythonVersion }),
        5: version,
        12: version,
        13: `${process.platform}-${process.arch}`,
      },
      m: metricsSection([...this.#metrics.values()], globs),
      ...(environment !== undefined && {
        e: { [environment.writerId || 'kymo']: environmentSection(environment) },
      }),
    };
  }
}

/** Metrics by field number; a step metric is named by its place in the list, from 1 on. */
function metricsSection(metrics: readonly MetricFields[], globs: boolean): object[] {
  const named = metrics.filter(one => one.glob === '' && !(globs && one.expandedFromGlob));
  const listed = globs ? [...named, ...metrics.filter(one => one.glob !== '')] : named;
  const places = new Map<string, number>();
  for (const [i, one] of listed.entries()) if (one.name !== '') places.set(one.name, i + 1);
  const section: Record<string, unknown>[] = [];
  const missing: string[] = [];
  for (const one of listed) {
    let step: number | undefined;
    if (one.stepMetric !== '' && one.stepMetric !== one.name) {
      step = places.get(one.stepMetric);
      if (step === undefined) {
        missing.push(one.stepMetric);
        step = listed.length + missing.length;
        places.set(one.stepMetric, step);
      }
    }
    const options = [
      ...(one.stepSync ? [OPTION_SYNC] : []),
      ...(one.defined && one.glob === '' ? [OPTION_DEFINED] : []),
      ...(one.hidden ? [OPTION_HIDDEN] : []),
    ];
    section.push({
      ...(one.name === '' ? { 2: one.glob } : { 1: one.name }),
      ...(step !== undefined && { 5: step }),
      6: options,
      7: one.summary.map(kind => SUMMARY_KINDS.indexOf(kind) + 1),
      ...(one.goal !== undefined && { 8: one.goal === 'minimize' ? 1 : 2 }),
    });
  }
  for (const name of missing) section.push({ 1: name, 6: [], 7: [] });
  return section;
}

export function environmentSection(environment: Environment): object {
  const { os, runtime, startedAtUnixNano, program, host, executable, args, writerId } = environment;
  return {
    ...(os !== '' && { os }),
    ...(runtime !== '' && { python: runtime }),
    startedAt: new Date(Number(startedAtUnixNano / 1_000_000n)).toISOString(),
    ...(program !== '' && { program }),
    ...(args.length > 0 && { args }),
    ...(host !== '' && { host }),
    ...(executable !== '' && { executable }),
    writerId,
  };
}

function placeOf({ key, path }: LogItem): readonly string[] {
  return path.length > 0 ? path : [key];
}
