// `kymo sync`: uploads W&B runs that were written offline, Kymo's or the official client's, each once.
import { existsSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { LogReader } from '../collector/exporters/wandb/log/log-reader.ts';
import { WandbApi } from '../collector/exporters/wandb/online/api.ts';
import { TIMING } from '../collector/exporters/wandb/online/policy.ts';
import { runUrl, SessionUpload } from '../collector/exporters/wandb/online/session-upload.ts';
import { readUploadState } from '../collector/exporters/wandb/online/upload-state.ts';
import { config, resolveSettings } from '../collector/exporters/wandb/settings.ts';
import { findProjectDirectory } from '../semconv/local.ts';
import { type Command, EXIT_FAILED, EXIT_OK, print, printError, readArguments } from './command.ts';

const LOG = /^run-(.+)\.wandb$/;
/** A log without an end that somebody wrote to this recently belongs to a run that goes on. */
const STILL_WRITTEN_MS = 60_000;
const FIRST_GAP_MS = 500;

interface Session {
  readonly id: string;
  readonly root: string;
  readonly directory: string;
  readonly file: string;
}

export const syncCommand: Command = {
  help: `Usage: kymo sync [PATH …] [--project NAME] [--entity NAME] [--base-url URL] [--include-synced]

Uploads Weights & Biases runs from their transaction logs. PATH is a run folder (offline-run-…), a .wandb file, or a folder
that holds run folders (default: wandb/ of the project folder). What was interrupted goes on where it was; a run that was
uploaded is marked, as \`wandb sync\` marks it, and left out. The key comes from WANDB_API_KEY or netrc.

  --project NAME     Into this project instead of the run's own
  --entity NAME      To this user or team instead
  --base-url URL     Of a self-hosted server (default: WANDB_BASE_URL, else the cloud)
  --include-synced   Also runs that are marked: their rows are then appended again`,

  async run(args) {
    const { values, positionals } = readArguments(
      args,
      {
        project: { type: 'string' },
        entity: { type: 'string' },
        'base-url': { type: 'string' },
        'include-synced': { type: 'boolean' },
      },
      Number.MAX_SAFE_INTEGER,
    );
    const given = values['base-url'] === undefined ? {} : { base_url: values['base-url'] };
    const project = findProjectDirectory(process.env, process.cwd());
    const settings = resolveSettings(config.parse({ mode: 'online', ...given }), process.env, project);
    const paths = positionals.length === 0 ? [settings.root] : positionals.map(path => resolve(path));
    const all = paths.flatMap(sessionsAt);
    const wanted = all.filter(
      session => values['include-synced'] === true || !existsSync(`${logOf(session)}.synced`),
    );
    if (all.length === 0) throw new Error(`no .wandb file in ${paths.join(', ')}`);
    if (wanted.length < all.length)
      print(`${all.length - wanted.length} of ${all.length} are uploaded already`);
    const abort = new AbortController();
    const api = new WandbApi({
      ...{ baseUrl: settings.baseUrl, apiKey: settings.apiKey, timing: TIMING, signal: abort.signal },
      onRetry: (what, problem, delayMs) =>
        printError(`${what} ${problem}; again in ${Math.round(delayMs / 1000)} s`),
    });
    let failed = 0;
    const previous = new Map<string, string>();
    for (const session of wanted) {
      const { id, root, directory, file } = session;
      const kind = endOf(session);
      if (kind === 'growing') {
        print(`${directory}: is still being written; left out`);
        continue;
      }
      const lost = new Map<string, number>();
      const upload = new SessionUpload({
        ...{ api, timing: TIMING, flushIntervalMs: FIRST_GAP_MS, root, directory, file },
        ...{ baseUrl: settings.baseUrl, resume: settings.resume, previous: previous.get(id) },
        ...{ entity: values.entity ?? settings.entity, project: values.project ?? settings.project },
        logger: { debug: () => {}, info: () => {}, warn: printError, error: printError },
        lost: (reason, amount) => lost.set(reason, (lost.get(reason) ?? 0) + amount),
        sent: () => {},
      });
      upload.isClosed = true;
      upload.allow(statSync(logOf(session)).size);
      upload.hurry();
      await upload.run();
      previous.set(id, directory);
      for (const [reason, amount] of lost) printError(`${directory}: ${amount} × ${reason}`);
      const state = readUploadState(root, directory);
      if (upload.standing.kind !== 'done' || state === undefined) {
        failed++;
        continue;
      }
      writeFileSync(`${logOf(session)}.synced`, '');
      print(
        `${directory}: ${state.lines.history - state.base.history} rows → ${runUrl(settings.baseUrl, state.entity, state.project, state.name)}${kind === 'cut' ? ' (its log has no end: the run is marked as failed)' : ''}`,
      );
    }
    return failed > 0 ? EXIT_FAILED : EXIT_OK;
  },
};

function sessionsAt(path: string): Session[] {
  if (!existsSync(path)) throw new Error(`${path} is not there`);
  const own = LOG.exec(basename(path));
  if (own !== null && statSync(path).isFile()) {
    const folder = dirname(path);
    const parts = { root: dirname(folder), directory: basename(folder), file: basename(path) };
    return [{ id: own[1]!, ...parts }];
  }
  const files = readdirSync(path).filter(name => LOG.test(name));
  if (files.length > 0) return files.flatMap(file => sessionsAt(join(path, file)));
  return readdirSync(path)
    .filter(name => name.startsWith('offline-'))
    .sort()
    .flatMap(name => (statSync(join(path, name)).isDirectory() ? sessionsIn(join(path, name)) : []));
}
function sessionsIn(folder: string): Session[] {
  return readdirSync(folder)
    .filter(name => LOG.test(name))
    .flatMap(file => sessionsAt(join(folder, file)));
}

function logOf({ root, directory, file }: Session): string {
  return join(root, directory, file);
}

/** Whether a log has an end; one without may still grow, or its run was killed. */
function endOf(session: Session): 'whole' | 'cut' | 'growing' {
  const reader = new LogReader(logOf(session));
  try {
    for (let entry = reader.next(); entry !== undefined; entry = reader.next())
      if (entry.kind === 'record' && entry.record.kind === 'exit') return 'whole';
  } finally {
    reader.close();
  }
  return Date.now() - statSync(logOf(session)).mtimeMs < STILL_WRITTEN_MS ? 'growing' : 'cut';
}
