// `kymo spool`: what processes left on disk because no collector took it yet.
import { readdirSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parseDurationMs } from '../collector/config/values.ts';
import { countSpoolFile, isSpoolName, ownerLives } from '../otlp/spool-file.ts';
import { findProjectDirectory, paths } from '../semconv/local.ts';
import { type Command, EXIT_FAILED, EXIT_OK, print, readArguments, table, UsageError } from './command.ts';
import { drainSpoolFolder } from './spool-drain.ts';

export const spoolCommand: Command = {
  help: `Usage: kymo spool list [--directory DIR] [--json]
       kymo spool drain [--directory DIR] [--timeout 60s] [--to URL]

list   Lists the batches of this project folder that no collector has acknowledged yet: file, run, collector it waits
       for, batches, bytes, age, and whether its process still lives. They are delivered by the next process that logs
       in the same folder, or by the next collector that runs there.
drain  Delivers them now: to the folder's own collector, which is started if none runs, or to the URL that they wait
       for, with the headers and certificates that the environment names. What living processes have there is left to
       them. Exit code 1 when something is left.

  --directory DIR  Project folder (default: the one of the working directory)
  --json           One JSON array instead of text
  --timeout TIME   Longest wait (default 60s)
  --to URL         Deliver everything there instead of where it waits for: for a collector that has moved to another
                   address. What it has already taken it knows again, as long as its journal moved with it.`,

  async run(args) {
    const [subcommand, ...rest] = args;
    if (subcommand === 'drain') return drain(rest);
    if (subcommand !== 'list') throw new UsageError('kymo spool list and kymo spool drain are what there is');
    const { values } = readArguments(rest, { directory: { type: 'string' }, json: { type: 'boolean' } });
    const project = values.directory ?? findProjectDirectory(process.env, process.cwd());
    const { spool } = paths(project);
    const files = listed(spool).map(name => describeFile(spool, name));
    if (values.json === true) {
      process.stdout.write(`${JSON.stringify(files, undefined, 2)}\n`);
      return EXIT_OK;
    }
    if (files.length === 0) {
      print(`nothing waits in ${spool}`);
      return EXIT_OK;
    }
    const rows = files.map(file => [
      file.name,
      file.run === '' ? '-' : file.run,
      file.endpoint,
      String(file.batches),
      `${file.bytes} B`,
      `${Math.round(file.ageMs / 1000)} s`,
      file.living ? 'living' : 'gone',
      file.damaged > 0 ? `${file.damaged} damaged` : '',
    ]);
    for (const line of table([['FILE', 'RUN', 'FOR', 'BATCHES', 'SIZE', 'AGE', 'PROCESS', ''], ...rows]))
      print(line);
    return EXIT_OK;
  },
};

async function drain(args: readonly string[]): Promise<number> {
  const { values } = readArguments(args, {
    directory: { type: 'string' },
    timeout: { type: 'string', default: '60s' },
    to: { type: 'string' },
  });
  const timeoutMs = parseDurationMs(values.timeout);
  if (timeoutMs === undefined) throw new UsageError('--timeout is not a duration: write 60s or 5m');
  const project = resolve(values.directory ?? findProjectDirectory(process.env, process.cwd()));
  if (values.to !== undefined && !/^https?:\/\/./.test(values.to))
    throw new UsageError('--to is no http:// or https:// URL');
  const left = await drainSpoolFolder(project, timeoutMs, print, values.to);
  return left > 0 ? EXIT_FAILED : EXIT_OK;
}

function describeFile(directory: string, name: string) {
  const path = join(directory, name);
  const stat = statSync(path);
  const file = countSpoolFile(path);
  return {
    name,
    run: file?.header.run ?? '',
    endpoint: file?.header.endpoint ?? '(not a spool file)',
    batches: file?.batches ?? 0,
    damaged: file?.damaged ?? 0,
    bytes: stat.size,
    ageMs: Math.max(0, Date.now() - stat.mtimeMs),
    living: file !== undefined && ownerLives(name, file.header),
  };
}

function listed(directory: string): string[] {
  try {
    return readdirSync(directory).filter(isSpoolName).sort();
  } catch {
    return [];
  }
}
