// `kymo spool`: what processes left on disk because no collector took it yet.
import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { claimOf, isSpoolName, processLives, readSpoolFile } from '../otlp/spool-file.ts';
import { findProjectDirectory, paths } from '../semconv/local.ts';
import { type Command, EXIT_OK, print, readArguments, table, UsageError } from './command.ts';

export const spoolCommand: Command = {
  help: `Usage: kymo spool list [--directory DIR] [--json]

Lists the batches of this project folder that no collector has acknowledged yet: file, run, collector it waits for,
batches, bytes, age, and whether its process still lives. They are delivered by the next process that logs in the
same folder, or by the next collector that runs there.

  --directory DIR  Project folder (default: the one of the working directory)
  --json           One JSON array instead of text`,

  async run(args) {
    const [subcommand, ...rest] = args;
    if (subcommand === 'drain') {
      throw new UsageError(
        'drain is not built yet: start a process that logs in this folder, which drains it',
      );
    }
    if (subcommand !== 'list') throw new UsageError('kymo spool list is what there is');
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

function describeFile(directory: string, name: string) {
  const path = join(directory, name);
  const stat = statSync(path);
  const file = readSpoolFile(path);
  return {
    name,
    run: file?.header.run ?? '',
    endpoint: file?.header.endpoint ?? '(not a spool file)',
    batches: file?.frames.length ?? 0,
    damaged: file?.damaged ?? 0,
    bytes: stat.size,
    ageMs: Math.max(0, Date.now() - stat.mtimeMs),
    living: file !== undefined && processLives(claimOf(name) ?? file.header.pid),
  };
}

function listed(directory: string): string[] {
  try {
    return readdirSync(directory).filter(isSpoolName).sort();
  } catch {
    return [];
  }
}
