// An exporter behind processors: their order, what they leave out, and a state that is committed with the exporter's.
import { describe, expect, it } from '@jest/globals';
import { z } from 'zod';
import type {
  Batch,
  CommittedState,
  Exporter,
  Processor,
  ProcessorType,
} from '../../../src/collector/component.ts';
import type { Configured } from '../../../src/collector/config/config.ts';
import { processedExporter } from '../../../src/collector/feed/processed.ts';
import { batchOf, logBatchOf } from '../../../src/collector/testing/index.ts';

const type: ProcessorType = {
  kind: 'processor',
  type: 'any',
  signals: ['metrics', 'logs'],
  stability: 'beta',
  config: z.strictObject({}),
  effect: () => 'keeps',
  create: () => ({ process: batch => batch }),
};
const configured = (id: string): Configured<ProcessorType> => ({ id, type, settings: {} });
const count = configured('count');
const none = configured('none');
const mark = configured('mark');

/** Keeps every batch key with the number of the state it met. */
class Sink implements Exporter {
  readonly taken: string[] = [];
  started: CommittedState;
  start(committed: CommittedState): void {
    this.started = committed;
  }
  export(batch: Batch): void {
    this.taken.push(batch.batchKey);
  }
  commit(): CommittedState {
    return { taken: this.taken.length };
  }
  stop(): void {}
}

const rekeyed = (batch: Batch, batchKey: string): Batch => ({
  ...batch,
  signal: batch.signal,
  bytes: batch.bytes,
  scalars: batch.scalars,
  histograms: batch.histograms,
  logs: batch.logs,
  spans: batch.spans,
  batchKey,
});

function create({ id }: Configured<ProcessorType>): Processor {
  if (id === 'none') return { process: () => undefined };
  if (id === 'mark') return { process: batch => rekeyed(batch, `${batch.batchKey}!`) };
  let seen = 0;
  return {
    start: committed => {
      seen = Number(committed?.seen ?? 0);
    },
    process: batch => rekeyed(batch, `${batch.batchKey}${++seen}`),
    commit: () => ({ seen }),
  };
}

const metrics = batchOf([{ values: { loss: 1 } }]);
const logs = logBatchOf([{ body: 'x' }]);

describe('an exporter behind processors', () => {
  it('gets what they make of a batch, in their order, one instance for all signals', async () => {
    const sink = new Sink();
    const processed = processedExporter(
      sink,
      new Map([
        ['metrics', [count, mark]],
        ['logs', [mark, count]],
      ]),
      create,
    );
    await processed.start(undefined);
    for (const batch of [metrics, logs, metrics]) await processed.export(batch);
    expect(sink.taken).toEqual(['1!', '!2', '3!']);
  });

  it('gets nothing of a batch of which nothing is left, and everything of signals without processors', async () => {
    const sink = new Sink();
    const processed = processedExporter(sink, new Map([['metrics', [none, count]]]), create);
    await processed.start(undefined);
    for (const batch of [metrics, logs]) await processed.export(batch);
    expect(sink.taken).toEqual(['']);
  });

  it('commits their states with its own, and starts from both', async () => {
    const chains = new Map([['metrics', [count]]] as const);
    const first = processedExporter(new Sink(), chains, create);
    await first.start(undefined);
    await first.export(metrics);
    const committed = JSON.parse(JSON.stringify(await first.commit())) as CommittedState;
    // What comes after the commit is not in it.
    await first.export(metrics);

    const sink = new Sink();
    const second = processedExporter(sink, chains, create);
    await second.start(committed);
    await second.export(metrics);
    expect(sink.started).toEqual({ taken: 1 });
    expect(sink.taken).toEqual(['2']);
  });

  it('takes its own state from a time with other processors, and they begin anew', async () => {
    const before = processedExporter(new Sink(), new Map([['metrics', [count]]]), create);
    await before.start(undefined);
    await before.export(metrics);
    const withState = await before.commit();

    const without = new Sink();
    const later = processedExporter(without, new Map(), create);
    await later.start(withState);
    expect(without.started).toEqual({ taken: 1 });
    const plain = await later.commit();
    expect(plain).toEqual({ taken: 0 });

    const again = new Sink();
    const last = processedExporter(again, new Map([['metrics', [count]]]), create);
    await last.start(plain);
    await last.export(metrics);
    expect([again.started, again.taken]).toEqual([{ taken: 0 }, ['1']]);
  });
});
