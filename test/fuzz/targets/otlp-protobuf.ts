// What the check accepts every decoder reads, every record resolves to a run with a safe folder, and every line is one line.
import fs from 'node:fs';
import { describe } from '../../../src/collector/exporters/debug/describe.ts';
import { FeedBatch } from '../../../src/collector/feed/decode.ts';
import { isMap, parseJson, valueJson } from '../../../src/collector/runs/json.ts';
import { createResolver } from '../../../src/collector/runs/resolve.ts';
import { checkRequest } from '../../../src/otlp/check.ts';
import { SIGNALS, type Signal } from '../../../src/otlp/model.ts';
import { law, type Target } from '../target.ts';

const RECORDED = new URL('../../otlp/testdata/recorded/', import.meta.url);
const FOLDER = /^[A-Za-z0-9_~][A-Za-z0-9_.~-]{0,199}$/;
const CONTROL = /[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/;

export const target: Target = {
  name: 'otlp-protobuf',
  maxBytes: 4_096,
  covers: /\/src\/(otlp|collector)\//,
  words: [
    'kymo.run.id',
    'kymo.step',
    'kymo.scope',
    'service.name',
    '../..',
    '\u001b[2J',
    'kymo.row',
    Buffer.from('0a', 'hex'),
  ],
  // The first byte says which signal; the rest is the request.
  seeds: () =>
    fs
      .readdirSync(RECORDED)
      .filter(name => name.endsWith('.bin'))
      .map(name => {
        const signal = SIGNALS.findIndex(one => name.includes(one));
        return Buffer.concat([Buffer.from([signal]), fs.readFileSync(new URL(name, RECORDED))]);
      })
      // The largest are cut in the middle of a message, which is a start too.
      .map(bytes => bytes.subarray(0, 4_096)),
  run(bytes) {
    const signal = SIGNALS[(bytes[0] ?? 0) % SIGNALS.length]!;
    const body = bytes.subarray(1);
    const checked = checkRequest(signal, body);
    const batch = batchOf(signal, body);
    if (!checked.ok) {
      law(/ at byte \d+$/.test(checked.reason), `a reason without a place: ${checked.reason}`);
      return;
    }
    const runs = [
      ...(batch.scalars?.resolved ?? []).map(({ run }) => run),
      ...batch.histograms.map(({ resolved }) => resolved.run),
      ...batch.logs.map(({ run }) => run),
      ...batch.spans.map(({ run }) => run),
    ];
    for (const run of runs)
      law(FOLDER.test(run.folder) && !run.folder.includes('..'), `folder ${run.folder}`);
    const read =
      (batch.scalars?.columns.count ?? 0) + batch.histograms.length + batch.logs.length + batch.spans.length;
    law(read <= checked.items, `${read} items were read of ${checked.items} that were counted`);
    for (const line of describe(batch, 'detailed'))
      law(!CONTROL.test(line), 'a line with control characters');
    for (const { record } of batch.logs) {
      const json = valueJson(record.attributes);
      law(!json.includes('\n') && isMap(parseJson(json)), 'attributes that are no JSON on one line');
    }
  },
};

function batchOf(signal: Signal, bytes: Uint8Array): FeedBatch {
  const position = 0;
  const record = {
    position,
    next: bytes.length,
    signal,
    receivedUnixNano: 1n,
    batchKey: '',
    bytes,
    items: undefined,
  };
  return new FeedBatch(record, createResolver());
}
