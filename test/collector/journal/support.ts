// What the tests of journal and feed share: folders, a log that can be asked, requests, reading everything back.
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach } from '@jest/globals';
import type { Logger } from '../../../src/collector/component.ts';
import type { JournalRecord, JournalSource } from '../../../src/collector/journal/source.ts';
import { jsonToProtobuf } from '../../../src/otlp/json.ts';

const folders: string[] = [];
afterEach(() => {
  for (const folder of folders.splice(0)) fs.rmSync(folder, { recursive: true, force: true });
});

/** A folder that is removed after the test. */
export function temporaryFolder(): string {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'kymo-journal-'));
  folders.push(folder);
  return folder;
}

export interface LogLine {
  readonly level: string;
  readonly message: string;
}
export function recordingLogger(): Logger & { readonly lines: LogLine[] } {
  const lines: LogLine[] = [];
  const at = (level: string) => (message: string) => void lines.push({ level, message });
  return { lines, debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') };
}

/** Bytes that are no request: the journal does not look inside. */
export function body(text: string): Uint8Array {
  return Buffer.from(text);
}

export async function readAll(source: JournalSource): Promise<JournalRecord[]> {
  const records: JournalRecord[] = [];
  let position = source.start;
  while (position < source.end) {
    const read = await source.read(position);
    records.push(...read.records);
    if (read.next <= position) throw new Error(`reading stands still at ${position}`);
    position = read.next;
  }
  return records;
}
export function textOf(record: JournalRecord): string {
  return Buffer.from(record.bytes).toString();
}

/** An ExportMetricsServiceRequest with one gauge point per value, in a run. */
export function metricsRequest(run: string, values: readonly number[], name = 'loss'): Uint8Array {
  return jsonToProtobuf('metrics', JSON.stringify({ resourceMetrics: [resourceMetrics(run, values, name)] }));
}
/** One request with points of several runs. */
export function mixedRequest(points: readonly (readonly [run: string, value: number])[]): Uint8Array {
  return jsonToProtobuf(
    'metrics',
    JSON.stringify({ resourceMetrics: points.map(([run, value]) => resourceMetrics(run, [value], 'loss')) }),
  );
}
function resourceMetrics(run: string, values: readonly number[], name: string): object {
  return {
    resource: { attributes: [{ key: 'kymo.run.id', value: { stringValue: run } }] },
    scopeMetrics: [
      {
        scope: { name: 'test' },
        metrics: [
          {
            name,
            gauge: {
              dataPoints: values.map((value, i) => ({
                timeUnixNano: String(1_000_000_000 + i),
                asDouble: value,
              })),
            },
          },
        ],
      },
    ],
  };
}
export function logsRequest(run: string, text: string): Uint8Array {
  return jsonToProtobuf(
    'logs',
    JSON.stringify({
      resourceLogs: [
        {
          resource: { attributes: [{ key: 'kymo.run.id', value: { stringValue: run } }] },
          scopeLogs: [
            { scope: { name: 'test' }, logRecords: [{ timeUnixNano: '1', body: { stringValue: text } }] },
          ],
        },
      ],
    }),
  );
}

/** Waits until a condition holds; fails after `deadlineMs` with what was waited for. */
export async function until(what: string, condition: () => boolean, deadlineMs = 10_000): Promise<void> {
  const end = Date.now() + deadlineMs;
  while (!condition()) {
    if (Date.now() > end) throw new Error(`waited ${deadlineMs} ms for: ${what}`);
    await new Promise(resolve => setTimeout(resolve, 5));
  }
}
