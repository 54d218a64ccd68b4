// What a W&B run is continued from after a restart: in the cursor while it is open, in the state directory afterwards.

import fs from 'node:fs';
import path from 'node:path';
import type { OpenContent } from '../../runs/assembly.ts';
import { confinedRead, confinedReplace, confinedReplaceSync, syncFolder } from '../../runs/confined.ts';
import type { LifecycleSnapshot } from '../../runs/lifecycle.ts';
import type { StepCounts } from '../../runs/step-counter.ts';
import { MAX_STATE_BYTES } from './limits.ts';
import type { MetricFields } from './log/model.ts';
import type { WaitingMedia } from './media.ts';
import type { PackedRow } from './open-rows.ts';

export const STATE_FORMAT = 1;

export interface RunIdentity {
  /** Kymo's run id and, where each scope is a run of its own, the scope. */
  readonly run: string;
  readonly scope: string | null;
  readonly project: string;
  readonly name: string;
  readonly group: string;
  readonly jobType: string;
  readonly tags: readonly string[];
}

/** The summary, the configuration and the names of metrics are not here: they are read back from the log. */
export interface RunState {
  readonly format: typeof STATE_FORMAT;
  /** Name of the state's file; one path segment. */
  readonly key: string;
  /** W&B's run id. */
  readonly id: string;
  readonly identity: RunIdentity;
  /** Folder of the session's log below the root; empty before the first. */
  readonly directory: string;
  /** A run that goes on after its end gets another session, with a log of its own. */
  readonly session: number;
  readonly length: number;
  readonly records: number;
  /** The end stands in the log. */
  readonly ended: boolean;
  /** Journal position behind the last batch that is in here, and the latest received time (Unix ns) of one. */
  readonly position: number;
  readonly received: string;
  /** Unix ns when the first of it was received. */
  readonly first: string;
  /** Unix ns when the session began; 0 before. */
  readonly started: string;
  /** Seconds of earlier sessions. */
  readonly runtimeBefore: number;
  readonly lastStep: number;
  readonly rows: readonly PackedRow[];
  readonly lifecycle: LifecycleSnapshot;
  readonly counts: StepCounts;
  readonly definitions: readonly MetricFields[];
  /** Facts about the machine and program, from the first resource. */
  readonly environment: Readonly<Record<string, string>>;
  readonly media?: { readonly open: readonly OpenContent[]; readonly waiting: readonly WaitingMedia[] };
}

export class RunStates {
  readonly #directory: string;
  constructor(directory: string) {
    this.#directory = directory;
  }

  /** Undefined when there is none. Throws for one that cannot be read: going on without it could cut data. */
  read(key: string): RunState | undefined {
    const content = confinedRead(this.#directory, [`${key}.json`], MAX_STATE_BYTES);
    if (content === undefined) return undefined;
    const place = path.join(this.#directory, `${key}.json`);
    try {
      return checkState(JSON.parse(content.toString()), place);
    } catch (cause) {
      if (!(cause instanceof SyntaxError)) throw cause;
      throw new Error(`${place}: is damaged; remove it to begin the run's log anew`, { cause });
    }
  }

  write(state: RunState): Promise<void> {
    return confinedReplace(this.#directory, [`${state.key}.json`], JSON.stringify(state));
  }
  writeSync(state: RunState): void {
    confinedReplaceSync(this.#directory, [`${state.key}.json`], JSON.stringify(state));
  }
  sync(): void {
    syncFolder(this.#directory);
  }
  ensure(): void {
    fs.mkdirSync(this.#directory, { recursive: true });
  }
}

/** Throws for what another version wrote. */
export function checkState(state: unknown, place: string): RunState {
  const format = typeof state === 'object' && state !== null && 'format' in state ? state.format : undefined;
  if (format !== STATE_FORMAT) {
    throw new Error(
      `${place}: has format ${String(format)}, this Kymo reads format ${STATE_FORMAT}; run the version that wrote it`,
    );
  }
  return state as RunState;
}
