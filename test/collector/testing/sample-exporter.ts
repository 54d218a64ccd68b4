// A small exporter as an outsider would write it: one line per item in one file, cut back at each start. It can be broken on purpose.
import fs from 'node:fs';
import path from 'node:path';
import { z } from 'zod';
import {
  type Batch,
  type CommittedState,
  type Exporter,
  type ExporterContext,
  type ExporterType,
  RetryableError,
} from '../../../src/collector/component.ts';

/** What an author may get wrong. */
export type Fault =
  | 'none'
  | 'does not cut'
  | 'forgets what is buffered'
  | 'believes names'
  | 'throws at nothing'
  | 'keeps a Map'
  | 'writes into the batch'
  | 'hides its outage'
  | 'retries for ever'
  | 'requires a setting'
  | 'stops once';

export function sampleExporter(fault: Fault): ExporterType {
  return {
    kind: 'exporter',
    type: 'sample',
    signals: ['metrics', 'logs', 'traces'],
    stability: 'development',
    local: true,
    config:
      fault === 'requires a setting'
        ? z.strictObject({ file: z.string() })
        : z.strictObject({ file: z.string().default('out.txt') }),
    create: (context, settings) => new SampleExporter(context, settings as { file: string }, fault),
  };
}

/** Makes the sink take nothing; part of the sample, as a server's status would be. */
export const sampleSink = { state: 'up' as 'up' | 'out' | 'refusing' };

export function readSample(folder: string): string {
  const file = path.join(folder, 'out.txt');
  return fs.existsSync(file) ? fs.readFileSync(file, 'utf8') : '';
}

class SampleExporter implements Exporter {
  readonly #file: string;
  readonly #folder: string;
  readonly #fault: Fault;
  #length = 0;
  #buffered = '';
  #stopped = false;

  constructor(context: ExporterContext, settings: { readonly file: string }, fault: Fault) {
    this.#folder = context.baseDirectory;
    this.#file = path.resolve(context.baseDirectory, settings.file);
    this.#fault = fault;
  }

  start(committed: CommittedState): void {
    this.#length = (committed?.length as number | undefined) ?? 0;
    if (this.#fault === 'does not cut') return;
    if (fs.existsSync(this.#file)) fs.truncateSync(this.#file, this.#length);
  }

  export(batch: Batch): void {
    const fault = this.#fault;
    if (sampleSink.state === 'out')
      throw fault === 'hides its outage' ? new Error('no') : new RetryableError('the sink is out');
    if (sampleSink.state === 'refusing')
      throw fault === 'retries for ever' ? new RetryableError('busy') : new Error('the sink refuses it');
    const lines = linesOf(batch);
    if (fault === 'throws at nothing' && lines.length === 0) throw new Error('an empty batch');
    if (fault === 'writes into the batch' && batch.scalars !== undefined) batch.scalars.columns.value.fill(0);
    if (fault === 'believes names') {
      for (const { run } of batch.logs)
        if (run.id.includes('escaped')) fs.writeFileSync(path.resolve(this.#folder, run.id), 'x');
    }
    const text = lines.map(line => `${line}\n`).join('');
    if (fault === 'forgets what is buffered') this.#buffered += text;
    else fs.appendFileSync(this.#file, text);
  }

  commit(): CommittedState {
    this.#length = fs.existsSync(this.#file) ? fs.statSync(this.#file).size : 0;
    fs.appendFileSync(this.#file, this.#buffered);
    this.#buffered = '';
    if (this.#fault === 'keeps a Map') return { length: this.#length, seen: new Map() };
    return { length: this.#length };
  }

  stop(): void {
    if (this.#stopped && this.#fault === 'stops once') throw new Error('stopped already');
    this.#stopped = true;
  }
}

function linesOf({ scalars, histograms, logs, spans }: Batch): string[] {
  const lines: string[] = [];
  if (scalars !== undefined) {
    const { columns, resolved } = scalars;
    for (let i = 0; i < columns.count; i++) {
      const { run, sinkName } = resolved[columns.seriesIndex[i]!]!;
      lines.push(JSON.stringify([run.id, sinkName, columns.step[i], String(columns.value[i])]));
    }
  }
  for (const { point, resolved } of histograms)
    lines.push(JSON.stringify([resolved.sinkName, [...point.counts]]));
  for (const { record, run } of logs)
    lines.push(
      JSON.stringify([run.id, record.eventName, typeof record.body === 'string' ? record.body : '']),
    );
  for (const { record, run } of spans) lines.push(JSON.stringify([run.id, record.name]));
  return lines;
}
