#!/usr/bin/env node
// The command line: finds the command, runs it, turns what went wrong into a line and an exit code.
import * as nodeModule from 'node:module';
import { nodeTooOld } from '../semconv/node-version.ts';
import type { Command } from './command.ts';

/** Each is loaded only when it is asked for: `kymo --version` reads no YAML and opens no gRPC. */
const COMMANDS: Readonly<Record<string, { readonly summary: string; load(): Promise<Command> }>> = {
  collector: {
    summary: 'Run a collector, or check its configuration',
    load: async () => (await import('./collector-command.ts')).collectorCommand,
  },
  run: {
    summary: 'Run a program, in any language, as a run',
    load: async () => (await import('./run-command.ts')).runCommand,
  },
  runs: {
    summary: 'List runs with their state, steps and last values',
    load: async () => (await import('./runs-command.ts')).runsCommand,
  },
  show: {
    summary: 'Show one run: config, metrics, processes, files, problems',
    load: async () => (await import('./show-command.ts')).showCommand,
  },
  tail: {
    summary: 'Follow rows and text of a run as they come',
    load: async () => (await import('./tail-command.ts')).tailCommand,
  },
  export: {
    summary: 'Write the rows of a run as CSV, Parquet or JSON lines',
    load: async () => (await import('./export-command.ts')).exportCommand,
  },
  import: {
    summary: 'Import runs of vibe-rl, TensorBoard, W&B or another Kymo',
    load: async () => (await import('./import-command.ts')).importCommand,
  },
  status: {
    summary: 'Show what a running collector has received, written and still owes',
    load: async () => (await import('./status-command.ts')).statusCommand,
  },
  journal: {
    summary: 'Look into a journal on disk',
    load: async () => (await import('./journal-command.ts')).journalCommand,
  },
  replay: {
    summary: 'Write a run again from the journal',
    load: async () => (await import('./replay-command.ts')).replayCommand,
  },
  sync: {
    summary: 'Upload W&B runs that were written offline',
    load: async () => (await import('./sync-command.ts')).syncCommand,
  },
  spool: {
    summary: 'Show or deliver what waits on disk',
    load: async () => (await import('./spool-command.ts')).spoolCommand,
  },
  env: {
    summary: 'List the environment variables that Kymo reads',
    load: async () => (await import('./env-command.ts')).envCommand,
  },
};

void main(process.argv.slice(2)).then(code => {
  process.exitCode = code;
});

async function main(args: readonly string[]): Promise<number> {
  const problem = nodeTooOld();
  if (problem !== undefined) {
    process.stderr.write(`${problem}\n`);
    return 1;
  }
  nodeModule.enableCompileCache();
  endWithReader();
  const [name, ...rest] = args;
  if (name === '--version' || name === '-v' || name === 'version') {
    const { packageVersion } = await import('../semconv/version.ts');
    process.stdout.write(`${packageVersion()}\n`);
    return 0;
  }
  if (name === undefined || name === '--help' || name === '-h' || name === 'help') {
    const asked = name === 'help' ? rest[0] : undefined;
    if (asked !== undefined && Object.hasOwn(COMMANDS, asked)) return main([asked, '--help']);
    const { table } = await import('./command.ts');
    const lines = table(Object.entries(COMMANDS).map(([command, { summary }]) => [`  ${command}`, summary]));
    const text = `Usage: kymo <command> [options]\n\n${lines.join('\n')}\n\nkymo <command> --help says more; kymo --version prints the version.\n`;
    (name === undefined ? process.stderr : process.stdout).write(text);
    return name === undefined ? 2 : 0;
  }
  const { printError, UsageError } = await import('./command.ts');
  if (!Object.hasOwn(COMMANDS, name)) {
    const { didYouMean } = await import('../collector/config/problem.ts');
    printError(`kymo: unknown command "${name}"${didYouMean(name, Object.keys(COMMANDS))}; see kymo --help`);
    return 2;
  }
  const command = await COMMANDS[name]!.load();
  if (rest.includes('--help') || rest.includes('-h')) {
    process.stdout.write(`${command.help}\n`);
    return 0;
  }
  try {
    return await command.run(rest);
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    const isUsage = error instanceof UsageError;
    printError(`kymo ${name}: ${message}${isUsage ? `; see kymo ${name} --help` : ''}`);
    return isUsage ? 2 : 1;
  }
}

/** `kymo … | head` ends quietly when `head` does. */
function endWithReader(): void {
  process.stdout.on('error', error => {
    if ((error as NodeJS.ErrnoException).code === 'EPIPE') process.exit(0);
    throw error;
  });
}
