// Puts the pieces of a stream of text together into lines.
import { StringDecoder } from 'node:string_decoder';

/** A program that never ends its line is not held in memory. */
const MAX_PENDING = 64 * 1024;

/** Gives whole lines to `onLine`, whatever pieces they come in. */
export class LineReader {
  private readonly decoder = new StringDecoder('utf8');
  private readonly onLine: (line: string) => void;
  private pending = '';

  constructor(onLine: (line: string) => void) {
    this.onLine = onLine;
  }

  add(chunk: string | Uint8Array): void {
    this.pending += typeof chunk === 'string' ? chunk : this.decoder.write(Buffer.from(chunk));
    // A progress bar goes back to the start of its line: each state of it is one.
    const lines = this.pending.split(/\r?\n|\r/);
    this.pending = lines.pop()!;
    for (const line of lines) this.onLine(line);
    if (this.pending.length > MAX_PENDING) this.end();
  }

  end(): void {
    const last = this.pending;
    this.pending = '';
    if (last !== '') this.onLine(last);
  }
}
