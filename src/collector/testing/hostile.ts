// Batches whose ids, names and texts try to get out of the folder, break a line, or become a key that means something.
import { randomUUID } from 'node:crypto';
import os from 'node:os';
import path from 'node:path';
import type { AnyValue } from '../../otlp/model.ts';
import type { Batch } from '../component.ts';
import { batchOf, histogramBatchOf, logBatchOf, spanBatchOf } from './batches.ts';

/** Longer than any file system takes as a name. */
const LONG = 'long'.repeat(1_000);

/** @returns the batches, and the file that an exporter writes which believes a name */
export function hostileBatches(): { readonly batches: Batch[]; readonly forbidden: string } {
  const trap = path.join(os.tmpdir(), `kymo-escaped-${randomUUID()}`);
  const names = [
    '../escaped',
    '../../escaped',
    '..\\escaped',
    trap,
    '.',
    '..',
    '/',
    '',
    ' ',
    'con',
    'NUL.txt',
    'a/b/c',
    'a\0b',
    'line\nbreak\r\u2028',
    '\u001b[2Jclear',
    '__proto__',
    'constructor',
    'Ünïcödé 🎉',
    '\ud800',
    LONG,
    '%00%2e%2e%2f',
    '{"json": 1}',
    'a=b,c="d"',
  ];
  const values: Record<string, number> = Object.create(null);
  const attributes: Record<string, AnyValue> = Object.create(null);
  for (const name of names) {
    values[name] = 1;
    attributes[name] = name;
  }
  const batches = names.flatMap((name, step) => [
    batchOf([{ run: name, scope: name, logger: name, mode: name || 'm', step, values: { [name]: 1 } }]),
    logBatchOf([
      { run: name, scope: name, logger: name, body: name, severityText: name, attributes },
      { run: name, eventName: name, body: { [name]: name } },
      { run: name, eventName: 'kymo.run.config', attributes: { 'kymo.run.config': { [name]: name } } },
    ]),
    spanBatchOf([{ run: name, scope: name, name, statusMessage: name, attributes }]),
    histogramBatchOf([{ run: name, scope: name, name, bounds: [0], counts: [1, 1] }]),
  ]);
  batches.push(
    batchOf([
      { step: Number.MAX_SAFE_INTEGER, values },
      { step: -1, values: { negative: Number.POSITIVE_INFINITY } },
      { step: 0.5, values: { between: Number.NEGATIVE_INFINITY }, timeUnixNano: 2n ** 63n - 1n },
      { values: { early: -0 }, timeUnixNano: 1n },
    ]),
  );
  return { batches, forbidden: trap };
}
