// A retry through upstream's Collector into two of ours: what it passes on as it came is stored once; what it merges anew, at least once.
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, it } from '@jest/globals';
import { FaultyProxy } from '../../chaos/proxy.ts';
import { describeWithPeers } from '../peers.ts';
import {
  type Collector,
  run,
  startKymoCollector,
  startUpstreamCollector,
  temporaryFolder,
} from '../programs.ts';
import { readLines } from '../sent.ts';

const STEPS = 500;
const RUNS = ['a', 'b', 'c', 'd'];
const SIGNALS = ['traces', 'metrics', 'logs'] as const;
const TRAIN = fileURLToPath(new URL('./train.ts', import.meta.url));
/** Longer than any answer takes here. */
const LATE_MS = 1_000;

let folder: string;
let collectors: Collector[];
let proxies: FaultyProxy[];
beforeEach(() => {
  folder = temporaryFolder();
  collectors = [];
  proxies = [];
});
afterEach(async () => {
  for (const collector of collectors) await collector.stop();
  for (const proxy of proxies) await proxy.stop();
  fs.rmSync(folder, { recursive: true, force: true });
});

/** Each other request is taken, and its answer lost: whoever sent it sends it again. */
async function losingAnswers(target: string): Promise<string> {
  const proxy = new FaultyProxy(Number(new URL(target).port), LATE_MS);
  let requests = 0;
  proxy.next = () => (requests++ % 2 === 0 ? 'cut after journaling' : undefined);
  proxies.push(proxy);
  return proxy.start();
}

async function ours(name: string): Promise<Collector> {
  const own = path.join(folder, name);
  fs.mkdirSync(own);
  const pipeline = { receivers: ['otlp'], exporters: ['jsonl'] };
  const collector = await startKymoCollector(own, otlp => ({
    receivers: { otlp },
    extensions: { journal: { directory: 'journal' } },
    exporters: { jsonl: { directory: 'runs' } },
    service: {
      extensions: ['journal'],
      pipelines: Object.fromEntries(SIGNALS.map(signal => [signal, pipeline])),
    },
  }));
  collectors.push(collector);
  return collector;
}

describeWithPeers('a retry through the upstream Collector', ['upstream-collector'], program => {
  it.each([
    ['that passes requests on as they come', []],
    ['that batches', ['batch']],
  ])('%s', async (_, processors) => {
    const one = await ours('one');
    const two = await ours('two');
    const endpoints = { 'otlp_http/one': await losingAnswers(one.http), 'otlp_http/two': two.http };
    const retry = { initial_interval: '100ms', max_interval: '300ms' };
    const upstream = await startUpstreamCollector(folder, program!, otlp => ({
      receivers: { otlp },
      processors: { batch: { timeout: '50ms' } },
      exporters: Object.fromEntries(
        Object.entries(endpoints).map(([id, endpoint]) => [id, { endpoint, retry_on_failure: retry }]),
      ),
      service: {
        telemetry: { metrics: { level: 'none' } },
        pipelines: Object.fromEntries(
          SIGNALS.map(signal => [
            signal,
            { receivers: ['otlp'], processors, exporters: Object.keys(endpoints) },
          ]),
        ),
      },
    }));
    collectors.push(upstream);
    const front = await losingAnswers(upstream.http);
    for (const id of RUNS) {
      const env = { KYMO_ENDPOINT: front, KYMO_DIR: folder };
      const report = JSON.parse(await run(process.execPath, [TRAIN, id, String(STEPS)], env));
      expect(report).toMatchObject({ pending: 0, dropped: {} });
    }
    expect(await upstream.stop()).toBe(0);
    for (const collector of [one, two]) expect(await collector.stop()).toBe(0);
    for (const proxy of proxies) expect(proxy.done['cut after journaling']).toBeGreaterThan(RUNS.length);

    for (const name of ['one', 'two'])
      for (const id of RUNS) {
        const lines = readLines(path.join(folder, name, 'runs', id), 'metrics.jsonl').filter(
          line => 'loss' in line,
        );
        const distinct = new Set(lines.map(line => JSON.stringify(line)));
        const wanted = Array.from({ length: STEPS }, (_, step) => [step, 1 / (step + 1), 2 * step]);
        // None lost, none invented, rows whole.
        expect(
          [...distinct]
            .map(line => JSON.parse(line) as Record<string, number>)
            .map(line => [line.step, line.loss, line['train/step twice']])
            .sort((a, b) => a[0]! - b[0]!),
        ).toEqual(wanted);
        // Batching may make other requests of what was sent twice: then nobody can know them again by their bytes.
        if (processors.length === 0) expect(lines).toHaveLength(STEPS);
      }
  });
});
