// What every processor has to do, as tests: it changes nothing it is given, and is a function of batches and state alone.
import { serialize } from 'node:v8';
import { expect, it } from '@jest/globals';
import type {
  Batch,
  CommittedState,
  Processor,
  ProcessorContext,
  ProcessorType,
} from '../../../src/collector/component.ts';
import { createResolver } from '../../../src/collector/runs/resolve.ts';
import { createRegistry } from '../../../src/collector/telemetry/metrics.ts';
import { hostileBatches } from '../../../src/collector/testing/hostile.ts';
import { batchOf, histogramBatchOf, logBatchOf, spanBatchOf } from '../../../src/collector/testing/index.ts';
import { recordingLogger } from '../journal/support.ts';

export interface ProcessorContractOptions {
  /** Settings as in the configuration. */
  readonly config?: unknown;
  /** Beside the contract's own. */
  readonly batches?: readonly Batch[];
}

const MAX_STATE_BYTES = 1024 * 1024;

export function processorContext(exporter = 'jsonl'): ProcessorContext {
  return {
    id: 'test',
    exporter,
    logger: recordingLogger(),
    instruments: createRegistry().instruments({}),
    baseDirectory: '/nowhere',
    resolver: createResolver(),
  };
}

/** Everything of a batch that somebody behind a processor can get hold of, in a form to compare. */
export function contentOf(batch: Batch | undefined): unknown {
  if (batch === undefined) return undefined;
  const { position, next, signal, receivedUnixNano, batchKey, scalars, histograms, logs, spans } = batch;
  const { columns, resolved, rows } = scalars ?? {};
  return {
    position,
    next,
    signal,
    receivedUnixNano,
    batchKey,
    columns,
    resolved,
    rows,
    histograms,
    logs,
    spans,
  };
}

export function processorContract(type: ProcessorType, options: ProcessorContractOptions = {}): void {
  const settings = type.config.parse(options.config ?? {});
  const create = (): Processor => type.create(processorContext(), settings);
  const started = (state: CommittedState): Processor => {
    const processor = create();
    processor.start?.(state);
    return processor;
  };
  const batches = [...contractBatches(), ...(options.batches ?? [])];

  it('takes its settings, and says what it does to what passes', () => {
    expect(['none', 'keeps', 'drops']).toContain(type.effect(settings));
  });

  it('does to items what it says', () => {
    const processor = started(undefined);
    for (const batch of batches) {
      const after = processor.process(batch);
      if (type.effect(settings) === 'none') expect(after).toBe(batch);
      if (type.effect(settings) === 'keeps') expect(itemsOf(after)).toBeGreaterThanOrEqual(itemsOf(batch));
    }
  });

  it('changes nothing in a batch, which others read too', () => {
    const processor = started(undefined);
    for (const batch of batches) {
      const before = serialize([contentOf(batch), batch.bytes]);
      processor.process(batch);
      expect(before.equals(serialize([contentOf(batch), batch.bytes]))).toBe(true);
    }
  });

  it('leaves the place in the journal and the time of receipt as they are', () => {
    const processor = started(undefined);
    for (const batch of batches) {
      const after = processor.process(batch);
      if (after === undefined) continue;
      expect([after.position, after.next, after.signal, after.receivedUnixNano, after.batchKey]).toEqual([
        batch.position,
        batch.next,
        batch.signal,
        batch.receivedUnixNano,
        batch.batchKey,
      ]);
    }
  });

  it('makes the same of the same batches, from the state of wherever it was committed', () => {
    const whole = started(undefined);
    const expected: unknown[] = [];
    const states: CommittedState[] = [committed(whole)];
    for (const batch of batches) {
      expected.push(contentOf(whole.process(batch)));
      states.push(committed(whole));
    }
    for (const [from, state] of states.entries()) {
      const again = started(state);
      const rest = batches.slice(from).map(batch => contentOf(again.process(batch)));
      expect(rest).toEqual(expected.slice(from));
      expect(committed(again)).toEqual(states.at(-1));
    }
  });

  it('takes empty batches, hostile names and texts', () => {
    const processor = started(undefined);
    for (const batch of [batchOf([]), logBatchOf([]), spanBatchOf([]), ...hostileBatches().batches])
      processor.process(batch);
    committed(processor);
  });
}

/** As the cursor keeps it. */
function committed(processor: Processor): CommittedState {
  const state = processor.commit?.();
  if (state === undefined) return undefined;
  const text = JSON.stringify(state);
  expect(text.length).toBeLessThan(MAX_STATE_BYTES);
  const back = JSON.parse(text) as CommittedState;
  expect(back).toEqual(state);
  return back;
}

function itemsOf(batch: Batch | undefined): number {
  if (batch === undefined) return 0;
  const { scalars, histograms, logs, spans } = batch;
  return (scalars?.columns.count ?? 0) + histograms.length + logs.length + spans.length;
}

function contractBatches(): Batch[] {
  return [
    logBatchOf([
      { eventName: 'kymo.run.start', attributes: { 'kymo.run.state': 'running', 'kymo.run.attempt': 1 } },
      { eventName: 'kymo.row', attributes: { 'kymo.step': 4, 'kymo.row.values': { loss: 3, x: true } } },
    ]),
    batchOf([
      { step: 0, values: { loss: 1, 'eval/accuracy': 0.5 }, attributes: { host: 'a' } },
      { step: 1, values: { loss: 0.5, huge: 2n ** 60n }, resource: { 'kymo.rank': 1 } },
      { step: 1, values: { loss: Number.NaN }, run: 'run-2', scope: 'env.inner' },
      { values: { stepless: 1 } },
    ]),
    histogramBatchOf([{ name: 'weights', bounds: [0, 1], counts: [1, 2, 3], step: 1 }]),
    logBatchOf([
      { body: 'hello', attributes: { password: 'x', n: 3 } },
      { body: 'from the other run', run: 'run-2', severityNumber: 17, severityText: 'ERROR' },
    ]),
    spanBatchOf([{ name: 'rollout' }, { name: 'rollout', scope: 'env', statusCode: 2 }]),
    batchOf([{ step: 7, values: { loss: 0.25 } }]),
    logBatchOf([{ eventName: 'kymo.run.finish', attributes: { 'kymo.run.state': 'finished' } }]),
  ];
}
