// The collector on one core under scalar points, logs and spans over HTTP, to durable JSONL and TensorBoard files; beside upstream's Collector.
import {
  cpuSeconds,
  here,
  measured,
  memoryOf,
  pinned,
  startCollector,
  temporaryFolder,
} from './processes.ts';
import { mebibytes, medians, publish, QUICK, type Report, rate } from './report.ts';
import { startUpstream, upstreamProgram } from './upstream.ts';

const REPETITIONS = QUICK ? 1 : 3;
const CONNECTIONS = 2;
/** Requests: some seconds of work each. */
const REQUESTS = { metrics: QUICK ? 40 : 120, logs: QUICK ? 40 : 120, traces: QUICK ? 40 : 120 } as const;
/** Code is compiled by then. */
const WARM_UP_REQUESTS = 10;

type Sent = { readonly items: number; readonly bytes: number; readonly seconds: number };
type Figures = Record<'perCore' | 'perSecond' | 'bytesPerItem' | 'rss', number>;
type Start = typeof startCollector;

const ITEMS = { metrics: 'points', logs: 'logs', traces: 'spans' } as const;
const notes = [
  'Per core: items by CPU time of all threads of the collector. Wall: from the first request until everything is durable.',
  `Rows of 20 metrics in requests of 64,000 points, 2,000 logs or spans in a request, ${CONNECTIONS} senders, each a run of its own; median of ${REPETITIONS}.`,
];
const collectors: [name: string, start: Start][] = [['kymo → JSONL + TensorBoard', startCollector]];
const upstream = upstreamProgram();
if ('missing' in upstream) notes.push(`skipped the upstream Collector: ${upstream.missing}`);
else
  for (const format of ['json', 'proto'] as const)
    collectors.push([
      `upstream → file (${format})`,
      (folder, prefix) => startUpstream(upstream.program, folder, prefix, format),
    ]);

const samples = new Map<string, Figures[]>();
for (let repetition = 0; repetition < REPETITIONS; repetition++)
  for (const signal of ['metrics', 'logs', 'traces'] as const)
    for (const [name, start] of collectors) {
      const key = `${ITEMS[signal]}: ${name}`;
      const figures = await ingest(start, signal);
      samples.set(key, [...(samples.get(key) ?? []), figures]);
    }

const results = new Map([...samples].map(([key, figures]) => [key, medians(figures)]));
const ours = results.get('points: kymo → JSONL + TensorBoard')!;
const theirs = results.get('points: upstream → file (json)');
const targets: Report['targets'][number][] = [
  {
    what: 'scalar points per core',
    target: '≥ 500 k/s',
    measured: rate(ours.perCore),
    met: ours.perCore >= 500_000,
  },
];
if (theirs !== undefined)
  targets.push({
    what: "ahead of upstream's OTLP → file (JSON), per core",
    target: '> 1 times',
    measured: `${(ours.perCore / theirs.perCore).toFixed(2)} times`,
    met: ours.perCore > theirs.perCore,
  });
publish({
  title: 'Collector: OTLP/HTTP to durable files on one core',
  columns: ['items: collector', 'per core', 'wall', 'bytes/item', 'RSS max'],
  rows: [...results].map(([key, one]) => [
    key,
    rate(one.perCore),
    rate(one.perSecond),
    one.bytesPerItem.toFixed(0),
    mebibytes(one.rss),
  ]),
  targets,
  notes,
});

async function ingest(startOne: Start, signal: keyof typeof ITEMS): Promise<Figures> {
  const folder = temporaryFolder();
  const collector = await startOne(folder, pinned(0));
  try {
    await replay(collector.url, signal, WARM_UP_REQUESTS);
    await collector.written();
    const cpu = cpuSeconds(collector.pid);
    const sent = await replay(collector.url, signal, REQUESTS[signal]);
    const acknowledged = performance.now();
    await collector.written();
    const seconds = sent.seconds + (performance.now() - acknowledged) / 1e3;
    return {
      perCore: sent.items / (cpuSeconds(collector.pid) - cpu),
      perSecond: sent.items / seconds,
      bytesPerItem: sent.bytes / sent.items,
      rss: memoryOf(collector.pid).most,
    };
  } finally {
    await collector.stop();
  }
}

function replay(url: string, signal: string, requests: number): Promise<Sent> {
  const replayer = [
    process.execPath,
    here('replayer.ts'),
    url,
    signal,
    String(requests),
    String(CONNECTIONS),
  ];
  return measured<Sent>([...pinned(1), ...replayer]);
}
