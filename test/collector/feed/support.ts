// An exporter like the real file exporters: appends lines, commits its length, cuts back on start.
import fs from 'node:fs';
import path from 'node:path';
import type { Batch, CommittedState, Exporter } from '../../../src/collector/component.ts';
import { CursorStore } from '../../../src/collector/feed/cursor-store.ts';
import { Feed } from '../../../src/collector/feed/feed.ts';
import { Quarantine } from '../../../src/collector/feed/quarantine.ts';
import { ExporterRunner, type RunnerOptions } from '../../../src/collector/feed/runner.ts';
import { type Journal, type JournalOptions, openJournal } from '../../../src/collector/journal/journal.ts';
import { metricsRequest, recordingLogger } from '../journal/support.ts';

export class LineExporter implements Exporter {
  readonly #file: string;
  #length = 0;
  constructor(file: string) {
    this.#file = file;
  }
  start(committed: CommittedState): void {
    this.#length = (committed?.length as number | undefined) ?? 0;
    fs.closeSync(fs.openSync(this.#file, 'a'));
    if (fs.statSync(this.#file).size < this.#length)
      throw new Error('the file is shorter than the cursor says');
    fs.truncateSync(this.#file, this.#length);
  }
  export(batch: Batch): void {
    const { scalars } = batch;
    for (let i = 0; i < (scalars?.columns.count ?? 0); i++) {
      const line = `${scalars!.resolved[scalars!.columns.seriesIndex[i]!]!.run.id} ${scalars!.columns.value[i]}\n`;
      fs.appendFileSync(this.#file, line);
      this.#length += line.length;
    }
  }
  commit(): CommittedState {
    return { length: this.#length };
  }
  stop(): void {}
}

export interface Bench {
  readonly directory: string;
  readonly journal: Journal;
  readonly feed: Feed;
  readonly logger: ReturnType<typeof recordingLogger>;
  runner(create: () => Exporter, options?: Partial<RunnerOptions>): ExporterRunner;
  /** Appends a request with one point per value. */
  send(run: string, ...values: number[]): Promise<number>;
}

export async function bench(directory: string, options: Partial<JournalOptions> = {}): Promise<Bench> {
  const logger = recordingLogger();
  const journal = await openJournal({ directory: path.join(directory, 'journal'), logger, ...options });
  const feed = new Feed(journal);
  return {
    directory,
    journal,
    feed,
    logger,
    runner: (create, more = {}) => {
      const id = more.id ?? 'test';
      return new ExporterRunner({
        id,
        create,
        journal,
        feed,
        cursors: new CursorStore(path.join(directory, 'cursors'), id, logger),
        quarantine: new Quarantine(path.join(directory, 'quarantine'), id, logger),
        logger,
        commitIntervalMs: 20,
        idleCommitMs: 5,
        retryInitialMs: 10,
        ...more,
      });
    },
    send: async (run, ...values) => {
      const bytes = metricsRequest(run, values);
      const result = await journal.append({ signal: 'metrics', bytes, batchKey: '', items: values.length });
      if (result.kind !== 'stored') throw new Error(result.reason);
      return result.position;
    },
  };
}

export function linesOf(file: string): string[] {
  return fs.existsSync(file) ? fs.readFileSync(file, 'utf8').split('\n').slice(0, -1) : [];
}
