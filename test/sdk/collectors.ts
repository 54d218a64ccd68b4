// Ends what a test's trainers leave behind: an embedded collector outlives its last client by a moment.
import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';

const PATIENCE_MS = 10_000;

/** Kills the collectors of a (temporary) project folder and waits until they are gone. Where there is no /proc it only waits a moment. */
export async function endCollectors(folder: string): Promise<void> {
  for (const deadline = Date.now() + PATIENCE_MS; Date.now() < deadline; await delay(10)) {
    const pids = collectorsOf(folder);
    if (pids.length === 0) return;
    for (const pid of pids) {
      try {
        process.kill(pid, 'SIGKILL');
      } catch {
        // It has gone meanwhile.
      }
    }
  }
}

function collectorsOf(folder: string): number[] {
  let names: string[];
  try {
    names = readdirSync('/proc').filter(name => /^\d+$/.test(name));
  } catch {
    return [];
  }
  return names.map(Number).filter(pid => {
    try {
      const args = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
      return args.includes('--embedded') && args.includes(folder);
    } catch {
      return false;
    }
  });
}
