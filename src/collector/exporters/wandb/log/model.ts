// What stands in a `.wandb` transaction log, as far as Kymo writes or reads it. Types only; field numbers are in write-record.ts.

/** One entry of a row, summary or configuration. Exactly one of `key` and `path` says where; `json` is JSON with bare NaN and Infinity. */
export interface LogItem {
  readonly key: string;
  /** Nested place; empty where `key` stands alone. */
  readonly path: readonly string[];
  readonly json: string;
}

/** Where a console line came from. */
export type OutputStream = 'stdout' | 'stderr';

export interface RunFields {
  readonly id: string;
  readonly entity: string;
  readonly project: string;
  readonly config: readonly LogItem[];
  readonly group: string;
  readonly jobType: string;
  readonly name: string;
  readonly notes: string;
  readonly tags: readonly string[];
  readonly host: string;
  readonly startTimeUnixNano: bigint;
  readonly startingStep: number;
  readonly resumed: boolean;
  /** Seconds of earlier sessions. */
  readonly runtime: number;
}

export interface MetricFields {
  readonly name: string;
  /** A beginning and a star; empty where `name` is given. */
  readonly glob: string;
  readonly stepMetric: string;
  readonly stepSync: boolean;
  readonly hidden: boolean;
  readonly defined: boolean;
  readonly summary: readonly SummaryKind[];
  readonly goal: 'minimize' | 'maximize' | undefined;
  readonly expandedFromGlob: boolean;
}
export const SUMMARY_KINDS = ['min', 'max', 'mean', 'best', 'last', 'none', 'copy', 'first'] as const;
export type SummaryKind = (typeof SUMMARY_KINDS)[number];

export interface FileEntry {
  /** Relative to the run's files folder, with forward slashes. */
  readonly path: string;
  readonly policy: 'now' | 'end' | 'live';
  readonly type: 'other' | 'wandb' | 'media' | 'artifact';
}

export interface EnvironmentFields {
  readonly os: string;
  readonly runtime: string;
  readonly startedAtUnixNano: bigint;
  readonly program: string;
  readonly host: string;
  readonly executable: string;
  readonly args: readonly string[];
  readonly writerId: string;
}

export interface ArtifactEntry {
  readonly path: string;
  /** MD5 in base64. */
  readonly digest: string;
  readonly size: number;
  readonly reference: string;
  readonly localPath: string;
}
export interface ArtifactFields {
  readonly runId: string;
  readonly project: string;
  readonly entity: string;
  readonly type: string;
  readonly name: string;
  /** MD5 in hex over the manifest. */
  readonly digest: string;
  readonly description: string;
  readonly metadata: string;
  readonly aliases: readonly string[];
  readonly entries: readonly ArtifactEntry[];
  readonly clientId: string;
  readonly sequenceClientId: string;
}

export type LogRecord =
  | { readonly kind: 'header'; readonly producer: string; readonly minConsumer: string }
  | { readonly kind: 'run'; readonly run: RunFields }
  | { readonly kind: 'history'; readonly items: readonly LogItem[]; readonly step: number }
  | {
      readonly kind: 'summary' | 'config';
      readonly update: readonly LogItem[];
      readonly remove: readonly LogItem[];
    }
  | { readonly kind: 'stats'; readonly timeUnixNano: bigint; readonly items: readonly LogItem[] }
  | {
      readonly kind: 'output';
      readonly stream: OutputStream;
      readonly timeUnixNano: bigint;
      readonly text: string;
    }
  | { readonly kind: 'files'; readonly files: readonly FileEntry[] }
  | { readonly kind: 'metric'; readonly metric: MetricFields }
  | { readonly kind: 'environment'; readonly environment: EnvironmentFields }
  | { readonly kind: 'telemetry'; readonly telemetry: TelemetryFields }
  | { readonly kind: 'artifact'; readonly artifact: ArtifactFields }
  | { readonly kind: 'alert'; readonly title: string; readonly text: string; readonly level: string }
  | { readonly kind: 'preempting' }
  | { readonly kind: 'exit'; readonly exitCode: number; readonly runtime: number }
  | { readonly kind: 'final' | 'footer' }
  /** A record that Kymo has no use for; `field` is its number. */
  | { readonly kind: 'other'; readonly field: number };

export interface TelemetryFields {
  readonly pythonVersion: string;
  readonly cliVersion: string;
  /** Numbers of the features that were used. */
  readonly features: readonly number[];
}
