// With KYMO_PARSE_STDOUT=1: lines of numbers that a program writes to stdout become scalars of its run.
import { knownRun } from '../research/init.ts';
import { LineReader } from './line-reader.ts';
import { lineScalars } from './line-scalars.ts';

/** Reads along with what is written; it is written as ever. */
export function readScalarsFromOutput(stream: NodeJS.WriteStream = process.stdout): void {
  const lines = new LineReader(line => {
    const scalars = lineScalars(line);
    const run = knownRun();
    if (scalars === undefined || run === undefined || run.ended) return;
    run.log(scalars.values, scalars.step === undefined ? {} : { step: scalars.step });
  });
  const write = stream.write;
  stream.write = function written(this: NodeJS.WriteStream, ...args: Parameters<typeof write>) {
    const [chunk] = args;
    try {
      if (typeof chunk === 'string' || ArrayBuffer.isView(chunk)) lines.add(chunk);
    } catch {
      // Whatever is wrong with the text, it has to be printed.
    }
    return Reflect.apply(write, this, args) as boolean;
  } as typeof write;
  // Before the run ends.
  process.prependListener('exit', () => lines.end());
}
