// Where the state of runs is kept that no cursor holds: one file per run, replaced as a whole.
import fs from 'node:fs';
import path from 'node:path';
import { confinedRead, confinedReplace, confinedReplaceSync, syncFolder } from '../../runs/confined.ts';
import type { RunFolder } from '../../runs/run.ts';
import { MAX_STATE_BYTES } from './limits.ts';
import { FORMAT, type RunState } from './run-record.ts';

/** What every state says: the format it is in, and the run folder it is about. */
export interface KeptState {
  readonly format: typeof FORMAT;
  readonly folder: string;
}

export class StateStore<S extends KeptState = RunState> {
  readonly #directory: string;

  constructor(directory: string) {
    this.#directory = directory;
  }

  /** The state of a run, undefined when there is none. Throws for one that cannot be read: going on without it could cut data. */
  read(folder: RunFolder): S | undefined {
    const name = `${folder}.json`;
    const content = confinedRead(this.#directory, [name], MAX_STATE_BYTES);
    if (content === undefined) return undefined;
    const place = path.join(this.#directory, name);
    let state: unknown;
    try {
      state = JSON.parse(content.toString());
    } catch (cause) {
      throw new Error(`${place}: is damaged; remove it to write on behind what the run's files hold`, {
        cause,
      });
    }
    return checkState<S>(state, place);
  }

  has(folder: RunFolder): boolean {
    return fs.existsSync(path.join(this.#directory, `${folder}.json`));
  }

  /** Durable when it resolves, but for the name: `sync`, once for many. */
  write(state: S): Promise<void> {
    this.ensure();
    return confinedReplace(this.#directory, [`${state.folder}.json`], JSON.stringify(state));
  }
  writeSync(state: S): void {
    this.ensure();
    confinedReplaceSync(this.#directory, [`${state.folder}.json`], JSON.stringify(state));
  }
  sync(): void {
    syncFolder(this.#directory);
  }

  /** The folder may have been removed while we run. */
  ensure(): void {
    fs.mkdirSync(this.#directory, { recursive: true });
  }
}

/** Throws for what another version wrote. */
export function checkState<S extends KeptState = RunState>(state: unknown, place: string): S {
  const format = typeof state === 'object' && state !== null && 'format' in state ? state.format : undefined;
  if (format !== FORMAT) {
    throw new Error(
      `${place}: has format ${String(format)}, this Kymo reads format ${FORMAT}; run the version that wrote it`,
    );
  }
  return state as S;
}
