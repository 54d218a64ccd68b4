// The debug exporter: says what comes through, as little or as much as one wants, safe to look at in a terminal.

import { once } from 'node:events';
import { createWriteStream, type WriteStream } from 'node:fs';
import path from 'node:path';
import { z } from 'zod';
import type { Batch, Exporter, ExporterContext, ExporterType } from '../../component.ts';
import { describe, type Verbosity } from './describe.ts';

const debugSettings = z.strictObject({
  verbosity: z
    .enum(['basic', 'normal', 'detailed'])
    .default('basic')
    .describe('One line a batch, one a record, or all there is to a record'),
  sampling_initial: z.int().min(1).default(2).describe('Batches shown in each second before sampling begins'),
  sampling_thereafter: z
    .int()
    .min(0)
    .default(1)
    .describe('After those every n-th batch of the second is shown; 1 shows all, 0 none'),
  use_internal_logger: z.boolean().default(true).describe("Write through the collector's own log"),
  output_paths: z
    .array(z.string().min(1))
    .min(1)
    .default(['stdout'])
    .describe('stdout, stderr or files, when use_internal_logger is false'),
});
type DebugSettings = z.infer<typeof debugSettings>;

export const debugExporter: ExporterType<typeof debugSettings> = {
  kind: 'exporter',
  type: 'debug',
  signals: ['traces', 'metrics', 'logs'],
  stability: 'beta',
  local: false,
  config: debugSettings,
  create: (context, settings) => new DebugExporter(context, settings),
};

const SAMPLING_TICK_MS = 1_000;

class DebugExporter implements Exporter {
  readonly #context: ExporterContext;
  readonly #settings: DebugSettings;
  readonly #files: WriteStream[] = [];
  #print: (line: string) => void | Promise<void>;
  #tickStartedAt = 0;
  #batchesInTick = 0;

  constructor(context: ExporterContext, settings: DebugSettings) {
    this.#context = context;
    this.#settings = settings;
    this.#print = line => context.logger.info(line);
  }

  start(): void {
    if (this.#settings.use_internal_logger) return;
    const streams = this.#settings.output_paths.map(name => this.#open(name));
    this.#print = async line => {
      for (const stream of streams) {
        // A reader that does not keep up holds this exporter back and no other.
        if (!stream.write(`${line}\n`)) await once(stream, 'drain');
      }
    };
  }

  async export(batch: Batch): Promise<void> {
    if (!this.#isSampled()) {
      this.#context.instruments.count('kymo_exporter_sampled_out_batches', 1, { exporter: this.#context.id });
      return;
    }
    for (const line of describe(batch, this.#settings.verbosity as Verbosity)) await this.#print(line);
  }

  commit(): undefined {
    return undefined;
  }

  async stop(): Promise<void> {
    await Promise.all(this.#files.map(file => new Promise<void>(resolve => file.end(() => resolve()))));
  }

  #open(name: string): NodeJS.WritableStream {
    if (name === 'stdout') return process.stdout;
    if (name === 'stderr') return process.stderr;
    const file = createWriteStream(path.resolve(this.#context.baseDirectory, name), {
      flags: 'a',
      mode: 0o640,
    });
    file.on('error', error => this.#context.logger.error(`cannot write to ${name}`, { error }));
    this.#files.push(file);
    return file;
  }

  #isSampled(): boolean {
    const now = performance.now();
    if (this.#tickStartedAt === 0 || now - this.#tickStartedAt >= SAMPLING_TICK_MS) {
      this.#tickStartedAt = now;
      this.#batchesInTick = 0;
    }
    const { sampling_initial: initial, sampling_thereafter: thereafter } = this.#settings;
    const index = this.#batchesInTick++;
    if (index < initial) return true;
    return thereafter > 0 && (index - initial) % thereafter === 0;
  }
}
