// `kymo import`: what other tools have written, or another Kymo, as runs of this project.
import { randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parseDurationMs } from '../collector/config/values.ts';
import { Link } from '../sdk/link.ts';
import { readSettings } from '../sdk/settings.ts';
import { type Target, Transport } from '../sdk/transport.ts';
import { findProjectDirectory, paths } from '../semconv/local.ts';
import { escapeRunId } from '../semconv/run-folder.ts';
import { counted } from './amounts.ts';
import {
  type Command,
  EXIT_FAILED,
  EXIT_OK,
  print,
  printError,
  readArguments,
  UsageError,
} from './command.ts';
import type { Request } from './import/batch.ts';
import { baseSeconds, importRun } from './import/import-run.ts';
import { newProgress, type Progress, ProgressFile } from './import/progress.ts';
import { findSource, type Source } from './import/source.ts';
import { runsDirectory } from './run-list.ts';

const RETRY_MS = 500;
/** As the collector takes run ids. */
const MAX_RUN_ID_CHARACTERS = 1_024;

export const importCommand: Command = {
  help: `Usage: kymo import SOURCE … [--run ID] [--name NAME] [--project NAME] [--append] [--directory DIR] [--timeout 60s]

Imports what was logged elsewhere, each SOURCE as one run, through the collector of this project folder into all of its
sinks (or to KYMO_ENDPOINT). Every value arrives exactly once, however often the import is interrupted: give the same
command again and it goes on. What has been added to a source since the last import is sent, nothing else.

A SOURCE is
  a run folder of vibe-rl (logs/metrics.jsonl, config.json) or a file of its MetricsLogger
  a run folder of Kymo: rows, histograms, text and spans (not media and artifacts: copy those)
  a folder with event files of TensorBoard, or one such file: scalars, histograms and text
  a transaction log of Weights & Biases (offline-run-…/run-….wandb): rows, histograms, config, summary, text and media;
    straight into runs/ of the project folder, and only where the run is not there yet

  --run ID         Id of the run (default: the source's own, else the name of its folder or file)
  --name NAME      Name of the run for people
  --project NAME   Project of the run
  --append         Into a run that is there already and did not come from this source
  --directory DIR  Project folder (default: the one of the working directory)
  --timeout TIME   Longest wait for the collector (default 60s)`,

  async run(args) {
    const { values, positionals } = readArguments(
      args,
      {
        run: { type: 'string' },
        name: { type: 'string' },
        project: { type: 'string' },
        append: { type: 'boolean' },
        directory: { type: 'string' },
        timeout: { type: 'string', default: '60s' },
      },
      Number.MAX_SAFE_INTEGER,
    );
    if (positionals.length === 0) throw new UsageError('name what to import');
    if (positionals.length > 1 && values.run !== undefined)
      throw new UsageError('--run names one run: import one source at a time');
    const timeoutMs = parseDurationMs(values.timeout);
    if (timeoutMs === undefined) throw new UsageError('--timeout is not a duration: write 60s or 5m');
    const { run: id } = values;
    if (id !== undefined && (id === '' || id.length > MAX_RUN_ID_CHARACTERS))
      throw new UsageError(`--run takes 1 to ${MAX_RUN_ID_CHARACTERS} characters`);
    const project = resolve(values.directory ?? findProjectDirectory(process.env, process.cwd()));
    const destination = new Destination(project, timeoutMs);
    let failed = 0;
    try {
      for (const named of positionals) {
        try {
          if (named.endsWith('.wandb')) {
            await importLog(named, project);
            continue;
          }
          const found = findSource(named);
          const run = {
            ...found.run,
            ...(id === undefined ? {} : { id, name: id }),
            ...(values.name === undefined ? {} : { name: values.name }),
            ...(values.project === undefined ? {} : { project: values.project }),
          };
          await importOne({ ...found, run }, project, destination, values.append === true);
        } catch (error) {
          failed++;
          printError(`kymo import: ${error instanceof Error ? error.message : String(error)}`);
        }
      }
    } finally {
      await destination.close();
    }
    return failed > 0 ? EXIT_FAILED : EXIT_OK;
  },
};

/** A log of W&B has files beside it and an end: it is read as a whole, and written as a run folder. */
async function importLog(named: string, project: string): Promise<void> {
  const { importWandb } = await import('./import-wandb.ts');
  const into = await runsDirectory(undefined, project);
  const { folder, rows, media, leftOut, isWhole } = await importWandb(named, into);
  print(`${named}: ${counted(rows, 'row')}, ${counted(media, 'media', 'media')} → ${folder}`);
  if (leftOut > 0) printError(`${counted(leftOut, 'value')} that Kymo has no place for: left out`);
  if (!isWhole) throw new Error(`${named}: has damaged places or no end; what could be read is there`);
}

async function importOne(
  source: Source,
  project: string,
  destination: Destination,
  append: boolean,
): Promise<void> {
  const { id } = source.run;
  const file = new ProgressFile(paths(project).root, source.path, id, destination.name);
  await file.lock();
  try {
    const known = file.read();
    const folder = join(await runsDirectory(undefined, project), escapeRunId(id));
    if (known === undefined && !append && destination.isLocal && existsSync(folder))
      throw new Error(
        `${folder} is there already and did not come from ${source.path}: give another --run, or --append`,
      );
    const progress = known ?? newProgress(source.path, id, destination.name, baseSeconds(source));
    const before = progress.counts;
    const { progress: after, notes } = await importRun(
      source,
      progress,
      file,
      (request, key) => destination.deliver(request, key),
      show,
    );
    if (process.stderr.isTTY === true) process.stderr.write('\r\u001b[K');
    const written = await destination.written();
    for (const note of notes) printError(note);
    tellSkipped(source, after);
    print(`${source.path}: ${summary(before, after.counts)} → run ${id}`);
    if (destination.isLocal)
      print(written ? `written to ${folder}` : `accepted; ${folder} is still being written`);
  } finally {
    await file.unlock();
  }
}

function show({ counts }: Progress): void {
  if (process.stderr.isTTY === true) process.stderr.write(`\r${counts.rows ?? 0} rows`);
}

function summary(before: Progress['counts'], after: Progress['counts']): string {
  const parts = Object.entries(after)
    .map(([what, count]) => [what, count - (before[what] ?? 0)] as const)
    .filter(([what, count]) => count > 0 && what !== 'points')
    .map(([what, count]) => counted(count, what.replace(/s$/, ''), what));
  return parts.length === 0 ? 'nothing new' : parts.join(', ');
}

function tellSkipped(source: Source, { skipped }: Progress): void {
  if (skipped.lines > 0)
    printError(
      `${counted(skipped.lines, 'line or record', 'lines or records')} that cannot be read: left out`,
    );
  if (skipped.values > 0) printError(`${counted(skipped.values, 'value')} that are no numbers: left out`);
  if (skipped.others > 0)
    printError(
      `${counted(skipped.others, 'value')} that are neither scalars, histograms nor text (images, sounds …): left out`,
    );
  if (source.leftOut.length > 0) printError(`not imported: ${source.leftOut.join(', ')}; copy them by hand`);
}

/** Where requests go: the collector of the project folder, which is started if none runs, or the URL that the environment names. */
class Destination {
  readonly #transport: Transport;
  readonly #link: Link | undefined;
  readonly #target: () => Target | undefined;
  readonly #timeoutMs: number;
  #lastError = '';
  #position = 0;
  /** Names it in the progress that is kept: another destination is another import. */
  readonly name: string;

  constructor(project: string, timeoutMs: number) {
    const settings = readSettings(process.env, printError);
    this.#transport = new Transport(settings);
    this.#timeoutMs = timeoutMs;
    const { endpoint } = settings;
    if (endpoint !== undefined) {
      this.name = endpoint.metrics;
      this.#target = () => ({ kind: 'url', endpoint });
      return;
    }
    const link = new Link({
      projectDirectory: project,
      instanceId: randomUUID(),
      run: '',
      onChange: () => undefined,
      onError: reason => {
        this.#lastError = reason;
      },
    });
    this.#link = link;
    this.name = `local:${link.key}`;
    this.#target = () => link.current();
  }

  get isLocal(): boolean {
    return this.#link !== undefined;
  }

  /** Until it is stored: an answer that did not come is asked for again under the same key. Throws when it is refused, or the time is over. */
  async deliver({ signal, bytes }: Request, key: string): Promise<void> {
    const deadline = performance.now() + this.#timeoutMs;
    for (;;) {
      const target = this.#target();
      const outcome =
        target === undefined ? undefined : await this.#transport.send(target, signal, key, bytes);
      if (outcome?.kind === 'stored') {
        if (outcome.position !== undefined) this.#position = Math.max(this.#position, outcome.position);
        if (outcome.rejected > 0) printError(`${outcome.rejected} items were not taken: ${outcome.message}`);
        return;
      }
      if (outcome?.kind === 'rejected') throw new Error(`the collector refuses it: ${outcome.reason}`);
      if (outcome?.kind === 'retry') this.#lastError = outcome.reason;
      if (performance.now() > deadline)
        throw new Error(
          `the collector does not take it: ${this.#lastError || 'no answer'}; the same command goes on later`,
        );
      const waitMs = target === undefined ? RETRY_MS / 10 : RETRY_MS;
      await new Promise(resolve =>
        setTimeout(resolve, outcome?.kind === 'retry' ? (outcome.afterMs ?? waitMs) : waitMs),
      );
    }
  }

  /** Whether the local files have everything that was delivered. */
  async written(): Promise<boolean> {
    if (this.#link === undefined || this.#position === 0) return true;
    return (await this.#link.written(this.#position, this.#timeoutMs)).written;
  }

  async close(): Promise<void> {
    await this.#link?.leave(this.#timeoutMs);
  }
}
