// The behaviour of histories on a prepared device, in a process of its own: BACKEND [FOLDER]; prints a line of JSON for each case.
// It ends by itself: process.exit() while Dawn's threads still run crashes now and then.
import { type Case, cases } from './behaviour.ts';
import { openDevice } from './device.ts';

export interface Outcome {
  readonly name: string;
  readonly error?: string;
  readonly ms: number;
}

const [backend = 'cpu', folder, only] = process.argv.slice(2);
const { tf, description } = await openDevice(backend, folder || undefined);
process.stdout.write(`${JSON.stringify({ device: description })}\n`);
for (const one of cases)
  if (only === undefined || one.name.includes(only))
    process.stdout.write(`${JSON.stringify(await outcome(one))}\n`);

async function outcome({ name, run }: Case): Promise<Outcome> {
  const start = performance.now();
  try {
    await run(tf);
    return { name, ms: performance.now() - start };
  } catch (error) {
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
    return { name, error: text.slice(0, 2_000), ms: performance.now() - start };
  }
}
