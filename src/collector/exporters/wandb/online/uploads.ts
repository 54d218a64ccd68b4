// The uploads of one exporter: a chain of sessions per W&B run, each going on where it was.
import fs from 'node:fs';
import path from 'node:path';
import type { Instruments, Logger } from '../../../component.ts';
import { confinedReplaceSync } from '../../../runs/confined.ts';
import type { WandbSettings } from '../settings.ts';
import { WandbApi } from './api.ts';
import { TIMING, type Timing } from './policy.ts';
import { SessionUpload } from './session-upload.ts';
import { readUploadState } from './upload-state.ts';

export const SENT_METRIC = 'kymo_wandb_sent_rows';
export const REMAINING_METRIC = 'kymo_wandb_remaining_bytes';
export const RETRIES_METRIC = 'kymo_wandb_retries';
/** Sessions of a run that failed or hang are told of again at most this often. */
const RETRY_SAID_EVERY_MS = 60_000;
const SESSION = /^run-\d{8}_\d{6}-.+$/;
const LOG = /^run-(.+)\.wandb$/;
/** In the folder of a session of which something was committed. Others are begun again by the exporter, and may hold anything. */
const COMMITTED = '.kymo-committed';

export interface UploadsOptions {
  readonly settings: WandbSettings;
  readonly logger: Logger;
  readonly instruments: Instruments;
  readonly lost: (reason: string, amount: number) => void;
  readonly timing?: Timing;
}

export class Uploads {
  readonly #options: UploadsOptions;
  readonly #abort = new AbortController();
  readonly #api: WandbApi;
  readonly #sessions = new Map<string, SessionUpload>();
  /** The last session of each run: the next one waits for it. */
  readonly #chains = new Map<string, { directory: string; ended: Promise<void> }>();
  readonly #marked = new Set<string>();
  /** Sessions that the server knows the end of. */
  readonly #done = new Set<string>();
  #saidAtMs = Number.NEGATIVE_INFINITY;

  constructor(options: UploadsOptions) {
    this.#options = options;
    const { settings, instruments, logger } = options;
    this.#api = new WandbApi({
      baseUrl: settings.baseUrl,
      apiKey: settings.apiKey,
      timing: options.timing ?? TIMING,
      signal: this.#abort.signal,
      onRetry: (what, problem, delayMs) => {
        instruments.count(RETRIES_METRIC, 1);
        if (Date.now() - this.#saidAtMs < RETRY_SAID_EVERY_MS) return;
        this.#saidAtMs = Date.now();
        logger.warn(
          `wandb: ${settings.baseUrl} ${problem} (${what}); trying again, and runs are kept on disk`,
          {
            next_attempt_ms: Math.round(delayMs),
          },
        );
      },
    });
  }

  /** Takes up sessions of ours that an earlier process did not bring to their end; `isOpen`: the exporter says itself how far. */
  takeUp(isOpen: (directory: string) => boolean): void {
    const { root } = this.#options.settings;
    for (const directory of fs.readdirSync(root).sort()) {
      if (!SESSION.test(directory) || !fs.existsSync(path.join(root, directory, COMMITTED))) continue;
      const file = fs.readdirSync(path.join(root, directory)).find(name => LOG.test(name));
      if (file === undefined) continue;
      const id = LOG.exec(file)![1]!;
      if (this.#isDone(directory)) {
        this.#done.add(directory);
        this.#chains.set(id, { directory, ended: Promise.resolve() });
        continue;
      }
      const session = this.open(id, directory);
      session.isLive = false;
      if (!isOpen(directory)) session.allow(fs.statSync(path.join(root, directory, file)).size);
    }
  }

  /** The upload of a session; begun with the first call. */
  open(id: string, directory: string): SessionUpload {
    const known = this.#sessions.get(directory);
    if (known !== undefined) return known;
    const { settings, logger, instruments, lost, timing = TIMING } = this.#options;
    const before = this.#chains.get(id);
    const session = new SessionUpload({
      ...{ api: this.#api, timing, flushIntervalMs: settings.flushIntervalMs, root: settings.root },
      ...{ directory, file: `run-${id}.wandb`, baseUrl: settings.baseUrl, resume: settings.resume },
      ...{ previous: before?.directory, logger, lost },
      sent: rows => instruments.count(SENT_METRIC, rows),
    });
    this.#sessions.set(directory, session);
    const ended = (before?.ended ?? Promise.resolve())
      .then(() => session.run())
      .then(() => {
        if (session.standing.kind !== 'done') return;
        this.#done.add(directory);
        this.#sessions.delete(directory);
        this.#marked.delete(directory);
      });
    this.#chains.set(id, { directory, ended });
    return session;
  }

  /** The log of a session is committed up to `length`. */
  allow(id: string, directory: string, length: number): SessionUpload | undefined {
    if (this.#done.has(directory)) return undefined;
    const session = this.open(id, directory);
    if (!this.#marked.has(directory)) {
      const { root } = this.#options.settings;
      if (!fs.existsSync(path.join(root, directory, COMMITTED)))
        confinedReplaceSync(root, [directory, COMMITTED], '');
      this.#marked.add(directory);
    }
    session.allow(length);
    return session;
  }

  /** What the server has not got, over all sessions that go on. */
  get remaining(): number {
    let bytes = 0;
    for (const session of this.#sessions.values()) bytes += session.remaining;
    this.#options.instruments.set(REMAINING_METRIC, bytes);
    return bytes;
  }

  /** Why sessions do not go on. */
  get failures(): readonly string[] {
    return [...this.#sessions.values()].flatMap(({ standing }) =>
      standing.kind === 'failed' ? [standing.message] : [],
    );
  }

  /** Ends what is under way; it goes on with the next start. */
  async stop(): Promise<void> {
    this.#abort.abort();
    await Promise.all([...this.#chains.values()].map(one => one.ended));
  }

  #isDone(directory: string): boolean {
    try {
      return readUploadState(this.#options.settings.root, directory)?.done === true;
    } catch (error) {
      this.#options.logger.error(String(error));
      return true;
    }
  }
}
