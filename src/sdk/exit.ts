// Gets everything out of the process alive: exit, uncaught errors, signals. Never changes how the process ends.
import type { DeliveryReport } from './recorder.ts';

/** A synchronous loop this long without a turn of the event loop gets its signals' default action back. */
const LOOP_SILENCE_MS = 250;
/** Turns must have been quick for this long before the handlers come back. */
const CALM_MS = 2_000;
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
/** Marks our signal listeners, which leave a signal to whoever else listens and so need not be set aside. */
export const SIGNAL_LISTENER = Symbol.for('kymo.exit.listener');

export interface ExitHooks {
  /** The event loop has run dry, once; what this starts is waited for. */
  idle(): void;
  /** Record the end of open runs. */
  ending(outcome: { state: 'finished' | 'failed' | 'killed'; exitCode: number; error: unknown }): void;
  /** Deliver, bounded, blocking; and say what is left. */
  deliver(): DeliveryReport;
}

/** Signal numbers as shells add them to 128. */
const SIGNAL_NUMBERS = { SIGHUP: 1, SIGINT: 2, SIGTERM: 15 } as const;

/**
 * Signal handlers stand only while the event loop turns often. Node runs them between turns, so inside a long synchronous
 * loop a handler would only make the process ignore Ctrl-C: when a recording call sees that the loop has not turned for
 * 250 ms it takes the handlers away (the default action kills at once, as without Kymo). Taking away the last handler also
 * forgets a signal that has come and was not handled yet, so this must be rare: the handlers come back only when the loop
 * has turned quickly for 2 s. A program whose every turn is long does without them.
 */
export class ExitWatch {
  private readonly hooks: ExitHooks;
  private ended = false;
  private error: unknown;
  private failed = false;
  private standing = false;
  /** When the pending tick was asked for; 0 while none is pending. */
  private tickAskedMs = 0;
  /** End of the last turn that was long. */
  private longTurnMs = Number.NEGATIVE_INFINITY;
  private look: NodeJS.Timeout | undefined;

  constructor(hooks: ExitHooks) {
    this.hooks = hooks;
    Object.assign(this.onSignal, { [SIGNAL_LISTENER]: true });
    process.once('beforeExit', () => this.hooks.idle());
    process.on('exit', this.onExit);
    process.on('uncaughtExceptionMonitor', this.onUncaught);
    this.stand();
  }

  /** To be called by every recording call with the time it has read anyway. */
  recording(nowMs: number): void {
    if (this.tickAskedMs === 0) {
      this.tickAskedMs = nowMs;
      setImmediate(this.onTick).unref();
    } else if (this.standing && nowMs - this.tickAskedMs > LOOP_SILENCE_MS) this.stepAside();
  }

  private readonly onTick = (): void => {
    const nowMs = performance.now();
    if (nowMs - this.tickAskedMs > LOOP_SILENCE_MS) this.longTurnMs = nowMs;
    this.tickAskedMs = 0;
    this.standAgain(nowMs);
  };

  /** Also for a program that records nothing for a while. */
  private standAgain(nowMs: number): void {
    if (this.standing || this.ended) return;
    if (nowMs - this.longTurnMs > CALM_MS) this.stand();
    else if (this.look === undefined) {
      const dueMs = nowMs + CALM_MS;
      this.look = setTimeout(() => {
        this.look = undefined;
        const lookedMs = performance.now();
        if (lookedMs - dueMs > LOOP_SILENCE_MS) this.longTurnMs = lookedMs;
        this.standAgain(lookedMs);
      }, CALM_MS + 1).unref();
    }
  }

  private readonly onUncaught = (error: unknown): void => {
    this.failed = true;
    this.error = error;
  };

  private readonly onExit = (code: number): void => {
    if (this.ended) return;
    this.stepAside();
    // A program that a signal has asked to stop, and that has stopped itself, says so by its exit code.
    const killed = Object.values<number>(SIGNAL_NUMBERS).includes(code - 128);
    this.end(this.failed ? 'failed' : code === 0 ? 'finished' : killed ? 'killed' : 'failed', code);
  };

  private readonly onSignal = (signal: NodeJS.Signals): void => {
    const others = process.listeners(signal).some(listener => listener !== this.onSignal);
    // Whoever else listens decides whether the process ends; if it does, the exit hook delivers.
    if (others) return;
    // From here on the default action stands again: a second Ctrl-C kills at once.
    this.stepAside();
    this.end('killed', 128 + SIGNAL_NUMBERS[signal as keyof typeof SIGNAL_NUMBERS]);
    process.kill(process.pid, signal);
  };

  private end(state: 'finished' | 'failed' | 'killed', exitCode: number): void {
    this.ended = true;
    this.hooks.ending({ state, exitCode, error: this.error });
    this.hooks.deliver();
  }

  private stand(): void {
    this.standing = true;
    for (const signal of SIGNALS) process.on(signal, this.onSignal);
  }

  private stepAside(): void {
    this.standing = false;
    for (const signal of SIGNALS) process.removeListener(signal, this.onSignal);
  }
}
