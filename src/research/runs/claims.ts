// Which processes write a run at this moment: each leaves a note while it does, so that nobody resumes what has not stopped.
import { randomBytes } from 'node:crypto';
import {
  mkdirSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { machineId, PROJECT_FOLDER } from '../../semconv/local.ts';
import { escapeRunId } from '../../semconv/run-folder.ts';
import { isSameProcess, ownMark, type ProcessMark } from './processes.ts';

/** A process on another machine that shares the folder counts as living for so long after its last sign: six heartbeats. */
export const AWAY_ALIVE_MS = 60_000;

export interface Writer {
  readonly mark: ProcessMark;
  readonly machine: string;
  readonly rank: number;
  readonly attempt: number;
}

/** A note of this process. */
export class Claim {
  private readonly file: string;
  private readonly folder: string;

  /** Never throws: on a disk that takes no note the run goes on without. */
  constructor(projectDirectory: string, id: string, rank: number, attempt: number) {
    this.folder = folderOf(projectDirectory, id);
    this.file = join(this.folder, `${process.pid}-${randomBytes(4).toString('hex')}.json`);
    const writer: Writer = { mark: ownMark(), machine: machineId(), rank, attempt };
    for (let tries = 0; tries < 2; tries++) {
      try {
        mkdirSync(this.folder, { recursive: true });
        writeFileSync(this.file, JSON.stringify(writer));
        return;
      } catch {
        // Once more, because the last one to leave may just have removed the folder. Else nobody will know that this process writes the
        // run, which is no reason to end it.
      }
    }
  }

  /** A sign of life, for machines that cannot look for the process. */
  renew(): void {
    try {
      const now = new Date();
      utimesSync(this.file, now, now);
    } catch {
      // Removed, or never written.
    }
  }

  release(): void {
    try {
      rmSync(this.file, { force: true });
      rmdirSync(this.folder);
    } catch {
      // Others write the run too, or the disk is read-only by now.
    }
  }
}

/** What notes say about a run. `known`: some process on this file system has written it. */
export function writersOf(projectDirectory: string, id: string): { known: boolean; living: Writer[] } {
  const folder = folderOf(projectDirectory, id);
  const living: Writer[] = [];
  let names: string[];
  try {
    names = readdirSync(folder);
  } catch {
    return { known: false, living };
  }
  for (const name of names) {
    const file = join(folder, name);
    const writer = read(file);
    if (writer === undefined) continue;
    const lives =
      writer.machine === machineId()
        ? isSameProcess(writer.mark)
        : Date.now() - (statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? 0) < AWAY_ALIVE_MS;
    if (lives) living.push(writer);
    else rmSync(file, { force: true });
  }
  return { known: names.length > 0, living };
}

function read(file: string): Writer | undefined {
  try {
    const writer = JSON.parse(readFileSync(file, 'utf8')) as Writer;
    const { mark, machine, rank, attempt } = writer;
    const whole =
      typeof mark.pid === 'number' &&
      mark.pid > 0 &&
      typeof mark.began === 'string' &&
      typeof machine === 'string' &&
      typeof rank === 'number' &&
      typeof attempt === 'number';
    return whole ? writer : undefined;
  } catch {
    // Half-written, or gone meanwhile.
    return undefined;
  }
}

function folderOf(projectDirectory: string, id: string): string {
  return join(projectDirectory, PROJECT_FOLDER, 'running', escapeRunId(id));
}
