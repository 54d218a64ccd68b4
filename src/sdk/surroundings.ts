// What this process runs in, as far as its end is concerned.
import { existsSync } from 'node:fs';

/** Files that container engines put into their containers. */
const CONTAINER_MARKS = ['/.dockerenv', '/run/.containerenv'];

/** Whether this process's end may take everything it has started with it: the first of a container, or a job's step. */
export function diesWithUs(env: NodeJS.ProcessEnv): boolean {
  return (
    process.pid === 1 || env.SLURM_STEP_ID !== undefined || CONTAINER_MARKS.some(mark => existsSync(mark))
  );
}
