// `kymo status`: what a running collector has taken, written and still owes.
import type { CollectorStatus } from '../collector/status.ts';
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
import { askCollector, collectorPlaces } from './local-client.ts';

export const statusCommand: Command = {
  help: `Usage: kymo status [--directory DIR | --config FILE] [--json]

Shows the collector that runs for a project folder or a configuration: receivers, journal, and per exporter how far it
is, how much it lags, what it delivered and what it dropped and why. Exit code 1 when none runs.

  --directory DIR  Project folder (default: the one of the working directory)
  --config FILE    Configuration that the collector was started with, in the folder it was started in
  --json           Everything, as JSON`,

  async run(args) {
    const { values } = readArguments(args, {
      directory: { type: 'string' },
      config: { type: 'string', multiple: true },
      json: { type: 'boolean' },
    });
    if (values.directory !== undefined && values.config !== undefined) {
      throw new UsageError('give either --directory or --config');
    }
    const places = collectorPlaces(values);
    const status = (await askCollector(places, '/kymo/v1/status')) as CollectorStatus | undefined;
    if (status === undefined) {
      printError(`no collector runs on ${places.map(place => place.journal).join(' or ')}`);
      return EXIT_FAILED;
    }
    if (values.json === true) process.stdout.write(`${JSON.stringify(status, undefined, 2)}\n`);
    else for (const line of describeStatus(status)) print(line);
    return EXIT_OK;
  },
};

export function describeStatus(status: CollectorStatus): string[] {
  const { journal, health } = status;
  const lines = [
    `collector ${status.version}  pid ${status.pid}  ${health.state}${health.detail === undefined ? '' : `: ${health.detail}`}  since ${status.startedAt}`,
    `folder    ${status.directory}`,
    `journal   ${journal.directory}  positions ${journal.start} to ${journal.end}  ${bytes(journal.sizeBytes)} of ${bytes(journal.maxSizeBytes)}  fsync ${journal.fsync}`,
  ];
  const { memory } = status;
  lines.push(
    `memory    ${bytes(memory.rssBytes)} of ${bytes(memory.hardBytes)}${memory.refusing ? ', pushing back' : ''}${memory.refused > 0 ? `, pushed back ${memory.refused} times` : ''}`,
  );
  const refused = counts(journal.refused);
  if (refused !== '') lines.push(`          refused: ${refused}`);
  if (journal.duplicates > 0) lines.push(`          retries recognised: ${journal.duplicates}`);
  if (journal.damaged > 0)
    lines.push(`          damaged: ${bytes(journal.damagedBytes)} in ${journal.damaged} places`);
  if (journal.lastError !== undefined) lines.push(`          last error: ${journal.lastError}`);
  lines.push('', ...receiverTable(status), '', ...exporterTable(status));
  for (const exporter of status.exporters) {
    const notes = [
      exporter.parked ? 'parked: the journal does not wait for it' : '',
      exporter.missedBytes > 0
        ? `missed ${bytes(exporter.missedBytes)} that were deleted before it read them`
        : '',
      exporter.quarantinedBatches > 0 ? `${exporter.quarantinedBatches} requests in quarantine` : '',
      exporter.media.events > 0 ? `media ${exporter.media.events}, ${bytes(exporter.media.bytes)}` : '',
      counts(exporter.dropped) === '' ? '' : `dropped: ${counts(exporter.dropped)}`,
      exporter.lastError === undefined ? '' : `last error: ${exporter.lastError}`,
    ].filter(note => note !== '');
    for (const note of notes) lines.push(`${exporter.id}: ${note}`);
  }
  lines.push('', `clients ${status.clients.length}`);
  for (const { pid, instance, run } of status.clients)
    lines.push(`  pid ${pid}  ${run === '' ? instance : run}`);
  lines.push(`open runs ${status.runs.length}`);
  for (const { id, instance, emitted, dropped = {} } of status.runs) {
    const lost = counts(dropped);
    const said = emitted === undefined ? '' : `  emitted ${emitted}${lost === '' ? '' : `, dropped ${lost}`}`;
    lines.push(`  ${id}  ${instance}${said}`);
  }
  return lines;
}

function receiverTable({ receivers }: CollectorStatus): string[] {
  const rows = receivers.map(({ id, addresses, accepted, refused, failed }) => [
    id,
    ...[accepted.metrics, accepted.logs, accepted.traces].map(String),
    String(total(refused)),
    String(total(failed)),
    addresses.join(', '),
  ]);
  return table([['RECEIVER', 'POINTS', 'LOGS', 'SPANS', 'REFUSED', 'FAILED', 'LISTENS ON'], ...rows]);
}

function exporterTable({ exporters }: CollectorStatus): string[] {
  const rows = exporters.map(exporter => [
    exporter.id,
    exporter.state,
    String(exporter.position),
    String(exporter.committed),
    exporter.lagBytes === 0 ? '0' : `${bytes(exporter.lagBytes)}${lagTime(exporter.lagMs)}`,
    ...[exporter.delivered.metrics, exporter.delivered.logs, exporter.delivered.traces].map(String),
    String(total(exporter.quarantined) + total(exporter.dropped)),
  ]);
  return table([
    ['EXPORTER', 'STATE', 'POSITION', 'COMMITTED', 'LAG', 'POINTS', 'LOGS', 'SPANS', 'DROPPED'],
    ...rows,
  ]);
}

function lagTime(lagMs: number | undefined): string {
  return lagMs === undefined ? '' : `, ${(lagMs / 1000).toFixed(1)} s`;
}

function total(items: Readonly<Record<string, number>>): number {
  return Object.values(items).reduce((sum, value) => sum + value, 0);
}

function counts(items: Readonly<Record<string, number>>): string {
  return Object.entries(items)
    .filter(([, value]) => value > 0)
    .map(([name, value]) => `${name} ${value}`)
    .join(', ');
}

export function bytes(value: number): string {
  if (value < 1024) return `${value} B`;
  const units = ['KiB', 'MiB', 'GiB', 'TiB'];
  let amount = value / 1024;
  let unit = 0;
  while (amount >= 1024 && unit < units.length - 1) {
    amount /= 1024;
    unit++;
  }
  return `${amount.toFixed(1)} ${units[unit]}`;
}
