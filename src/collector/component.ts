// What the parts of the collector agree on: a batch, an exporter, a receiver, an extension, and how each is declared.
import type { z } from 'zod';
import type {
  HistogramPoint,
  LogRecord,
  RowTable,
  ScalarColumns,
  Signal,
  SpanRecord,
} from '../otlp/model.ts';
import type { ListenTarget } from './listen.ts';
import type { Resolver } from './runs/resolve.ts';
import type { ResolvedSeries, Run } from './runs/run.ts';

/**
 * A place in the journal: the logical byte offset of a record's first byte, counted over all segments since the journal
 * was made. Positions only grow; the position after a record is the next record's position.
 */
export type Position = number;

/**
 * One journaled request, decoded once and read by every exporter. Nothing in it may be changed. Behind a processor a batch may
 * hold items of other kinds than its signal's: points of the `aggregate` processor travel in the batch that completed them.
 */
export interface Batch {
  readonly position: Position;
  readonly next: Position;
  readonly signal: Signal;
  readonly receivedUnixNano: bigint;
  /** `<instance>/<sender>/<signal>/<n>`, or empty for clients that send none. */
  readonly batchKey: string;
  /** The request as protobuf, as it came. */
  readonly bytes: Uint8Array;
  readonly scalars: ScalarBatch | undefined;
  readonly histograms: readonly ResolvedHistogram[];
  readonly logs: readonly ResolvedLog[];
  readonly spans: readonly ResolvedSpan[];
}

/** The scalar points of a batch. `resolved[i]` says which run `columns.series[i]` belongs to and what sinks call it. */
export interface ScalarBatch {
  readonly columns: ScalarColumns;
  readonly resolved: readonly ResolvedSeries[];
  readonly rows: RowTable;
}
export interface ResolvedHistogram {
  readonly point: HistogramPoint;
  readonly resolved: ResolvedSeries;
}
export interface ResolvedLog {
  readonly record: LogRecord;
  readonly run: Run;
  /** `kymo.scope`, nearest wins; `global` by default. */
  readonly scope: string;
}
export interface ResolvedSpan {
  readonly record: SpanRecord;
  readonly run: Run;
  readonly scope: string;
}

/** JSON that an exporter wants back after a restart. Kept in the cursor file, so small: open runs only. */
export type CommittedState = { readonly [key: string]: unknown } | undefined;

/** Thrown by an exporter for a batch that can be sent again later (network, disk full). Anything else counts against the batch. */
export class RetryableError extends Error {
  readonly retryAfterMs: number | undefined;
  constructor(message: string, options?: { retryAfterMs?: number; cause?: unknown }) {
    super(message, { cause: options?.cause });
    this.name = 'RetryableError';
    this.retryAfterMs = options?.retryAfterMs;
  }
}

/**
 * A reader of the journal that writes somewhere else.
 *
 * The runner calls `start` once, then `export` for each batch in journal order, and `commit` now and then. It stores
 * what `commit` returned together with the position it had reached. After a crash, or after `export` or `commit` threw,
 * a new instance is started with that state and reads on from that position: what the old one wrote beyond its last
 * commit must be cut off by `start`. This is all that exactly-once needs.
 */
export interface Exporter {
  start(committed: CommittedState): void | Promise<void>;
  export(batch: Batch): void | Promise<void>;
  /** Make everything exported so far durable (fdatasync included, unless the sink is remote) and return the state of this moment. */
  commit(): CommittedState | Promise<CommittedState>;
  /** Called after `commit`'s state is durable itself; for clean-up that must not come before (evicting idle runs, deleting old parts). */
  committed?(): void | Promise<void>;
  /** For sinks that are sent to in the background: what is committed and has not reached them. An embedded collector waits while it shrinks. */
  remaining?(): number;
  /** Resolves once everything committed has reached the sink; rejects with what keeps it from it. A replay ends with it. */
  drain?(signal?: AbortSignal): Promise<void>;
  stop(): void | Promise<void>;
}

export interface Logger {
  debug(message: string, fields?: Record<string, unknown>): void;
  info(message: string, fields?: Record<string, unknown>): void;
  warn(message: string, fields?: Record<string, unknown>): void;
  error(message: string, fields?: Record<string, unknown>): void;
}

/** Counters and gauges of one component, named as upstream's (`otelcol_*`); see telemetry/metrics.ts. */
export interface Instruments {
  /** Adds to a counter. `attributes` is a small, fixed set. */
  count(name: string, amount: number, attributes?: Readonly<Record<string, string>>): void;
  /** Sets a gauge. */
  set(name: string, value: number, attributes?: Readonly<Record<string, string>>): void;
}

export interface ComponentContext {
  /** `type` or `type/name`, as in the configuration. */
  readonly id: string;
  readonly logger: Logger;
  readonly instruments: Instruments;
  /** Relative paths in settings start here (the project folder when embedded, else the working directory). */
  readonly baseDirectory: string;
  /** What started extensions authenticate with, by the extension's id: for `auth::authenticator`. */
  readonly authenticators?: ReadonlyMap<string, Authenticator>;
}

/** What became of looking at who sends. `refused` says why for the log; the sender only hears that it is not let in. */
export type AuthVerdict =
  | { readonly kind: 'known' }
  | { readonly kind: 'refused'; readonly reason: string }
  /** Too many are being looked at: the sender should come again. */
  | { readonly kind: 'busy' };
/** Says who may send to a receiver. */
export interface ServerAuthenticator {
  /** The `WWW-Authenticate` of a refusal. */
  readonly challenge: string;
  /** `header` gives a request's header by its lower-case name. Never throws or rejects. */
  check(header: (name: string) => string | undefined): AuthVerdict | Promise<AuthVerdict>;
}
/** Shows a peer who we are. */
export interface ClientAuthenticator {
  /** Headers for the next request. */
  headers(): Readonly<Record<string, string>>;
}
export interface Authenticator {
  readonly server?: ServerAuthenticator;
  readonly client?: ClientAuthenticator;
}
/** Where settings name an authenticator: `path` within the settings, for errors. */
export interface AuthenticatorReference {
  readonly path: readonly string[];
  readonly id: string;
}

export interface ExporterContext extends ComponentContext {
  /** Folder for what this exporter keeps between runs beside its cursor (for example the state of closed runs). Exists. */
  readonly stateDirectory: string;
  /** Tells the parts of two collectors writing one run apart; file-name safe, at most 24 characters. */
  readonly writerId: string;
}

export type Stability = 'development' | 'alpha' | 'beta' | 'stable';

/** How a component is declared: one per folder, listed in components.ts. The schema's defaults and descriptions are the documentation. */
export interface ExporterType<S extends z.ZodType = z.ZodType> {
  readonly kind: 'exporter';
  readonly type: string;
  readonly aliases?: readonly string[];
  readonly signals: readonly Signal[];
  readonly stability: Stability;
  /** A sink whose files are the run's canonical record or part of it: `finish()` waits for its cursor. */
  readonly local: boolean;
  /** The setting that names the folder of the run folders, in an exporter that writes the canonical record. */
  keepsRuns?(config: z.infer<S>): string;
  /** Sends `batch.bytes` on as they came: it cannot be given a part of a request, so it takes no `scopes`. */
  readonly forwards?: true;
  readonly config: S;
  /** The extensions that its requests are authenticated with. */
  authenticators?(config: z.infer<S>): readonly AuthenticatorReference[];
  create(context: ExporterContext, config: z.infer<S>): Exporter;
}

/**
 * A step between the journal and one exporter, listed in pipelines. Each exporter behind it has an instance of its own, which
 * sees the batches of all pipelines that name both, in journal order.
 *
 * A pure function of the batches it was given and of its state: after a crash a new instance is started with the state of the
 * exporter's last commit, gets the same batches again, and must make the same of them. So no clock, no randomness, no I/O.
 */
export interface Processor {
  /** Undefined at the first start. A processor without state needs neither this nor `commit`. */
  start?(committed: CommittedState): void;
  /** The batch as the next one is to see it (itself where nothing changes); undefined when nothing of it is left. */
  process(batch: Batch): Batch | undefined;
  /** The state of this moment. It is kept in the exporter's cursor: small, and JSON. */
  commit?(): CommittedState;
}

export interface ProcessorContext extends ComponentContext {
  /** Id of the exporter that this instance works for. */
  readonly exporter: string;
  /** For what a processor changes or makes: which run it belongs to and what sinks call it. */
  readonly resolver: Resolver;
}

/** What a processor does to what passes: `none`; `keeps`, when it changes or adds, but leaves nothing out; `drops`. */
export type Effect = 'none' | 'keeps' | 'drops';

/** What a processor's settings are checked against beside their schema. */
export interface ProcessorSurroundings {
  /** All exporters of the configuration. */
  readonly exporters: readonly string[];
  /** Those behind this processor. */
  readonly behind: readonly string[];
}

export interface ProcessorType<S extends z.ZodType = z.ZodType> {
  readonly kind: 'processor';
  readonly type: string;
  readonly aliases?: readonly string[];
  readonly signals: readonly Signal[];
  readonly stability: Stability;
  readonly config: S;
  /** Must stand in pipelines of all its signals for each exporter behind it, or it would miss what it needs. */
  readonly needsAllSignals?: true;
  /** `none` lets forwarders stand behind it; behind one that `drops`, jsonl is not the canonical record of a run. */
  effect(config: z.infer<S>): Effect;
  /** What is wrong with the settings in this configuration; `path` leads from the settings to the value. */
  check?(
    config: z.infer<S>,
    surroundings: ProcessorSurroundings,
  ): readonly { readonly path: readonly (string | number)[]; readonly message: string }[];
  create(context: ProcessorContext, config: z.infer<S>): Processor;
}

/** A request on its way to the journal: protobuf, checked, within limits. */
export interface IngestRequest {
  readonly signal: Signal;
  readonly bytes: Uint8Array;
  /** From the `kymo-batch` header; empty when absent. */
  readonly batchKey: string;
  /** Items in it (points, records or spans), as counted by the check. */
  readonly items: number;
}
export type IngestResult =
  /** Appended (or found to be there already): the journal's id, and the position after the record. */
  | {
      readonly kind: 'stored';
      readonly journal: string;
      readonly position: Position;
      readonly duplicate: boolean;
    }
  /** Not stored; the sender should come again. */
  | { readonly kind: 'refused'; readonly reason: string; readonly retryAfterMs: number };

/** Where receivers put requests. Resolves once the request is in the journal as `fsync` asks, or refused. Never rejects. */
export interface Ingest {
  submit(request: IngestRequest): Promise<IngestResult>;
  /** Reserve memory for a body before it is read; false means: answer 503 now. Give back with `release`. */
  reserve(bytes: number): boolean;
  release(bytes: number): void;
  /** A request that needs more than this will never be let in; no bound of its own where it is left out. */
  readonly maxRequestBytes?: number;
}

/** Where a component listens, and the setting that says so. */
export interface ListenPlace {
  readonly setting: string;
  readonly target: ListenTarget;
}

export interface Receiver {
  /** Reads what a start needs (certificates) and throws what is wrong with it; opens nothing, and a start may never follow. */
  prepare?(): void | Promise<void>;
  start(): Promise<void>;
  /** Stop taking new requests, answer those under way, within the deadline; then close. */
  stop(deadlineMs: number): Promise<void>;
  /** Addresses it listens on, for `kymo status` and logs (`grpc 127.0.0.1:4317`). */
  addresses(): readonly string[];
}
export interface ReceiverContext extends ComponentContext {
  readonly ingest: Ingest;
}
export interface ReceiverType<S extends z.ZodType = z.ZodType> {
  readonly kind: 'receiver';
  readonly type: string;
  readonly aliases?: readonly string[];
  readonly signals: readonly Signal[];
  readonly stability: Stability;
  readonly config: S;
  /** The extensions that say who may send to it. */
  authenticators?(config: z.infer<S>): readonly AuthenticatorReference[];
  /** Where it would listen, for looking beforehand whether that is free. */
  listens?(id: string, config: z.infer<S>, baseDirectory: string): readonly ListenPlace[];
  create(context: ReceiverContext, config: z.infer<S>): Receiver;
}

export interface Extension {
  /** There once it has started, in an extension whose type `authenticates`. */
  readonly authenticator?: Authenticator;
  start(): void | Promise<void>;
  stop(): void | Promise<void>;
}
/** `starting` and `stopping` are not healthy; `degraded` is (an exporter lags, nothing is lost). */
export type Health = {
  readonly state: 'starting' | 'ok' | 'degraded' | 'stopping';
  readonly detail?: string;
};
export interface ExtensionContext extends ComponentContext {
  health(): Health;
  /** Folder for what this extension keeps beside the journal. Not made. */
  readonly stateDirectory?: string;
  /** Folders of the exporters that keep runs (`keepsRuns`); absolute. */
  readonly runDirectories?: readonly string[];
}
export interface ExtensionType<S extends z.ZodType = z.ZodType> {
  readonly kind: 'extension';
  readonly type: string;
  readonly aliases?: readonly string[];
  readonly stability: Stability;
  readonly config: S;
  /** The extensions that say who may ask it; they are started before it. */
  authenticators?(config: z.infer<S>): readonly AuthenticatorReference[];
  /** Whom it authenticates with these settings; left out by an extension that does not. */
  authenticates?(config: z.infer<S>): readonly (keyof Authenticator)[];
  /** Where it would listen, for looking beforehand whether that is free. */
  listens?(id: string, config: z.infer<S>, baseDirectory: string): readonly ListenPlace[];
  create(context: ExtensionContext, config: z.infer<S>): Extension;
}

export type ComponentType = ExporterType | ProcessorType | ReceiverType | ExtensionType;
