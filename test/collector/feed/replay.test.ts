import path from 'node:path';
import { describe, expect, it } from '@jest/globals';
import type { Batch } from '../../../src/collector/component.ts';
import { ReplayError, replay } from '../../../src/collector/feed/replay.ts';
import { openJournalReader } from '../../../src/collector/journal/reader.ts';
import { logsRequest, mixedRequest, temporaryFolder } from '../journal/support.ts';
import { bench, LineExporter, linesOf } from './support.ts';

describe('replay', () => {
  it('writes the chosen runs, from requests that hold others too, while the journal is open', async () => {
    const directory = temporaryFolder();
    const at = await bench(directory);
    await at.send('a', 1, 2);
    await at.send('b', 3);
    await at.journal.append({
      signal: 'metrics',
      bytes: mixedRequest([
        ['b', 4],
        ['a', 5],
        ['c', 6],
      ]),
      batchKey: '',
    });
    await at.journal.append({ signal: 'logs', bytes: logsRequest('a', 'x'), batchKey: '' });
    const source = await openJournalReader(path.join(directory, 'journal'));
    const file = path.join(directory, 'out');
    const positions: number[] = [];
    const batches: Batch[] = [];
    class Watching extends LineExporter {
      override export(batch: Batch): void {
        batches.push(batch);
        super.export(batch);
      }
    }
    const report = await replay({
      source,
      exporter: new Watching(file),
      runIds: new Set(['a', 'nobody']),
      onProgress: progress => positions.push(progress.position),
    });
    expect(linesOf(file)).toEqual(['a 1', 'a 2', 'a 5']);
    expect(report).toMatchObject({
      from: 0,
      to: at.journal.end,
      batches: 3,
      items: { metrics: 3, logs: 1, traces: 0 },
      companions: 0,
    });
    expect([...report.found]).toEqual(['a']);
    expect(positions).toHaveLength(4);
    expect(batches[0]!.bytes.byteLength).toBeGreaterThan(0);
    expect(() => batches[1]!.bytes).toThrow(/other runs/);
    expect(batches[1]!.scalars!.rows.count).toBe(1);
    await source.close();
    await at.journal.close();
  });

  it('names the batch that the exporter cannot take, and can leave it out', async () => {
    const at = await bench(temporaryFolder());
    const file = path.join(at.directory, 'out');
    await at.send('a', 1);
    const bad = at.journal.end;
    await at.send('a', 2);
    class Picky extends LineExporter {
      override export(batch: Batch): void {
        if (batch.position === bad) throw new Error('not this one');
        super.export(batch);
      }
    }
    const run = (skip: Set<number>) =>
      replay({ source: at.journal, exporter: new Picky(file), runIds: new Set(['a']), skip });
    await expect(run(new Set())).rejects.toThrow(ReplayError);
    await expect(run(new Set())).rejects.toMatchObject({ position: bad });
    await run(new Set([bad]));
    expect(linesOf(file)).toEqual(['a 1']);
    await at.journal.close();
  });
});
