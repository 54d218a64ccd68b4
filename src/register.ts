// `node --require kymo/register train.js` (or --import): a run begins before the script does, and ends with the process.
import './semconv/require-node.ts';

import { writeSync } from 'node:fs';
import { start } from './register/start.ts';

/** Whatever goes wrong here, the program runs as it would have run without us. */
try {
  start(process.env, tell);
} catch (error) {
  tell(`nothing is recorded: ${error instanceof Error ? error.message : String(error)}`);
}

function tell(line: string): void {
  try {
    writeSync(2, `kymo: ${line}\n`);
  } catch {
    // stderr is closed: there is nobody to tell.
  }
}
