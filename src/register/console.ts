// What a program prints with `console.*`, as log records of its run; it is printed as ever.
import { format } from 'node:util';
import { knownRun } from '../research/init.ts';
import { type Severity, TextRecords } from './text-records.ts';

/** `assert`, `count`, `table`, `timeEnd` and `group` print through these. `trace` and `dir` do not, and are left alone. */
const METHODS = {
  debug: [5, 'DEBUG'],
  log: [9, 'INFO'],
  info: [9, 'INFO'],
  warn: [13, 'WARN'],
  error: [17, 'ERROR'],
} as const satisfies Record<string, Severity>;

type Method = keyof typeof METHODS;
type Print = (...args: unknown[]) => void;

/** Shared by duplicate installs: a console is captured once. */
const CAPTURED = Symbol.for('kymo.console.v1');

/** Calling it again does nothing. */
export function captureConsole(target: Console = console): void {
  const holder = target as { [CAPTURED]?: true };
  if (holder[CAPTURED] === true) return;
  Object.defineProperty(holder, CAPTURED, { value: true });
  const records = new TextRecords('console');
  /** What is printed may have getters and `toString`s that print. */
  let busy = false;
  const take = (method: Method, args: readonly unknown[]): void => {
    const run = knownRun();
    if (busy || run === undefined || run.ended || !run.enabled) return;
    busy = true;
    try {
      records.add(run, METHODS[method], format(...args));
    } catch {
      // The text of something cannot be made; the program's own call will say so as it would without us.
    } finally {
      busy = false;
    }
  };
  for (const method of Object.keys(METHODS) as Method[]) {
    const print = target[method] as Print;
    const captured: Print = function captured(this: unknown, ...args) {
      take(method, args);
      Reflect.apply(print, this, args);
    };
    Object.defineProperty(captured, 'name', { value: print.name });
    target[method] = captured;
  }
}
