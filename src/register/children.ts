// Tells each process that the program starts which span it was started in.
import childProcess from 'node:child_process';
import { context, trace } from '@opentelemetry/api';
import { TRACEPARENT, traceParent } from '../sdk/trace-parent.ts';

type Spawn = (this: unknown, options: { readonly envPairs?: string[] } | undefined) => unknown;

/** A TRACEPARENT that the program sets for its child stays. */
export function tellChildren(): void {
  const prototype = childProcess.ChildProcess.prototype as unknown as { spawn: Spawn };
  const { spawn } = prototype;
  prototype.spawn = function spawned(options) {
    const active = trace.getSpanContext(context.active());
    const pairs = options?.envPairs;
    if (active !== undefined && Array.isArray(pairs)) {
      const at = pairs.findIndex(pair => pair.startsWith(`${TRACEPARENT}=`));
      const pair = `${TRACEPARENT}=${traceParent(active)}`;
      if (at < 0) pairs.push(pair);
      else if (pairs[at] === `${TRACEPARENT}=${process.env[TRACEPARENT]}`) pairs[at] = pair;
    }
    return Reflect.apply(spawn, this, [options]);
  };
}
