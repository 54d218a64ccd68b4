// `kymo spool drain`: delivers what processes that have gone left in a project folder's spool.
import { randomUUID } from 'node:crypto';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { countSpoolFile, isSpoolName, ownerLives } from '../otlp/spool-file.ts';
import { Link } from '../sdk/link.ts';
import { readSettings } from '../sdk/settings.ts';
import { claimOrphans, releaseOrphan, sendOrphan } from '../sdk/spool-orphans.ts';
import { Transport } from '../sdk/transport.ts';
import { collectorKey, paths } from '../semconv/local.ts';

const POLL_MS = 50;
const LOCAL_PREFIX = 'local:';

interface SpoolFile {
  readonly path: string;
  readonly endpoint: string;
  readonly batches: number;
}

/**
 * Delivers within the time, saying what it does; returns how many files are left that could have been delivered.
 * @param to the base URL of a receiver that gets all of it, wherever it waits for
 */
export async function drainSpoolFolder(
  project: string,
  timeoutMs: number,
  say: (line: string) => void,
  to?: string,
): Promise<number> {
  const { spool, journal } = paths(project);
  const { files, living, foreign } = spoolFiles(spool);
  if (living > 0)
    say(`${counted(living, 'file')} of living processes, which deliver themselves: left to them`);
  if (foreign > 0) say(`${counted(foreign, 'file')} that cannot be read as a spool: left alone`);
  if (files.length === 0) {
    say(`nothing to deliver in ${spool}`);
    return 0;
  }
  const deadlineMs = performance.now() + timeoutMs;
  const own = `${LOCAL_PREFIX}${collectorKey(journal)}`;
  let left = 0;
  for (const [endpoint, waiting] of Map.groupBy(files, file => file.endpoint)) {
    if (to !== undefined) left += await drainToUrl(spool, endpoint, deadlineMs, say, to);
    else if (endpoint === own) left += await drainToCollector(project, waiting, deadlineMs, say);
    else if (endpoint.startsWith(LOCAL_PREFIX)) {
      left += waiting.length;
      say(
        `${counted(waiting.length, 'file')} for the collector of another folder (was this one moved?): they only go there, or where --to says`,
      );
    } else left += await drainToUrl(spool, endpoint, deadlineMs, say);
  }
  return left;
}

/** The folder's collector takes spool files over when it starts and when a client leaves it: so come, and leave. */
async function drainToCollector(
  project: string,
  files: readonly SpoolFile[],
  deadlineMs: number,
  say: (line: string) => void,
): Promise<number> {
  let lastError = '';
  let changed = (): void => undefined;
  const link = new Link({
    projectDirectory: project,
    instanceId: randomUUID(),
    run: '',
    onChange: () => changed(),
    onError: reason => {
      lastError = reason;
      changed();
    },
  });
  while (link.current() === undefined && lastError === '' && performance.now() < deadlineMs) {
    await new Promise<void>(resolve => {
      const timer = setTimeout(resolve, POLL_MS);
      changed = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
  await link.leave(Math.max(1, deadlineMs - performance.now()));
  const waiting = () => files.filter(({ path }) => isThere(path));
  if (lastError === '')
    while (waiting().length > 0 && performance.now() < deadlineMs)
      await new Promise(resolve => setTimeout(resolve, POLL_MS));
  const left = waiting().length;
  const batches = files.filter(({ path }) => !isThere(path)).reduce((sum, file) => sum + file.batches, 0);
  say(`${counted(batches, 'batch', 'batches')} taken over by the collector of ${project}`);
  if (left > 0) say(`${counted(left, 'file')} left: ${lastError || 'the time was over'}`);
  return left;
}

async function drainToUrl(
  spool: string,
  endpoint: string,
  deadlineMs: number,
  say: (line: string) => void,
  to?: string,
): Promise<number> {
  const settings = readSettings(process.env, say);
  const transport = new Transport(settings);
  const metrics = to === undefined ? endpoint : `${to.replace(/\/+$/, '')}/v1/metrics`;
  // Where the environment still names this receiver, it also knows the paths of the other signals.
  const urls =
    settings.endpoint?.metrics === metrics
      ? settings.endpoint
      : { metrics, logs: sibling(metrics, 'logs'), traces: sibling(metrics, 'traces') };
  let sent = 0;
  let lost = 0;
  let left = 0;
  let lastError = '';
  // By hand nothing is too old.
  for (const path of claimOrphans(spool, endpoint, Infinity)) {
    const target = () => ({ kind: 'url' as const, endpoint: urls });
    const result = await sendOrphan(path, transport, target, deadlineMs);
    sent += result.sent;
    lost += result.lost;
    if (result.lastError !== '') lastError = result.lastError;
    if (result.done) continue;
    releaseOrphan(path);
    left++;
  }
  say(`${counted(sent, 'batch', 'batches')} delivered to ${to ?? endpoint}`);
  if (lost > 0) say(`${counted(lost, 'batch', 'batches')} refused for good: ${lastError}`);
  if (left > 0) say(`${counted(left, 'file')} left: ${lastError || 'the time was over'}`);
  return left;
}

function spoolFiles(spool: string): { files: SpoolFile[]; living: number; foreign: number } {
  const files: SpoolFile[] = [];
  let living = 0;
  let foreign = 0;
  for (const name of existsSync(spool) ? readdirSync(spool).filter(isSpoolName).sort() : []) {
    const path = join(spool, name);
    const file = countSpoolFile(path);
    if (file === undefined) foreign++;
    else if (ownerLives(name, file.header)) living++;
    else files.push({ path, endpoint: file.header.endpoint, batches: file.batches });
  }
  return { files, living, foreign };
}

/** Whoever takes a file over renames it first: it is gone when its own name and all claims of it are. */
function isThere(path: string): boolean {
  const folder = join(path, '..');
  const name = path.slice(folder.length + 1).replace(/\.claim-\d+$/, '');
  return readdirSync(folder).some(other => other === name || other.startsWith(`${name}.claim-`));
}

function sibling(metricsUrl: string, signal: 'logs' | 'traces'): string {
  return metricsUrl.replace(/\/v1\/metrics$/, `/v1/${signal}`);
}

function counted(count: number, one: string, many = `${one}s`): string {
  return `${count} ${count === 1 ? one : many}`;
}
