// Work on files that can be done a piece at a time between other things, and be ended at once when the process has to.
import { fsync, fsyncSync } from 'node:fs';

/** Between two pieces: let others have their turn, or wait until a file (by its descriptor) is durable. */
export type Pause = 'turn' | { readonly sync: number };
export type Work<T> = Generator<Pause, T, undefined>;

/** Does it all, blocking. */
export function workNow<T>(work: Work<T>): T {
  return finish(work, work.next());
}

/** Work that goes on in the background until it is done, or until somebody needs it done now. */
export class BackgroundWork<T> {
  readonly done: Promise<T>;
  private readonly work: Work<T>;
  private state: IteratorResult<Pause, T> | undefined;
  private taken = false;
  private settle: ((result: { value: T } | { error: unknown }) => void) | undefined;

  constructor(work: Work<T>) {
    this.work = work;
    this.done = new Promise((resolve, reject) => {
      this.settle = result => ('value' in result ? resolve(result.value) : reject(result.error));
    });
    setImmediate(() => this.advance(() => this.work.next()));
  }

  /** Does what is left, blocking. What it throws is what `done` rejects with. */
  finishNow(): void {
    if (this.taken) return;
    this.taken = true;
    try {
      const value = finish(this.work, this.state === undefined ? this.work.next() : this.state);
      this.settle?.({ value });
    } catch (error) {
      this.settle?.({ error });
    }
  }

  private advance(next: () => IteratorResult<Pause, T>): void {
    if (this.taken) return;
    try {
      const state = next();
      this.state = state;
      if (state.done) {
        this.taken = true;
        this.settle?.({ value: state.value });
      } else if (state.value === 'turn') setImmediate(() => this.advance(() => this.work.next()));
      else
        fsync(state.value.sync, error =>
          this.advance(() => (error === null ? this.work.next() : this.work.throw(error))),
        );
    } catch (error) {
      this.taken = true;
      this.settle?.({ error });
    }
  }
}

function finish<T>(work: Work<T>, from: IteratorResult<Pause, T>): T {
  for (let state = from; ; ) {
    if (state.done) return state.value;
    try {
      if (state.value !== 'turn') fsyncSync(state.value.sync);
    } catch (error) {
      state = work.throw(error);
      continue;
    }
    state = work.next();
  }
}
