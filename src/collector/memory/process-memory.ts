// The memory of this process and of the machine or container that it runs in.
import { totalmem } from 'node:os';
import v8 from 'node:v8';
import vm from 'node:vm';
import type { MemoryLimits, MemorySource } from './limiter.ts';
import { DEFAULT_LIMIT_BYTES, DEFAULT_LIMIT_SHARE } from './limits.ts';

/** Bytes that this process can have: the container's limit, or the machine's memory. */
export function totalMemoryBytes(): number {
  const constrained = process.constrainedMemory();
  const machine = totalmem();
  return constrained > 0 && constrained < machine ? constrained : machine;
}

/** For a collector that says nothing about memory. */
export function defaultMemoryLimits(): MemoryLimits {
  return { hardBytes: Math.min(DEFAULT_LIMIT_BYTES, totalMemoryBytes() * DEFAULT_LIMIT_SHARE) };
}

export function processMemory(): MemorySource {
  let collect: ((options: object) => void) | undefined;
  return {
    rss: () => process.memoryUsage.rss(),
    collectGarbage: () => {
      if (collect === undefined) {
        // Node has no other way to V8's collector; a context that is made after the flag was set has it.
        v8.setFlagsFromString('--expose-gc');
        collect = vm.runInNewContext('gc') as (options: object) => void;
        v8.setFlagsFromString('--no-expose-gc');
      }
      // `last-resort` also gives back what the young generation has grown to.
      collect({ type: 'major', execution: 'sync', flavor: 'last-resort' });
    },
  };
}
