// Routes: an exporter with scopes gets what belongs to them, the same at every reading, and its life cycle untouched.
import { describe, expect, it } from '@jest/globals';
import type { Batch, CommittedState, Exporter } from '../../../src/collector/component.ts';
import { batchOfScopes, scopedExporter } from '../../../src/collector/feed/scoped.ts';
import { batchOf, histogramBatchOf, logBatchOf, spanBatchOf } from '../../../src/collector/testing/index.ts';

const SCOPES = ['eval', 'eval.env', 'evaluation', 'train', undefined] as const;

/** Scopes of everything in a batch. */
function scopesIn(batch: Batch | undefined): string[] {
  if (batch === undefined) return [];
  const { scalars, histograms, logs, spans } = batch;
  const points = scalars === undefined ? [] : [...scalars.columns.seriesIndex].map(i => scalars.resolved[i]!);
  return [...points, ...histograms.map(one => one.resolved), ...logs, ...spans].map(({ scope }) => scope);
}

describe('a route', () => {
  it.each([
    ['points', batchOf(SCOPES.map(scope => ({ ...(scope && { scope }), step: 1, values: { a: 1, b: 2 } })))],
    [
      'histograms',
      histogramBatchOf(
        SCOPES.map(scope => ({ ...(scope && { scope }), name: 'h', bounds: [0], counts: [1, 1] })),
      ),
    ],
    ['texts', logBatchOf(SCOPES.map(scope => ({ ...(scope && { scope }), body: 'x' })))],
    ['spans', spanBatchOf(SCOPES.map(scope => ({ ...(scope && { scope }), name: 'x' })))],
  ])('takes %s of its scopes and those below', (_, batch) => {
    const twice = batch.scalars === undefined ? 1 : 2;
    const taken = (scopes: string[]) => scopesIn(batchOfScopes(batch, scopes)).length / twice;
    expect(taken(['eval'])).toBe(2);
    expect(taken(['eval.env', 'train'])).toBe(2);
    expect(taken(['global'])).toBe(1);
    expect(taken(['ev'])).toBe(0);
    expect(batchOfScopes(batch, ['eval', 'evaluation', 'train', 'global'])).toBe(batch);
  });

  it('keeps the rows of what it takes', () => {
    const batch = batchOf([
      { scope: 'train', step: 1, values: { loss: 1 } },
      { scope: 'eval', step: 1, values: { loss: 2, accuracy: 0.5 } },
      { scope: 'eval', step: 2, values: { loss: 3, big: 2n ** 60n } },
    ]);
    const { scalars } = batchOfScopes(batch, ['eval'])!;
    expect(scalars!.rows.count).toBe(2);
    expect([...scalars!.columns.value].sort((a, b) => a - b)).toEqual([0.5, 2, 3, 2 ** 60]);
    expect([...scalars!.columns.bigValue!.values()]).toEqual([2n ** 60n]);
  });

  it('always takes what a run says about itself: start, config, summary, step axes, end', () => {
    const names = ['start', 'heartbeat', 'config', 'summary', 'finish'].map(name => `kymo.run.${name}`);
    const events = [...names, 'kymo.metric.definition'].map(eventName => ({ eventName }));
    const batch = logBatchOf([...events, { eventName: 'kymo.media' }, { body: 'text' }]);
    const taken = batchOfScopes(batch, ['eval'])!;
    expect(taken.logs.map(({ record }) => record.eventName)).toEqual([...names, 'kymo.metric.definition']);
  });

  it('has no bytes for a part of a request', () => {
    const batch = batchOf([
      { scope: 'a', values: { x: 1 } },
      { scope: 'b', values: { x: 1 } },
    ]);
    expect(() => batchOfScopes(batch, ['a'])!.bytes).toThrow('holds other scopes too');
    expect(batchOfScopes(batch, ['a', 'b'])!.bytes).toBe(batch.bytes);
  });

  it('leaves an exporter’s life as it is, and spares it what is not its own', async () => {
    const calls: unknown[] = [];
    const exporter: Exporter = {
      start: (state: CommittedState) => void calls.push(['start', state]),
      export: batch => void calls.push(['export', scopesIn(batch)]),
      commit: () => ({ n: calls.length }),
      stop: () => void calls.push('stop'),
    };
    const scoped = scopedExporter(exporter, ['a']);
    expect(scoped.committed).toBeUndefined();
    await scoped.start({ n: 1 });
    await scoped.export(batchOf([{ scope: 'b', values: { x: 1 } }]));
    await scoped.export(batchOf([{ scope: 'a.b', values: { x: 1 } }]));
    expect(await scoped.commit()).toEqual({ n: 2 });
    await scoped.stop();
    expect(calls).toEqual([['start', { n: 1 }], ['export', ['a.b']], 'stop']);
    scopedExporter({ ...exporter, committed: () => void calls.push('committed') }, ['a']).committed!();
    expect(calls.at(-1)).toBe('committed');
  });
});
