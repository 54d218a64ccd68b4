// Drives one exporter along the journal: reads, exports, commits, starts it again after a failure, leaves out what it cannot take.
import { setImmediate as nextTurn } from 'node:timers/promises';
import { SIGNALS, type Signal } from '../../otlp/model.ts';
import type { Exporter, Logger, Position } from '../component.ts';
import { errorText } from '../journal/durable-file.ts';
import type { JournalRecord, JournalSource } from '../journal/source.ts';
import { countLeft, type ItemCounts, noItems } from './count-left.ts';
import type { CursorStore, Gap } from './cursor-store.ts';
import type { FeedBatch } from './decode.ts';
import { judge } from './failure.ts';
import type { Feed, FeedReader } from './feed.ts';
import {
  BATCH_RETRY_MS,
  COUNT_LEFT_MS,
  DEFAULT_COMMIT_INTERVAL_MS,
  DEFAULT_IDLE_COMMIT_MS,
  DEFAULT_MAX_ATTEMPTS,
  DEFAULT_RETRY_INITIAL_MS,
  DEFAULT_RETRY_MAX_MS,
  DEFAULT_SLICE_MS,
  DRAIN_RETRY_MS,
  MOVING_WITHIN_MS,
  RETRY_FACTOR,
  STOP_GRACE_MS,
} from './limits.ts';
import type { Quarantine } from './quarantine.ts';
import { Waiters } from './waiters.ts';

/** What a runner needs of the journal; `Journal` has it. */
export interface FollowedJournal extends JournalSource {
  subscribe(listener: () => void): () => void;
  durable(position: Position): Promise<void>;
  recent(position: Position): JournalRecord | undefined;
  countFrom(position: Position): number | undefined;
}

export interface RunnerOptions {
  readonly id: string;
  /** A new instance for each start. */
  readonly create: () => Exporter;
  readonly journal: FollowedJournal;
  readonly feed: Feed;
  readonly cursors: CursorStore;
  readonly quarantine: Quarantine;
  readonly logger: Logger;
  /** Batches of other signals are passed over. All by default. */
  readonly signals?: readonly Signal[];
  /** Holds the run's canonical record: never parked. */
  readonly canonical?: boolean;
  /** Where an exporter without a cursor begins. */
  readonly startAt?: 'start' | 'end';
  readonly commitIntervalMs?: number;
  readonly idleCommitMs?: number;
  readonly sliceMs?: number;
  readonly retryInitialMs?: number;
  readonly retryMaxMs?: number;
  readonly maxAttempts?: number;
}

export type RunnerState = 'new' | 'starting' | 'running' | 'retrying' | 'stopping' | 'stopped';

export interface RunnerStats {
  readonly id: string;
  readonly state: RunnerState;
  /** The journal does not wait for it any more: what it has not read by the time room is short, it never sees. */
  readonly parked: boolean;
  readonly position: Position;
  /** Durable: a restart goes on here. */
  readonly committed: Position;
  readonly lagBytes: number;
  /** Undefined where it is not known without reading the disk. */
  readonly lagRecords: number | undefined;
  /** Age of the oldest request not exported yet. */
  readonly lagMs: number | undefined;
  /** Durable in the sink. */
  readonly delivered: Readonly<ItemCounts>;
  readonly deliveredBatches: number;
  /** Left out because the exporter could not take them. */
  readonly quarantined: Readonly<ItemCounts>;
  readonly quarantinedBatches: number;
  /** Journal bytes that could not be read. */
  readonly damagedBytes: number;
  /** Stretches deleted before it could read them; a rebuild from the canonical record is due. */
  readonly gaps: readonly Gap[];
  readonly missedBytes: number;
  /** Committed, and still on its way to a sink that is sent to in the background; see `Exporter.remaining`. */
  readonly remaining: number;
  readonly restarts: number;
  readonly lastError: string | undefined;
}

export interface StopReport {
  readonly id: string;
  readonly committed: Position;
  /** What stands between the durable cursor and the journal's end. All zero when everything is delivered. */
  readonly undeliveredBytes: number;
  readonly undelivered: Readonly<ItemCounts>;
  readonly undeliveredBatches: number;
  /** False when counting took too long: at least this much is left. */
  readonly exact: boolean;
  readonly lastError: string | undefined;
}

/** Why a session ended before its time. `batch` is the one to blame, if one is. */
class SessionError extends Error {
  readonly stage: 'start' | 'export' | 'commit' | 'read';
  readonly batch: FeedBatch | undefined;
  constructor(stage: 'start' | 'export' | 'commit' | 'read', cause: unknown, batch?: FeedBatch) {
    super(errorText(cause), { cause });
    this.name = 'SessionError';
    this.stage = stage;
    this.batch = batch;
  }
}

export class ExporterRunner {
  readonly id: string;
  readonly canonical: boolean;
  readonly #options: RunnerOptions;
  readonly #journal: FollowedJournal;
  readonly #cursors: CursorStore;
  readonly #logger: Logger;
  readonly #signals: ReadonlySet<Signal>;
  readonly #reader: FeedReader;
  readonly #waiters = new Waiters();
  /** The batch that failed last: what is before it is committed before it comes again. */
  #failedAt: Position | undefined;
  /** Failed attempts by batch. */
  readonly #attempts = new Map<Position, number>();
  #state: RunnerState = 'new';
  #run: Promise<void> | undefined;
  #unsubscribe: (() => void) | undefined;
  #wakeUp: (() => void) | undefined;
  #committed: Position = 0;
  #loaded = false;
  /** An instance runs from its cursor. Before, the cursor proves nothing: it may have to go back. */
  #started = false;
  /** The instance that runs. */
  #exporter: Exporter | undefined;
  /** Where an exporter without a cursor began. */
  #origin: Position | undefined;
  #gaps: readonly Gap[] = [];
  /** When the first batch after the last commit was exported; undefined when there is nothing to commit. */
  #dirtySinceMs: number | undefined;
  #lastExportMs = 0;
  /** When it last exported or committed something. */
  #lastMoveMs = 0;
  /** Commits asked for by `hurry`, with or without anything new. */
  #hurried = 0;
  /** Exported since the last commit: counted as delivered once that is durable. */
  #pending: ItemCounts = noItems();
  #pendingBatches = 0;
  #pendingDamage = 0;
  #lastReceivedUnixNano: bigint | undefined;
  /** Up to here each batch is committed by itself, to find the one that commits fail on. */
  #singleUntil: Position = 0;
  #backoffMs: number;
  #parked = false;
  #drainTo: Position | undefined;
  #deadlineMs = Infinity;
  /** `stop` has given its report: what comes back late from a hanging exporter changes nothing any more. */
  #abandoned = false;
  #delivered: ItemCounts = noItems();
  #deliveredBatches = 0;
  #quarantined: ItemCounts = noItems();
  #quarantinedBatches = 0;
  #damagedBytes = 0;
  #restarts = 0;
  #lastError: string | undefined;

  constructor(options: RunnerOptions) {
    this.id = options.id;
    this.canonical = options.canonical === true;
    this.#options = options;
    this.#journal = options.journal;
    this.#cursors = options.cursors;
    this.#logger = options.logger;
    this.#signals = new Set(options.signals ?? SIGNALS);
    this.#reader = options.feed.reader(0);
    this.#backoffMs = options.retryInitialMs ?? DEFAULT_RETRY_INITIAL_MS;
  }

  /** Reads the cursor and sets off. Throws when the cursor cannot be read (another version, a broken disk); the exporter's own errors are retried. */
  async start(): Promise<void> {
    await this.#cursors.load();
    this.#place();
    this.#loaded = true;
    this.#unsubscribe = this.#journal.subscribe(() => this.#wake());
    this.#state = 'starting';
    this.#run = this.#loop();
  }

  /** The lowest position that this exporter may come back to: the journal keeps everything from there on. */
  neededPosition(): Position {
    if (!this.#loaded) return 0;
    return this.#parked ? Infinity : this.#cursors.olderPosition(this.#journal.id);
  }

  /**
   * Lets the journal delete what this exporter has not read. It goes on reading, and is waited for again once it has caught
   * up; what it misses is remembered as a gap. False for a canonical exporter, and for one that is parked already.
   */
  park(): boolean {
    if (this.#parked || this.canonical) return false;
    this.#parked = true;
    this.#logger.warn(
      `${this.id}: lags ${this.#journal.end - this.#committed} bytes while the journal is full; no longer waited for`,
    );
    return true;
  }

  /** It exports what comes, and is not waiting for its sink. */
  isMoving(): boolean {
    return this.#started && this.#state === 'running' && Date.now() - this.#lastMoveMs < MOVING_WITHIN_MS;
  }

  /** Commit now, and once more: what the older generation needs goes too. */
  hurry(): void {
    if (this.#hurried > 0 || this.neededPosition() >= this.#reader.position) return;
    this.#hurried = 2;
    this.#wake();
  }

  /** Resolves once everything before `position` is durable in the sink; asks for an early commit. Rejects when the runner stops before, or by `signal`. */
  progress(position: Position, signal?: AbortSignal): Promise<void> {
    if (this.#started && this.#committed >= position) return Promise.resolve();
    if (this.#state === 'stopped')
      return Promise.reject(new Error(`${this.id}: stopped before position ${position}`));
    const waiting = this.#waiters.add(position, signal, `${this.id}: no longer waited for`);
    this.#wake();
    return waiting;
  }

  stats(): RunnerStats {
    const position = this.#reader.position;
    return {
      id: this.id,
      state: this.#state,
      parked: this.#parked,
      position,
      committed: this.#committed,
      lagBytes: Math.max(0, this.#journal.end - position),
      lagRecords: this.#journal.countFrom(position),
      lagMs: this.#lagMs(position),
      delivered: { ...this.#delivered },
      deliveredBatches: this.#deliveredBatches,
      quarantined: { ...this.#quarantined },
      quarantinedBatches: this.#quarantinedBatches,
      damagedBytes: this.#damagedBytes,
      gaps: this.#gaps,
      missedBytes: this.#gaps.reduce((sum, gap) => sum + gap.to - gap.from, 0),
      remaining: this.#exporter?.remaining?.() ?? 0,
      restarts: this.#restarts,
      lastError: this.#lastError,
    };
  }

  /** Exports and commits up to the journal's present end, within `drainMs`; then stops the exporter and says what is left. */
  async stop(options: { readonly drainMs: number }): Promise<StopReport> {
    if (this.#state !== 'stopped' && this.#run !== undefined) {
      this.#drainTo ??= this.#journal.end;
      this.#state = 'stopping';
      this.#deadlineMs = Date.now() + options.drainMs;
      this.#wake();
      const timer = setTimeout(() => this.#wake(), options.drainMs);
      // An exporter that hangs in one call cannot be interrupted, only left.
      await settled(this.#run, options.drainMs + STOP_GRACE_MS);
      clearTimeout(timer);
    }
    this.#abandoned = true;
    this.#unsubscribe?.();
    this.#reader.close();
    this.#state = 'stopped';
    this.#waiters.rejectAll(`${this.id}: stopped at position ${this.#committed}`);
    const left = await countLeft(this.#journal, this.#committed, this.#signals, Date.now() + COUNT_LEFT_MS);
    return {
      id: this.id,
      committed: this.#committed,
      undeliveredBytes: left.bytes,
      undelivered: left.items,
      undeliveredBatches: left.batches,
      exact: left.exact,
      lastError: left.batches === 0 ? undefined : this.#lastError,
    };
  }

  /** Puts the reader where the cursor says, as far as this journal goes. */
  #place(): void {
    const cursor = this.#cursors.current;
    const { start, end, id } = this.#journal;
    this.#gaps = cursor?.gaps ?? [];
    this.#dirtySinceMs = undefined;
    this.#pending = noItems();
    this.#pendingBatches = 0;
    this.#pendingDamage = 0;
    this.#hurried = 0;
    let position: Position;
    if (cursor === undefined) {
      this.#origin ??= this.#options.startAt === 'end' ? end : start;
      position = this.#origin;
      // Where "the end" was must survive a restart.
      if (position > start) this.#dirtySinceMs = Date.now();
    } else if (cursor.journal !== id) {
      // Nothing in this journal has been seen by the exporter; what it wrote before stands.
      this.#logger.warn(
        `${this.id}: its cursor belongs to another journal; reading this one from its start`,
        {
          cursorJournal: cursor.journal,
          journal: id,
        },
      );
      position = start;
    } else if (cursor.position > end) {
      // A power cut took records that had been exported already. They are in the sink; the journal goes on at its end.
      this.#logger.warn(
        `${this.id}: its cursor is ${cursor.position - end} bytes ahead of the journal; going on at the journal's end`,
      );
      position = end;
    } else {
      position = cursor.position;
    }
    this.#committed = position;
    this.#reader.seek(position);
  }

  async #loop(): Promise<void> {
    while (!this.#finished()) {
      try {
        await this.#session();
      } catch (error) {
        const failure = error instanceof SessionError ? error : new SessionError('read', error);
        const delayMs = await this.#afterFailure(failure);
        this.#restarts++;
        if (this.#finished()) break;
        await this.#pause(delayMs);
      }
    }
    this.#state = 'stopped';
  }

  /** One life of one exporter instance: from its start to the end of the drain. Throws SessionError. */
  async #session(): Promise<void> {
    this.#started = false;
    this.#place();
    const exporter = this.#options.create();
    this.#exporter = exporter;
    try {
      await attempt('start', () => exporter.start(this.#cursors.current?.state));
      if (this.#drainTo === undefined) this.#state = 'running';
      this.#started = true;
      this.#waiters.answer(this.#committed);
      // Where a commit of nothing fails too, no batch is to blame.
      if (this.#reader.position < this.#singleUntil) await this.#commit(exporter);
      await this.#follow(exporter);
    } catch (error) {
      await settled(quietly(exporter), STOP_GRACE_MS);
      throw error;
    }
    await quietly(exporter, error => this.#note('stopping', error));
  }

  async #follow(exporter: Exporter): Promise<void> {
    let sliceEnd = performance.now() + this.#sliceMs();
    for (;;) {
      if (this.#abandoned) return;
      if (this.#commitDueInMs() <= 0 || (this.#finished() && this.#dirtySinceMs !== undefined)) {
        await this.#commit(exporter);
      }
      if (this.#finished()) return;
      this.#noteGap();
      const expected = this.#reader.position;
      const batch = await attempt('read', () => this.#reader.next());
      const found = batch?.position ?? this.#reader.position;
      if (found > expected) this.#noteDamage(expected, found);
      if (batch === undefined) {
        await this.#idle();
        sliceEnd = performance.now() + this.#sliceMs();
        continue;
      }
      await this.#take(exporter, batch);
      if (performance.now() >= sliceEnd) {
        await nextTurn();
        sliceEnd = performance.now() + this.#sliceMs();
      }
    }
  }

  async #take(exporter: Exporter, batch: FeedBatch): Promise<void> {
    const wanted = this.#signals.has(batch.signal) && !this.#options.quarantine.has(batch.position);
    if (wanted) {
      // So that every attempt gets ahead, however often the sink fails.
      if (batch.position === this.#failedAt && this.#dirtySinceMs !== undefined) await this.#commit(exporter);
      try {
        const exported = exporter.export(batch);
        if (exported !== undefined) await exported;
      } catch (error) {
        throw new SessionError('export', error, batch);
      }
      this.#pending[batch.signal] += batch.items;
      this.#pendingBatches++;
    }
    this.#reader.advance(batch);
    this.#lastReceivedUnixNano = batch.receivedUnixNano;
    this.#lastExportMs = Date.now();
    this.#lastMoveMs = this.#lastExportMs;
    this.#dirtySinceMs ??= this.#lastExportMs;
    if (this.#reader.position <= this.#singleUntil) {
      await this.#commit(exporter, wanted ? batch : undefined);
    }
  }

  /** Milliseconds until the next commit: at once for a waiter or a full interval, soon when there is nothing more to read. */
  #commitDueInMs(): number {
    if (this.#hurried > 0) return 0;
    if (this.#dirtySinceMs === undefined) return Infinity;
    const position = this.#reader.position;
    if (this.#drainTo !== undefined && position >= this.#drainTo) return 0;
    if (this.#waiters.lowest <= position) return 0;
    const nowMs = Date.now();
    const full = this.#dirtySinceMs + (this.#options.commitIntervalMs ?? DEFAULT_COMMIT_INTERVAL_MS) - nowMs;
    if (position < this.#journal.end) return full;
    return Math.min(
      full,
      this.#lastExportMs + (this.#options.idleCommitMs ?? DEFAULT_IDLE_COMMIT_MS) - nowMs,
    );
  }

  async #commit(exporter: Exporter, blamed?: FeedBatch): Promise<void> {
    const position = this.#reader.position;
    try {
      // A cursor never points beyond what the journal can prove after a power cut.
      await this.#journal.durable(position);
      const state = await exporter.commit();
      if (this.#abandoned) throw new Error('stopped meanwhile');
      await this.#cursors.commit({ journal: this.#journal.id, position, state, gaps: this.#gaps });
    } catch (error) {
      throw new SessionError('commit', error, blamed);
    }
    this.#committed = position;
    this.#dirtySinceMs = undefined;
    this.#hurried = Math.max(0, this.#hurried - 1);
    this.#lastMoveMs = Date.now();
    for (const signal of SIGNALS) this.#delivered[signal] += this.#pending[signal];
    this.#deliveredBatches += this.#pendingBatches;
    this.#damagedBytes += this.#pendingDamage;
    this.#pendingDamage = 0;
    this.#pending = noItems();
    this.#pendingBatches = 0;
    this.#backoffMs = this.#options.retryInitialMs ?? DEFAULT_RETRY_INITIAL_MS;
    for (const known of this.#attempts.keys()) if (known < position) this.#attempts.delete(known);
    this.#options.quarantine.forgetBefore(Math.min(position, this.#cursors.olderPosition(this.#journal.id)));
    if (this.#parked && position >= this.#journal.end) {
      this.#parked = false;
      this.#logger.info(`${this.id}: has caught up; the journal waits for it again`);
    }
    this.#waiters.answer(this.#committed);
    await attempt('commit', () => exporter.committed?.());
  }

  /** Decides how to go on and returns how long to wait before the next session. */
  async #afterFailure(failure: SessionError): Promise<number> {
    const { stage, batch, cause } = failure;
    this.#note(stage, cause);
    if (batch !== undefined) this.#failedAt = batch.position;
    if (this.#drainTo === undefined) this.#state = 'retrying';
    const verdict = judge(cause);
    if (verdict.kind === 'retry' || stage === 'read')
      return this.#backoff(verdict.kind === 'retry' ? verdict.afterMs : undefined);
    if (stage === 'start') {
      if (!this.#cursors.goBack()) return this.#backoff(undefined);
      this.#logger.warn(`${this.id}: cannot start from its cursor; going back to the older generation`);
      return 0;
    }
    if (batch === undefined) {
      // A commit failed over several batches, and not because of the disk: commit them one by one to find the one.
      if (this.#singleUntil >= this.#reader.position) return this.#backoff(undefined);
      this.#singleUntil = this.#reader.position;
      return BATCH_RETRY_MS;
    }
    const attempts = (this.#attempts.get(batch.position) ?? 0) + 1;
    this.#attempts.set(batch.position, attempts);
    if (attempts < (this.#options.maxAttempts ?? DEFAULT_MAX_ATTEMPTS)) return BATCH_RETRY_MS * attempts;
    try {
      await this.#options.quarantine.add(batch, cause, attempts);
    } catch (error) {
      // The batch is not left out unless it is kept somewhere.
      this.#note('quarantine', error);
      return this.#backoff(undefined);
    }
    this.#quarantined[batch.signal] += batch.items;
    this.#quarantinedBatches++;
    return 0;
  }

  #backoff(afterMs: number | undefined): number {
    const delayMs = afterMs ?? this.#backoffMs;
    this.#backoffMs = Math.min(
      this.#backoffMs * RETRY_FACTOR,
      this.#options.retryMaxMs ?? DEFAULT_RETRY_MAX_MS,
    );
    return delayMs;
  }

  async #pause(delayMs: number): Promise<void> {
    const until = Date.now() + delayMs;
    let retryAtMs = until;
    while (Date.now() < retryAtMs && Date.now() < this.#deadlineMs) {
      const left = Math.min(retryAtMs, this.#deadlineMs) - Date.now();
      await this.#sleep(this.#drainTo === undefined ? left : Math.min(left, DRAIN_RETRY_MS));
      if (this.#drainTo !== undefined) retryAtMs = Math.min(until, retryAtMs, Date.now());
    }
  }

  async #idle(): Promise<void> {
    if (this.#journal.end > this.#reader.position || this.#finished()) return;
    const dueInMs = Math.min(this.#commitDueInMs(), this.#deadlineMs - Date.now());
    if (dueInMs > 0) await this.#sleep(dueInMs);
  }

  /** Until something happens, or for so long. Between looking and sleeping nothing else runs, so nothing is overslept. */
  #sleep(ms: number): Promise<void> {
    return new Promise(resolve => {
      const timer = ms < 2 ** 31 ? setTimeout(() => this.#wake(), Math.max(0, ms)) : undefined;
      this.#wakeUp = () => {
        clearTimeout(timer);
        this.#wakeUp = undefined;
        resolve();
      };
    });
  }

  #wake(): void {
    this.#wakeUp?.();
  }

  /** Everything asked for is exported, or the time for it is over. */
  #finished(): boolean {
    if (this.#drainTo === undefined) return false;
    const done = this.#reader.position >= this.#drainTo && this.#committed >= this.#drainTo;
    return done || Date.now() >= this.#deadlineMs;
  }

  #noteGap(): void {
    const { start } = this.#journal;
    const position = this.#reader.position;
    if (position >= start) return;
    this.#gaps = [...this.#gaps, { from: position, to: start }];
    this.#reader.seek(start);
    this.#dirtySinceMs ??= Date.now();
    this.#logger.error(
      `${this.id}: ${start - position} bytes were deleted from the journal before it read them; rebuild it from the run's record`,
    );
  }

  #noteDamage(from: Position, to: Position): void {
    this.#pendingDamage += to - from;
    this.#dirtySinceMs ??= Date.now();
  }

  #note(what: string, error: unknown): void {
    this.#lastError = `${what}: ${errorText(error)}`;
    this.#logger.warn(`${this.id}: ${this.#lastError}`, { position: this.#reader.position });
  }

  #sliceMs(): number {
    return this.#options.sliceMs ?? DEFAULT_SLICE_MS;
  }

  #lagMs(position: Position): number | undefined {
    if (position >= this.#journal.end) return 0;
    const received = this.#journal.recent(position)?.receivedUnixNano ?? this.#lastReceivedUnixNano;
    return received === undefined ? undefined : Math.max(0, Date.now() - Number(received / 1_000_000n));
  }
}

async function attempt<T>(stage: 'start' | 'commit' | 'read', work: () => T | Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw new SessionError(stage, error);
  }
}

async function quietly(exporter: Exporter, onError?: (error: unknown) => void): Promise<void> {
  try {
    await exporter.stop();
  } catch (error) {
    onError?.(error);
  }
}

/** Waits for a promise, at most so long. */
async function settled(promise: Promise<unknown>, ms: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<void>(resolve => {
    timer = setTimeout(resolve, ms);
  });
  await Promise.race([promise.then(noop, noop), timeout]);
  clearTimeout(timer);
}
function noop(): void {}
