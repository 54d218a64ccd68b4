// `GracefulShutdown`: the first Ctrl-C or SIGTERM asks a program to stop, the second one stops it.
import { SIGNAL_LISTENER } from '../sdk/exit.ts';
import { checkOptions, wrongType } from './checks.ts';
import { tell } from './complaints.ts';

const SIGNALS = ['SIGINT', 'SIGTERM'] as const;
type StopSignal = (typeof SIGNALS)[number];
/** As shells number them: a process that a signal has ended has 128 + n for exit code. */
const NUMBERS: Readonly<Record<StopSignal, number>> = { SIGINT: 2, SIGTERM: 15 };
/**
 * A synchronous loop this long without a turn of the event loop would never hear a signal, since Node delivers them between turns: our
 * listeners step aside then, and the default action ends the process at once, until the loop turns again. Stepping aside forgets a signal
 * that has come and was not delivered yet, so it must be rare.
 */
const LOOP_SILENCE_MS = 3_000;

export interface GracefulShutdownOptions {
  /** The line for stderr when the first signal comes; false for none. */
  readonly message?: string | false;
}

/**
 * While one of them stands, the first SIGINT or SIGTERM sets `requested`, aborts `signal`, says so in one line, and makes the exit
 * code 130 or 143; the program goes on until it looks. The second one takes our listeners away and comes again: what Kymo has
 * recorded is delivered, and the process ends. Listeners that others had are set aside meanwhile and put back when the last one goes.
 *
 * A loop without an `await` hears nothing (no signal reaches JavaScript inside it): give it a turn now and then, or a signal ends it as
 * it would without this.
 *
 * @example
 * using stop = new GracefulShutdown();
 * for (let step = 0; step < 1e6 && !stop.requested; step++) await train(step);
 * await save();
 */
export class GracefulShutdown implements Disposable {
  readonly #controller = new AbortController();
  readonly #message: string | false;
  #reason: StopSignal | undefined;

  /** Throws a TypeError for options of the wrong shape. */
  constructor(options: GracefulShutdownOptions = {}) {
    checkOptions('GracefulShutdown', options, ['message']);
    const { message = 'stopping as soon as the program allows; once more to end it at once' } = options;
    if (message !== false && typeof message !== 'string')
      throw wrongType('GracefulShutdown({message})', 'a text, or false', message);
    this.#message = message;
    stand(this);
  }

  /** True once the program should stop. */
  get requested(): boolean {
    if (this.#reason === undefined && open.has(this)) watchLoop();
    return this.#reason !== undefined;
  }

  /** Which signal asked. */
  get reason(): 'SIGINT' | 'SIGTERM' | undefined {
    return this.#reason;
  }

  /** Aborted when the program should stop: for `fetch`, timers, streams and whatever else takes one. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Puts the listeners back that stood before. */
  [Symbol.dispose](): void {
    leave(this);
  }

  /** @internal */
  request(reason: StopSignal, tellIt: boolean): void {
    if (this.#reason !== undefined) return;
    this.#reason = reason;
    if (tellIt && this.#message !== false) tell(`${reason}: ${this.#message}`);
    this.#controller.abort(new DOMException(`${reason} asked the program to stop`, 'AbortError'));
  }
}

/** Those that stand now, in the order in which they came. */
const open = new Set<GracefulShutdown>();
/** What others listened with when the first one came. */
let aside: { readonly signal: StopSignal; readonly listeners: readonly NodeJS.SignalsListener[] }[] = [];
let asked: StopSignal | undefined;
let standing = false;
/** The second signal has come: nobody listens for a third. */
let forced = false;
/** When the turn of the event loop that is under way was first seen; 0 while none is waited for. */
let turnSeenMs = 0;

function stand(shutdown: GracefulShutdown): void {
  if (open.size === 0) {
    asked = undefined;
    forced = false;
    aside = SIGNALS.map(signal => ({
      signal,
      listeners: process.rawListeners(signal).filter(isForeign) as NodeJS.SignalsListener[],
    }));
    for (const { signal, listeners } of aside)
      for (const listener of listeners) process.removeListener(signal, listener);
    listen();
  }
  open.add(shutdown);
  // A stage that begins when the program has been asked to stop is asked too.
  if (asked !== undefined) shutdown.request(asked, false);
}

function leave(shutdown: GracefulShutdown): void {
  if (open.delete(shutdown) && open.size === 0) restore();
}

function restore(): void {
  unlisten();
  for (const { signal, listeners } of aside) for (const listener of listeners) process.on(signal, listener);
  aside = [];
}

function onSignal(signal: NodeJS.Signals): void {
  const reason = signal as StopSignal;
  if (asked === undefined) {
    asked = reason;
    process.exitCode ??= 128 + NUMBERS[reason];
    let first = true;
    for (const shutdown of open) {
      shutdown.request(reason, first);
      first = false;
    }
    return;
  }
  forced = true;
  restore();
  // Whoever listens now decides; where nobody does, the process ends here and now.
  process.kill(process.pid, signal);
}

function listen(): void {
  standing = true;
  for (const signal of SIGNALS) process.on(signal, onSignal);
}

function unlisten(): void {
  standing = false;
  for (const signal of SIGNALS) process.removeListener(signal, onSignal);
}

/** To be called whenever the program looks: that is all that a synchronous loop does. */
function watchLoop(): void {
  const nowMs = performance.now();
  if (turnSeenMs === 0) {
    turnSeenMs = nowMs;
    setImmediate(onTurn).unref();
  } else if (standing && nowMs - turnSeenMs > LOOP_SILENCE_MS) unlisten();
}

function onTurn(): void {
  turnSeenMs = 0;
  if (!standing && !forced && open.size > 0) listen();
}

/** Not the SDK's own listener, which leaves a signal to whoever else listens. */
function isForeign(listener: object): boolean {
  return (listener as { [SIGNAL_LISTENER]?: true })[SIGNAL_LISTENER] !== true;
}
