// A run: everything one process says about one experiment, from `init` to `finish`.
import type { Attributes } from '../otlp/model.ts';
import type { DeliveryReport, ResourceId, ScopeId } from '../sdk/recorder.ts';
import type { ExitOutcome, Runtime } from '../sdk/runtime.ts';
import { GLOBAL_SCOPE, SCOPE, SYSTEM_LOGGER, SYSTEM_SCOPE } from '../semconv/names.ts';
import { afterFinish } from './after-finish.ts';
import { Checkpoints } from './checkpoints/checkpoints.ts';
import type { LoadedCheckpoint, LoadOptions, SaveOptions, SaveResult } from './checkpoints/options.ts';
import { checkOptions, wrongType } from './checks.ts';
import { Complaints } from './complaints.ts';
import { RunCounters } from './counters.ts';
import { exportRun, restoreRun } from './environment.ts';
import { closeHandlers, EventOrigin, handlersSettled, hub } from './handlers/hub.ts';
import { configEvent, runEvent } from './handlers/make-event.ts';
import { type Identity, type InitOptions, runResource } from './identity.ts';
import { MediaCalls } from './media/calls.ts';
import { MediaWriter } from './media/writer.ts';
import { type MetricDefinition, MetricDefinitions } from './metric-definition.ts';
import { type EventOptions, recordRawEvent } from './raw-event.ts';
import { type RecordedChanges, type RecordedMap, recordedMap } from './record-map.ts';
import { type Rollout, recordRollout } from './rollout.ts';
import type { HistogramOptions, LogOptions, Row, Scalar, ScalarOptions } from './row-options.ts';
import { RowWriter } from './row-writer.ts';
import { RunEvents, type RunState } from './run-events.ts';
import { Claim } from './runs/claims.ts';
import type { Resumption } from './runs/resume.ts';
import type { StepCounter } from './steps.ts';

/** How often a run says that it lives; the collector takes it for crashed after six of them. */
const HEARTBEAT_MS = 10_000;
/** The instrumentation scope of what is logged to the run itself. */
const OWN_SCOPE = 'kymo';

const FINISH_STATES = ['finished', 'failed', 'crashed', 'killed'] as const;

export interface FinishOptions {
  /** Default: finished. */
  readonly state?: (typeof FINISH_STATES)[number];
}

/** What `startRun` needs besides the identity. */
export interface RunSettings {
  readonly base: Attributes;
  readonly config: InitOptions['config'] | undefined;
  readonly modeFromName: boolean;
  readonly complaints: 'strict' | 'print' | 'quiet';
  readonly checkpoints: InitOptions['checkpoints'] | undefined;
  readonly resumption: Resumption | undefined;
}

// It is an ActiveRun by its internal members. It does not say so, since its public type is without them.
/** Made by `init`. Its methods return at once, never wait for the network, and never throw for what happens outside. */
export class Run extends MediaCalls implements AsyncDisposable, Disposable {
  readonly id: string;
  /** The run's name for people; the id unless `init` was told one. */
  readonly name: string;
  readonly project: string;
  /** Absolute path of the folder that the embedded collector writes the run to. It may not exist yet. */
  readonly dir: string;
  /** 1 for the first launch of this id, one more for each resume. */
  readonly attempt: number;
  /** @internal */
  readonly resource: ResourceId;
  /** @internal */
  readonly resourceAttributes: Attributes;
  /** @internal */
  readonly complaints: Complaints;
  /** @internal False for a run that does nothing. */
  readonly enabled: boolean;

  readonly #runtime: Runtime;
  readonly #identity: Identity;
  readonly #events: RunEvents;
  readonly #modeFromName: boolean;
  readonly #config: RecordedChanges;
  readonly #summary: RecordedChanges;
  readonly #counters: RunCounters;
  readonly #scopes = new Map<string, ScopeId>();
  readonly #writers = new Map<string, RowWriter>();
  readonly #own: RowWriter;
  readonly #beforeFlush = new Set<() => void>();
  readonly #definitions = new MetricDefinitions();
  readonly #origin: EventOrigin;
  readonly #settings: RunSettings;
  readonly #claim: Claim | undefined;
  #checkpoints: Checkpoints | undefined;
  #heartbeat: NodeJS.Timeout | undefined;
  #systemScope: ScopeId | undefined;
  #changesAsked = false;
  #media: MediaWriter | undefined;
  #ended = false;
  #finishing: Promise<DeliveryReport> | undefined;

  /** @internal Use `init`. */
  constructor(runtime: Runtime, identity: Identity, settings: RunSettings) {
    super();
    const { recorder } = runtime;
    this.id = identity.id;
    this.name = identity.name;
    this.project = identity.project;
    this.dir = identity.dir;
    this.attempt = identity.attempt;
    this.resourceAttributes = runResource(identity, settings.base);
    this.resource = recorder.defineResource(this.resourceAttributes);
    this.complaints = new Complaints(recorder, settings.complaints);
    this.enabled = settings.complaints !== 'quiet';
    this.#runtime = runtime;
    this.#identity = identity;
    this.#modeFromName = settings.modeFromName;
    this.#events = new RunEvents(
      recorder,
      recorder.defineScope(this.resource, OWN_SCOPE, runtime.version, {}),
    );
    this.#config = recordedMap('run.config', this.#askForChanges);
    this.#summary = recordedMap('run.summary', this.#askForChanges);
    this.#counters = new RunCounters(settings.resumption?.steps ?? [], settings.resumption?.wallTime ?? 0);
    this.#own = this.writer(OWN_SCOPE, GLOBAL_SCOPE);
    this.#origin = new EventOrigin(this, GLOBAL_SCOPE, OWN_SCOPE);
    this.#settings = settings;
    this.#claim = this.enabled
      ? new Claim(runtime.projectDirectory, this.id, identity.rank ?? 0, identity.attempt)
      : undefined;
    runtime.addRun(this);
    this.#events.start(identity);
    if (this.enabled) {
      hub.runs++;
      if (hub.listening) this.#origin.publish(origin => runEvent(origin, 'running', undefined, undefined));
    }
    if (settings.config !== undefined) this.#config.map.update(settings.config);
    this.#recordChanges();
    if (!this.enabled) return;
    exportRun(identity);
    this.#systemScope = recorder.defineScope(this.resource, SYSTEM_LOGGER, runtime.version, {
      [SCOPE]: SYSTEM_SCOPE,
    });
    recorder.watchSystem(this.#systemScope, true);
    this.#heartbeat = setInterval(() => {
      this.#events.heartbeat();
      this.#claim?.renew();
    }, HEARTBEAT_MS);
    this.#heartbeat.unref();
  }

  /**
   * Writes one row: all values of one moment. The first row without a step has step 0; each further one counts on from the
   * row before it, whichever way that got its step. A step may be lower than an earlier one.
   *
   * A value that is no number is dropped, counted and printed once per name (thrown when strict), the rest of the row is kept.
   * Throws a TypeError when `row` or `options` is no object or an option is unknown.
   */
  log(row: Row, options?: LogOptions): void {
    this.#own.log(row, options);
  }

  /**
   * Writes one value. With a step, the run's step counter goes on from it; without one the point has no step, and readers
   * count the points of the series. Bad values and steps: as for `log`.
   */
  scalar(name: string, value: unknown, options?: ScalarOptions): void {
    this.#own.scalar(name, value, options);
  }

  /**
   * Writes the distribution of many values: an array, a typed array or a tensor (anything with `dataSync`) of any shape.
   * Values that are not finite are left out. Without a step it has the step of the row under way.
   */
  histogram(name: string, values: unknown, options?: HistogramOptions): void {
    this.#own.histogram(name, values, options);
  }

  /**
   * Writes what a policy said to a prompt and what it was worth: an event with the messages, one with each reward, and scalars
   * `rewards/<name>`, all at the rollout's step, which does not move the step counter.
   *
   * A bad message, reward or step is dropped, counted and printed once; what does not fit a record (3 MiB of text) is cut, and the
   * event says how much. Throws a TypeError for a rollout of the wrong shape.
   */
  logRollout(rollout: Rollout): void {
    recordRollout(this.#own, this.complaints, rollout);
  }

  /**
   * Writes a raw event, such as the end of an episode or a step that was completed (value 1). It draws no curve by itself: the
   * collector's `aggregate` processor makes means, sums, rates and others of events. The step counter does not move.
   *
   * A value that is no number and a bad step are dropped, counted and printed once. Throws a TypeError for the wrong shape.
   */
  event(name: string, value: Scalar = 1, options: EventOptions = {}): void {
    recordRawEvent(this.#own, this.complaints, name, value, options);
  }

  /**
   * Says how metrics are to be read: what they are drawn over, and what the run's summary keeps of them. `name` may end in `*`; where
   * several match, the very name counts, else the longest pattern. Throws a TypeError for a definition that means nothing.
   */
  defineMetric(name: string, definition: MetricDefinition): void {
    this.#definitions.define(this.#own, name, definition);
  }

  /**
   * Hyperparameters. Read and set by attribute or index, also deep inside (`run.config.optimizer.lr = 1e-3`), or several at
   * once with `update`. Changes are recorded together as soon as the event loop turns.
   */
  get config(): RecordedMap {
    return this.#config.map;
  }

  /** Results of the run as a whole, such as the best accuracy. Works like `config`. */
  get summary(): RecordedMap {
    return this.#summary.map;
  }

  /**
   * Seconds that this training has run: those of earlier attempts up to the checkpoint that the run went on from, and those since `init`.
   */
  get wallTime(): number {
    return this.#counters.wallTime;
  }

  /**
   * Saves all that a later start needs to go on, with Kymo's own counters, in `checkpoints/step_<step>` of the run's folder. The state is
   * copied in the call; it resolves when the checkpoint is durable. Until then the ones before it stand as they were, whatever
   * happens. Without `await` it is ended by the next save, by `finish`, and when the process ends.
   *
   * Rejects with a TypeError for a call of the wrong shape. A full disk, or a state that cannot be kept, is told and the result says so
   * (the latter is thrown when strict): a training goes on.
   *
   * @example
   * await run.saveCheckpoint({ state: { weights, optimizer }, step, isBest, buffer: () => replay.contents() });
   */
  async saveCheckpoint(options: SaveOptions): Promise<SaveResult> {
    return this.enabled ? this.#checkpointsOf().save(options) : { kind: 'disabled' };
  }

  /** The same, blocking: returns when the checkpoint is durable. */
  saveCheckpointSync(options: SaveOptions): SaveResult {
    return this.enabled ? this.#checkpointsOf().saveSync(options) : { kind: 'disabled' };
  }

  /**
   * The newest checkpoint of this run (or the one that is asked for); undefined when there is none. Before the first row, steps and wall time
   * go on from it. Throws a CheckpointError that names the file when it is damaged, of a newer format, or was written by another serializer.
   */
  loadCheckpoint(options: LoadOptions = {}): LoadedCheckpoint | undefined {
    return this.enabled ? this.#checkpointsOf().load(options) : undefined;
  }

  /** Commits a pending row and resolves when everything logged so far is delivered or in the spool. Never rejects. */
  async flush(): Promise<DeliveryReport> {
    this.#completeRows();
    this.#recordChanges();
    return this.#runtime.recorder.flush();
  }

  /**
   * The same, blocking: returns when everything logged so far is delivered or in the spool, at most `timeoutMs` (default 10 s).
   * Instruments of OpenTelemetry's metrics API are not read for it. Never throws for what is outside.
   */
  flushSync(timeoutMs = 10_000): DeliveryReport {
    if (typeof timeoutMs !== 'number' || !(timeoutMs >= 0))
      throw wrongType('flushSync(timeoutMs)', 'a number of milliseconds', timeoutMs);
    this.#completeRows();
    this.#recordChanges();
    return this.#runtime.recorder.flushSync({ timeoutMs });
  }

  /**
   * Ends the run and resolves when everything is delivered and written, within `KYMO_EXIT_TIMEOUT_MS`. Never rejects. Calling
   * it again returns the first call's promise. Without it the run finishes when the process ends.
   */
  finish(options?: FinishOptions): Promise<DeliveryReport> {
    if (options !== undefined) {
      checkOptions('finish', options, ['state']);
      if (options.state !== undefined && !FINISH_STATES.includes(options.state))
        throw wrongType('finish({state})', `one of ${FINISH_STATES.join(', ')}`, options.state);
    }
    this.#end(options?.state ?? 'finished', undefined, undefined);
    this.#finishing ??= Promise.all([this.#runtime.deliver(), handlersSettled()]).then(([report]) => report);
    return this.#finishing;
  }

  /** `await using run = init()`: finishes and waits. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.finish();
  }

  /** `using run = init()`: finishes; delivery goes on in the background and is waited for when the process ends. */
  [Symbol.dispose](): void {
    this.#end('finished', undefined, undefined);
  }

  /** @internal The runtime calls it while the process ends. */
  onExit(outcome: ExitOutcome): void {
    this.#end(outcome.state, outcome.exitCode, outcome.error);
    if (hub.runs === 0) closeHandlers();
  }

  /** @internal True once `finish` was called. */
  get ended(): boolean {
    return this.#ended;
  }

  /** @internal */
  get runtime(): Runtime {
    return this.#runtime;
  }

  /** @internal Where a logger of this name and scope writes its rows. Loggers of one scope share its step counter. */
  writer(logger: string, scope: string): RowWriter {
    const key = `${scope}\0${logger}`;
    const known = this.#writers.get(key);
    if (known !== undefined) return known;
    const { recorder } = this.#runtime;
    const writer = new RowWriter(recorder, this.scopeId(logger, scope), this.steps(scope), this.complaints, {
      modeFromName: this.#modeFromName,
      origin: this.enabled ? new EventOrigin(this, scope, logger) : undefined,
    });
    if (this.#ended) writer.redirect(afterFinish(recorder, this.complaints, this.id));
    this.#writers.set(key, writer);
    return writer;
  }

  /** @internal */
  scopeId(logger: string, scope: string): ScopeId {
    const key = `${scope}\0${logger}`;
    let id = this.#scopes.get(key);
    if (id === undefined) {
      const { recorder, version } = this.#runtime;
      const attributes: Attributes = scope === GLOBAL_SCOPE ? {} : { [SCOPE]: scope };
      id = recorder.defineScope(this.resource, logger, logger === OWN_SCOPE ? version : '', attributes);
      this.#scopes.set(key, id);
    }
    return id;
  }

  /** @internal */
  override mediaWriter(): MediaWriter {
    this.#media ??= new MediaWriter(this, OWN_SCOPE, GLOBAL_SCOPE, {});
    return this.#media;
  }

  /** @internal */
  steps(scope: string): StepCounter {
    return this.#counters.steps(scope);
  }

  /** @internal `action` writes what has been held back; it runs before every flush and at the run's end. */
  beforeFlush(action: () => void): void {
    this.#beforeFlush.add(action);
  }

  /** @internal Processes started from now on belong to this run. */
  exportToChildren(): void {
    exportRun(this.#identity);
  }

  #checkpointsOf(): Checkpoints {
    this.#checkpoints ??= new Checkpoints(
      {
        id: this.id,
        project: this.project,
        dir: this.dir,
        rank: this.#identity.rank ?? 0,
        attempt: this.attempt,
        strict: this.complaints.strict,
        ended: () => this.#ended,
        undone: this.#undone(),
        counters: this.#counters,
        event: event => this.#own.event(event),
      },
      this.#settings.checkpoints,
    );
    return this.#checkpoints;
  }

  /** Including what this attempt itself undoes. */
  #undone(): readonly { readonly attempt: number; readonly fromStep: number }[] {
    const { attempt, resumeStep } = this.#identity;
    const before = this.#settings.resumption?.undone ?? [];
    return Number.isNaN(resumeStep) ? before : [...before, { attempt, fromStep: resumeStep }];
  }

  #completeRows(): void {
    for (const action of this.#beforeFlush) action();
    for (const writer of this.#writers.values()) writer.commit();
  }

  #askForChanges = (): void => {
    if (this.#changesAsked || this.#ended) return;
    this.#changesAsked = true;
    queueMicrotask(() => this.#recordChanges());
  };

  #recordChanges(): void {
    this.#changesAsked = false;
    if (this.#ended) return;
    const config = this.#config.take();
    if (config !== undefined) {
      this.#events.config(config);
      if (hub.listening && this.enabled) this.#origin.publish(origin => configEvent(origin, config));
    }
    const summary = this.#summary.take();
    if (summary !== undefined) this.#events.summary(summary);
  }

  #end(state: RunState, exitCode: number | undefined, error: unknown): void {
    if (this.#ended) return;
    clearInterval(this.#heartbeat);
    this.#checkpoints?.finishNow();
    this.#completeRows();
    this.#recordChanges();
    if (error !== undefined && error !== null) this.#events.fatal(error);
    this.#events.finish(state, exitCode, error);
    this.#ended = true;
    if (this.#systemScope !== undefined) this.#runtime.recorder.watchSystem(this.#systemScope, false);
    if (this.enabled) {
      hub.runs--;
      if (hub.listening) this.#origin.publish(origin => runEvent(origin, state, exitCode, error));
    }
    const nowhere = afterFinish(this.#runtime.recorder, this.complaints, this.id);
    for (const writer of this.#writers.values()) writer.redirect(nowhere);
    this.#claim?.release();
    this.#runtime.removeRun(this);
    restoreRun(this.id);
    const outer = this.#runtime.currentRun();
    if (outer instanceof Run) outer.exportToChildren();
  }
}
