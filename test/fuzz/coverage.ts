// Which branches of the code under test have run since the last look: V8's own counts, asked for through the inspector.
import { type Profiler, Session } from 'node:inspector';

/**
 * V8 leaves out a block that ran as often as the one around it, so a branch shows as much by the blocks that did not run: each
 * block counts as ground with whether it ran.
 */
export class Coverage {
  readonly #session = new Session();
  /** Of single inputs, and of batches: together they look different, and must not hide what one of them does alone. */
  readonly #alone = new Set<string>();
  readonly #together = new Set<string>();

  /** Begins to count. Must come before the code under test is loaded: what is compiled already has no counters of branches. */
  constructor() {
    this.#session.connect();
    this.#session.post('Profiler.enable');
    this.#session.post('Profiler.startPreciseCoverage', { callCount: true, detailed: true });
  }

  get size(): number {
    return this.#alone.size;
  }

  /** True when the inputs since the last look, taken together, show something that no batch has shown. */
  isNewTogether(covers: RegExp): boolean {
    const before = this.#together.size;
    for (const { block, count } of this.#blocks(covers)) this.#together.add(`${block} ${count > 0}`);
    return this.#together.size > before;
  }

  /** The same of one input; how often a block ran counts by its magnitude: a loop of one and one of hundreds are different ground. */
  isNew(covers: RegExp): boolean {
    const before = this.#alone.size;
    for (const { block, count } of this.#blocks(covers)) this.#alone.add(`${block} ${magnitude(count)}`);
    return this.#alone.size > before;
  }

  #blocks(covers: RegExp): { readonly block: string; readonly count: number }[] {
    let taken: Profiler.TakePreciseCoverageReturnType | undefined;
    // Answered before `post` returns: the session is of this very thread.
    this.#session.post('Profiler.takePreciseCoverage', (_error, result) => {
      taken = result;
    });
    const blocks: { block: string; count: number }[] = [];
    for (const { url, functions } of taken?.result ?? []) {
      if (!covers.test(url)) continue;
      for (const { ranges } of functions)
        for (const { startOffset, endOffset, count } of ranges)
          blocks.push({ block: `${url} ${startOffset} ${endOffset}`, count });
    }
    return blocks;
  }
}

function magnitude(count: number): number {
  return count < 4 ? count : 2 + Math.floor(Math.log2(count));
}
