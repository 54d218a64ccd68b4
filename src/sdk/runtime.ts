// One Kymo runtime per process, whoever loads it and how often: recorder, current run, exit hooks.
import type { LoggerProvider, MeterProvider, TracerProvider } from '@opentelemetry/api';
import type { Attributes } from '../otlp/model.ts';
import type { Recorder, ResourceId } from './recorder.ts';

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
  /** OTel providers whose telemetry goes through the recorder. Made on first use; the SDK packages load only then. */
  tracerProvider(): TracerProvider;
  loggerProvider(): LoggerProvider;
  meterProvider(): MeterProvider;
  /** Bounded by `KYMO_EXIT_TIMEOUT_MS`; prints one line when something is left. For `run.finish()`. */
  deliver(): Promise<import('./recorder.ts').DeliveryReport>;
}
