// `kymo journal inspect`: what lies in a journal, whether a collector has it open or not.
import { existsSync } from 'node:fs';
import { didYouMean } from '../collector/config/problem.ts';
import { inspectJournal, type JournalSummary } from '../collector/journal/inspect.ts';
import {
  type Command,
  EXIT_FAILED,
  EXIT_OK,
  print,
  printError,
  readArguments,
  table,
  UsageError,
} from './command.ts';
import { collectorPlaces } from './local-client.ts';
import { bytes } from './status-command.ts';

export const journalCommand: Command = {
  help: `Usage: kymo journal inspect [DIR] [--json]

Reads a journal from its first record to its last, checks every checksum, and says what is in it: segments, records and
bytes per signal, times, damage. Nothing is changed. Exit code 1 when it is damaged.

  DIR     Folder of the journal (default: the one of the project folder)
  --json  Everything, as JSON`,

  async run(args) {
    const [subcommand, ...rest] = args;
    if (subcommand !== 'inspect') {
      throw new UsageError(
        subcommand === undefined
          ? 'what about it? kymo journal inspect is what there is'
          : `unknown subcommand "${subcommand}"${didYouMean(subcommand, ['inspect'])}`,
      );
    }
    const { values, positionals } = readArguments(rest, { json: { type: 'boolean' } }, 1);
    const directory = positionals[0] ?? collectorPlaces({}).find(place => existsSync(place.journal))?.journal;
    if (directory === undefined || !existsSync(directory)) {
      throw new Error(
        directory === undefined ? 'no journal here; name its folder' : `no journal at ${directory}`,
      );
    }
    const segments = inspectJournal(directory);
    let step = await segments.next();
    while (step.done !== true) step = await segments.next();
    const summary = step.value;
    if (values.json === true) {
      process.stdout.write(`${JSON.stringify(summary, withBigInts, 2)}\n`);
    } else {
      for (const line of describeSummary(summary)) print(line);
    }
    const damaged = summary.findings.filter(finding => finding.kind !== 'torn').length;
    if (damaged > 0) printError(`${summary.findingCount} places are damaged`);
    return damaged > 0 ? EXIT_FAILED : EXIT_OK;
  },
};

function describeSummary(summary: JournalSummary): string[] {
  const { bySignal, marks } = summary;
  const rows = summary.segments.map(segment => [
    segment.path.split(/[/\\]/).at(-1) ?? segment.path,
    String(segment.start),
    String(segment.end),
    String(segment.records),
    bytes(segment.fileBytes),
    time(segment.firstReceivedUnixNano),
    time(segment.lastReceivedUnixNano),
    segment.damaged > 0 ? `${segment.damaged} damaged` : '',
  ]);
  const lines = [
    `journal ${summary.id}  ${summary.directory}`,
    `positions ${summary.start} to ${summary.end}  ${bytes(summary.fileBytes)}`,
    ...(['metrics', 'logs', 'traces'] as const).map(
      signal => `${signal}: ${bySignal[signal].records} requests, ${bytes(bySignal[signal].bytes)}`,
    ),
    `with a batch key: ${summary.keyed}; senders remembered: ${marks.kind === 'loaded' ? marks.senders : marks.kind}`,
    '',
    ...table([['SEGMENT', 'START', 'END', 'REQUESTS', 'SIZE', 'FIRST', 'LAST', ''], ...rows]),
  ];
  for (const finding of summary.findings) {
    lines.push(
      `${finding.kind} at ${finding.position}, ${finding.next - finding.position} bytes: ${finding.reason}`,
    );
  }
  return lines;
}

function time(unixNano: bigint | undefined): string {
  return unixNano === undefined ? '-' : new Date(Number(unixNano / 1_000_000n)).toISOString();
}

function withBigInts(_key: string, value: unknown): unknown {
  return typeof value === 'bigint' ? String(value) : value;
}
