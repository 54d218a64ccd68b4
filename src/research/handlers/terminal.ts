// Lines on stderr: whether they are coloured, and writing them whole without ever failing the caller.
import { writeSync } from 'node:fs';
import { isatty } from 'node:tty';

const STDERR = 2;
/** Longest wait of one line for a reader that does not keep up; then the line is left out and counted. */
const PATIENCE_MS = 1_000;
const POLL_MS = 5;

/** By https://force-color.org and https://no-color.org; otherwise on a terminal that is not dumb. */
export function wantsColors(env: NodeJS.ProcessEnv = process.env, terminal = isatty(STDERR)): boolean {
  const { FORCE_COLOR, NO_COLOR } = env;
  if (FORCE_COLOR !== undefined && FORCE_COLOR !== '') return FORCE_COLOR !== '0' && FORCE_COLOR !== 'false';
  if (NO_COLOR !== undefined && NO_COLOR !== '') return false;
  return terminal && env.TERM !== 'dumb';
}

let leftOut = 0;
let closed = false;

/** One line, written before this returns: the event loop may not turn for hours. */
export function writeLine(line: string): void {
  writeText(`${line}\n`);
}

/** The same for a piece of a line. */
export function writeText(text: string): void {
  if (closed) return;
  const notice = leftOut === 0 ? '' : `(${leftOut} lines were left out: stderr was not read)\n`;
  const bytes = Buffer.from(`${notice}${text}`);
  const giveUpAt = Date.now() + PATIENCE_MS;
  for (let at = 0; at < bytes.length; ) {
    try {
      at += writeSync(STDERR, bytes, at);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code !== 'EAGAIN' && code !== 'EINTR') {
        // Nobody reads any more (a closed pipe, say): there is nobody to tell either.
        closed = true;
        return;
      }
      if (Date.now() >= giveUpAt) {
        leftOut++;
        return;
      }
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, POLL_MS);
    }
  }
  leftOut = 0;
}
