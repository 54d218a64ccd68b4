// One Kymo runtime per process, whoever loads it and how often: recorder, current run, exit hooks.
import { randomBytes, randomUUID } from 'node:crypto';
import { readFileSync, writeSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import type { LoggerProvider, MeterProvider, TracerProvider } from '@opentelemetry/api';
import type { Attributes } from '../otlp/model.ts';
import { findProjectDirectory, paths } from '../semconv/local.ts';
import { ExitWatch } from './exit.ts';
import type { WorkerArguments } from './layout.ts';
import { createProviders, type Providers } from './providers.ts';
import type { DeliveryReport, Recorder, ResourceId } from './recorder.ts';
import { readSettings, type Settings } from './settings.ts';
import { SharedRecorder } from './shared-recorder.ts';
import { diesWithUs } from './surroundings.ts';
import type { LoopProbe } from './system/loop-probe.ts';

/** A run as the SDK needs to know it: enough to stamp what other code emits while it is current. */
export interface ActiveRun {
  readonly id: string;
  /** The run's own resource: `kymo.run.*`, `service.*`, rank, SDK. */
  readonly resource: ResourceId;
  readonly resourceAttributes: Attributes;
  /** Called once while the process ends, before the last flush: must record the run's finish and return at once. */
  onExit(outcome: ExitOutcome): void;
}
export interface ExitOutcome {
  readonly state: 'finished' | 'failed' | 'killed';
  readonly exitCode: number;
  /** The uncaught error, if that is why. */
  readonly error: unknown;
}

export interface Runtime {
  readonly version: string;
  readonly instanceId: string;
  /** Nearest ancestor of the working directory with `.kymo`, `package.json` or `.git`; `KYMO_DIR` overrides. */
  readonly projectDirectory: string;
  readonly recorder: Recorder;
  /** Innermost last. What the process emits without naming a run belongs to the last one. */
  readonly runs: ActiveRun[];
  addRun(run: ActiveRun): void;
  removeRun(run: ActiveRun): void;
  currentRun(): ActiveRun | undefined;
  /** Whose telemetry it is that names no run: the current run's, or, when all have ended, that of the run that ended last. */
  owningRun(): ActiveRun | undefined;
  /** OTel providers whose telemetry goes through the recorder. Made on first use; the SDK packages load only then. */
  tracerProvider(): TracerProvider;
  loggerProvider(): LoggerProvider;
  meterProvider(): MeterProvider;
  /** Bounded by `KYMO_EXIT_TIMEOUT_MS`; prints one line when something is left. For `run.finish()`. */
  deliver(): Promise<DeliveryReport>;
}

/** The words of system/loop-probe.ts; it is not loaded for them. */
const PROBE_BYTES = 128;
const PROBE_AFTER_MS = 1_000;

/** Shared by ES modules, CommonJS, bundles and duplicate installs of one process (or worker thread). */
const RUNTIME = Symbol.for('kymo.runtime.v1');

/**
 * The one runtime of this thread; made, with its worker, at the first call. Never throws for what is outside.
 * @param run the run that needs it first: spool and status name it
 */
export function getRuntime(run = process.env.KYMO_RUN_ID ?? ''): Runtime {
  const holder = globalThis as { [RUNTIME]?: Runtime };
  holder[RUNTIME] ??= new ProcessRuntime(run);
  return holder[RUNTIME];
}

class ProcessRuntime implements Runtime {
  readonly version: string = packageVersion();
  readonly instanceId: string = randomUUID();
  readonly projectDirectory: string = findProjectDirectory(process.env, process.cwd());
  readonly recorder: SharedRecorder;
  readonly runs: ActiveRun[] = [];
  private readonly settings: Settings;
  private providers: Providers | undefined;
  private endedLast: ActiveRun | undefined;
  /** The report whose remainder was told last. */
  private lastTold: DeliveryReport | undefined;
  private readonly probeMemory = new SharedArrayBuffer(PROBE_BYTES);
  private probe: LoopProbe | undefined;
  private probeWanted = false;

  constructor(run: string) {
    this.settings = readSettings(process.env, line => tell(line));
    this.recorder = new SharedRecorder(this.settings, randomBytes(6).toString('hex'));
    this.startWorker(run);
    const watch = new ExitWatch({
      idle: () => {
        if (this.runs.length > 0) void this.providers?.flush();
      },
      ending: outcome => {
        this.providers?.flushNow();
        for (const run of [...this.runs].reverse()) run.onExit(outcome);
      },
      deliver: () => {
        // What finish() has waited for in vain is not waited for again.
        const waited = this.lastTold?.emitted === this.recorder.report().emitted;
        const timeoutMs = waited ? 0 : this.settings.exitTimeoutMs;
        const report = this.recorder.flushSync({
          timeoutMs,
          until: diesWithUs(process.env) ? 'ended' : 'written',
        });
        this.tellWhatIsLeft(report);
        return report;
      },
    });
    this.recorder.onRecord = nowMs => {
      watch.recording(nowMs);
      this.probe?.recording(nowMs);
    };
    this.recorder.onUndelivered = report => {
      const why = report.lastError === '' ? '' : ` (${report.lastError})`;
      if (!this.settings.quiet)
        tell(
          `KYMO_ASYNC=0: ${report.pending} items could not be delivered at once${why}; calls no longer wait for them`,
        );
    };
  }

  addRun(run: ActiveRun): void {
    this.runs.push(run);
    this.wantProbe();
  }

  removeRun(run: ActiveRun): void {
    const at = this.runs.indexOf(run);
    if (at >= 0) this.runs.splice(at, 1);
    this.endedLast = run;
  }

  currentRun(): ActiveRun | undefined {
    return this.runs.at(-1);
  }

  owningRun(): ActiveRun | undefined {
    return this.runs.at(-1) ?? this.endedLast;
  }

  tracerProvider(): TracerProvider {
    return this.otel().tracerProvider();
  }

  loggerProvider(): LoggerProvider {
    return this.otel().loggerProvider();
  }

  meterProvider(): MeterProvider {
    return this.otel().meterProvider();
  }

  async deliver(): Promise<DeliveryReport> {
    await this.providers?.flush();
    const report = await this.recorder.flush({ timeoutMs: this.settings.exitTimeoutMs, until: 'written' });
    this.tellWhatIsLeft(report);
    return report;
  }

  /** Looks at this thread's event loop, a moment after the program has begun: nothing of it is loaded before. */
  private wantProbe(): void {
    const { systemIntervalMs } = this.settings;
    if (this.probeWanted || systemIntervalMs === 0) return;
    this.probeWanted = true;
    const load = (): void => {
      void import('./system/loop-probe.ts').then(
        ({ LoopProbe }) => {
          this.probe = new LoopProbe(this.probeMemory, systemIntervalMs);
        },
        () => undefined,
      );
    };
    setTimeout(load, PROBE_AFTER_MS).unref();
  }

  private otel(): Providers {
    this.providers ??= createProviders(this);
    return this.providers;
  }

  private startWorker(run: string): void {
    const extension = import.meta.url.endsWith('.ts') ? '.ts' : '.js';
    const { NODE_OPTIONS: _, ...env } = process.env;
    const workerData: WorkerArguments = {
      control: this.recorder.control,
      ring: this.recorder.ringMemory,
      largePort: this.recorder.largePort,
      baseUnixNano: this.recorder.baseUnixNano,
      sender: this.recorder.sender,
      instanceId: this.instanceId,
      projectDirectory: this.projectDirectory,
      system: {
        argv: process.argv,
        execArgv: process.execArgv,
        nodeOptions: process.env.NODE_OPTIONS,
        probe: this.probeMemory,
      },
      run,
    };
    try {
      const worker = new Worker(new URL(`./worker${extension}`, import.meta.url), {
        name: 'kymo',
        workerData,
        transferList: [this.recorder.largePort],
        execArgv: [],
        env: { ...env, KYMO_INTERNAL: '1' },
      });
      worker.unref();
      worker.on('error', error => {
        this.recorder.workerGone(
          `the worker thread failed: ${error instanceof Error ? error.message : error}`,
        );
        tell(
          `the worker thread failed; nothing more is recorded: ${error instanceof Error ? error.stack : error}`,
        );
      });
      worker.on('exit', () => this.recorder.workerGone('the worker thread has ended'));
    } catch (error) {
      this.recorder.workerGone('the worker thread cannot be started');
      tell(
        `the worker thread cannot be started; nothing is recorded: ${error instanceof Error ? error.message : error}`,
      );
    }
  }

  private tellWhatIsLeft(report: DeliveryReport): void {
    const before = this.lastTold;
    this.lastTold = report;
    if (this.settings.quiet || (before?.emitted === report.emitted && before.pending === report.pending))
      return;
    const dropped = Object.entries(report.dropped).filter(([, n]) => n > 0);
    if (dropped.length > 0) {
      const sum = dropped.reduce((total, [, n]) => total + n, 0);
      tell(
        `dropped ${sum} of ${report.emitted} items (${dropped.map(([reason, n]) => `${reason} ${n}`).join(', ')})`,
      );
    }
    if (report.pending > 0) {
      const why = report.lastError === '' ? '' : ` (${report.lastError})`;
      const spool = paths(this.projectDirectory).spool;
      const to =
        this.settings.endpoint === undefined ? '' : ` that sends to ${this.settings.endpoint.metrics}`;
      const kept =
        report.spooled > 0
          ? `${report.spooled} of them are kept in ${spool} and go out with the next run in this folder${to}`
          : '';
      const lost = report.pending - report.spooled;
      const gone = lost > 0 ? `${lost} could not be kept and are lost` : '';
      const fate = [kept, gone].filter(text => text !== '').join('; ');
      tell(`${report.pending} items are not delivered yet${why}; ${fate}`);
    } else if (report.written === false) {
      const why = report.lastError === '' ? '' : `, which it could not so far (${report.lastError})`;
      tell(`everything is delivered; the collector is still writing the files${why}`);
    }
  }
}

/** One line on stderr, written at once: the event loop may never turn again. */
function tell(line: string): void {
  try {
    writeSync(2, `kymo: ${line}\n`);
  } catch {
    // stderr is closed: there is nobody to tell.
  }
}

function packageVersion(): string {
  const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
    version: string;
  };
  return version;
}
