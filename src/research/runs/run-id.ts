// Names for runs that nobody has named.
import { randomBytes } from 'node:crypto';

/** `<project>_<UTC yyyymmdd_HHMMSS>_<4 random base36>`; the project's part is such that the run's folder has the id's name. */
export function newRunId(project: string, now: Date): string {
  const time = now.toISOString().replace(/[-:]/g, '').replace('T', '_').slice(0, 15);
  return `${slug(project)}_${time}_${(randomBytes(4).readUInt32LE() % 36 ** 4).toString(36).padStart(4, '0')}`;
}

/** The project's part of an id. */
export function slug(project: string): string {
  return (
    project
      .toLowerCase()
      .replace(/[^a-z0-9._-]+/g, '-')
      .replace(/^[.-]+|[.-]+$/g, '')
      .slice(0, 60) || 'run'
  );
}
