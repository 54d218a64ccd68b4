// Whether a process is still there, told so that another one with its number is not taken for it.
import { readFileSync } from 'node:fs';
import { uptime } from 'node:os';

/** What tells a process from a later one with its number. */
export interface ProcessMark {
  readonly pid: number;
  /** When it began, in the system's own count; empty where the system does not say. */
  readonly began: string;
  /** When the system began, Unix seconds. */
  readonly booted: number;
}

/** Clocks are set, and this is a difference of two of them. */
const BOOT_TOLERANCE_SECONDS = 60;

export function ownMark(): ProcessMark {
  return { pid: process.pid, began: beganOf(process.pid), booted: bootedAt() };
}

/** Of this machine. */
export function isSameProcess(mark: ProcessMark): boolean {
  if (Math.abs(mark.booted - bootedAt()) > BOOT_TOLERANCE_SECONDS && mark.began !== beganOf(mark.pid))
    return false;
  return isAlive(mark.pid) && (mark.began === '' || mark.began === beganOf(mark.pid));
}

/** Some process with this number is there (one that is dead but not yet taken leave of does not count). */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EPERM') return false;
  }
  return statOf(pid)?.[0] !== 'Z';
}

function bootedAt(): number {
  return Math.round(Date.now() / 1_000 - uptime());
}

/** Linux counts clock ticks since the system began: field 22 of stat. */
function beganOf(pid: number): string {
  return statOf(pid)?.[19] ?? '';
}

/** The fields of /proc/<pid>/stat from the state on; the name before them may hold anything. */
function statOf(pid: number): string[] | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'latin1');
    return text.slice(text.lastIndexOf(')') + 2).split(' ');
  } catch {
    return undefined;
  }
}
