// Upstream's OpenTelemetry Collector on both sides of ours: it takes what the SDK and our forwarders send, and forwards to us.

import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, it } from '@jest/globals';
import { describeWithPeers } from '../peers.ts';
import {
  type Collector,
  run,
  runLogged,
  startKymoCollector,
  startUpstreamCollector,
  temporaryFolder,
} from '../programs.ts';
import { expectEverything, readLines, type Sent } from '../sent.ts';
import { type Contents, readOtlpFile } from './otlp-file.ts';

const STEPS = 2_000;
const SIGNALS = ['traces', 'metrics', 'logs'] as const;
const TRAIN = fileURLToPath(new URL('./train.ts', import.meta.url));
const EMIT = fileURLToPath(new URL('../otel-js/emit.ts', import.meta.url));

let folder: string;
let running: Collector[];

beforeEach(() => {
  folder = temporaryFolder();
  running = [];
});
afterEach(async () => {
  for (const collector of running) await collector.stop();
  fs.rmSync(folder, { recursive: true, force: true });
});

describeWithPeers('the upstream Collector', ['upstream-collector'], program => {
  it('takes what the SDK sends', async () => {
    const upstream = await upstreamToFile(program!);
    await train('direct', upstream.http);
    expect(await upstream.stop()).toBe(0);
    expectTraining(readOtlpFile(path.join(folder, 'upstream.jsonl')));
  });

  it.each(['otlp_http', 'otlp_grpc'])('takes what our collector forwards by %s', async exporter => {
    const upstream = await upstreamToFile(program!);
    const endpoint = exporter === 'otlp_http' ? upstream.http : upstream.grpc;
    const ours = await kymoTo({ [exporter]: { endpoint, tls: { insecure: true } } });
    await train('forwarded', ours.http);
    expect(await ours.stop()).toBe(0);
    expect(await upstream.stop()).toBe(0);
    expectTraining(readOtlpFile(path.join(folder, 'upstream.jsonl')));
  });

  it.each(['otlp_http', 'otlp_grpc'])('forwards to our collector by %s', async exporter => {
    const ours = await kymoTo({ jsonl: { directory: 'runs' }, tensorboard: { directory: 'runs' } });
    const upstream = await upstreamToKymo(program!, exporter, ours);
    const emit = [EMIT, 'http-proto', upstream.http, 'through'];
    const sent = JSON.parse(await run(process.execPath, emit)) as Sent;
    expect(await upstream.stop()).toBe(0);
    expect(await ours.stop()).toBe(0);
    expectEverything(sent, path.join(folder, 'runs', 'through'));
  });

  // It writes the fields of its messages from the highest number to the lowest, as no sender of ours does.
  it('stands between the SDK and our collector, and steps, rows and histograms come out as they went in', async () => {
    const ours = await kymoTo({ jsonl: { directory: 'runs' } });
    const upstream = await upstreamToKymo(program!, 'otlp_grpc', ours);
    await train('between', upstream.http);
    expect(await upstream.stop()).toBe(0);
    expect(await ours.stop()).toBe(0);
    const lines = readLines(path.join(folder, 'runs', 'between'), 'metrics.jsonl');
    expect(lines.filter(line => 'loss' in line)).toEqual(
      Array.from({ length: STEPS }, (_, step) => ({
        step,
        time: expect.any(Number),
        loss: 1 / (step + 1),
        'train/step twice': 2 * step,
      })),
    );
    expect(lines.filter(line => 'diverged' in line)).toMatchObject([
      { step: STEPS, diverged: 'NaN', endless: 'Infinity' },
    ]);
    expect(lines.filter(line => line.histogram !== undefined)).toMatchObject([
      { step: 1, histogram: 'weights', count: 4, sum: 10 },
    ]);
  });
});

describeWithPeers('telemetrygen', ['telemetrygen'], program => {
  it.each([
    ['traces', 'grpc', 'spans.jsonl'],
    ['logs', 'http', 'logs.jsonl'],
    ['metrics', 'grpc', 'metrics.jsonl'],
    ['metrics', 'http', 'metrics.jsonl'],
  ] as const)(
    'loads our collector with %s over %s, and every one is written',
    async (signal, protocol, file) => {
      const ours = await kymoTo({ jsonl: { directory: 'runs' } });
      const endpoint = ours[protocol].replace('http://', '');
      const output = await runLogged(program!, [
        ...[
          signal,
          '--otlp-endpoint',
          endpoint,
          '--otlp-insecure',
          '--workers',
          '4',
          '--rate',
          '1000',
          '--duration',
          '3s',
        ],
        ...['--otlp-attributes', 'kymo.run.id="load"', ...(protocol === 'http' ? ['--otlp-http'] : [])],
      ]);
      const generated = [...output.matchAll(/ generated\s.*?"(?:traces|logs|metrics)": (\d+)/g)].map(match =>
        Number(match[1]),
      );
      expect(generated).toHaveLength(4);
      expect(await ours.stop()).toBe(0);
      // Each trace is a parent and a child.
      const expected = generated.reduce((sum, count) => sum + count, 0) * (signal === 'traces' ? 2 : 1);
      expect(expected).toBeGreaterThan(100);
      expect(readLines(path.join(folder, 'runs', 'load'), file)).toHaveLength(expected);
    },
  );
});

function perSignal(pipeline: object): object {
  return Object.fromEntries(SIGNALS.map(signal => [signal, pipeline]));
}

async function started(starting: Promise<Collector>): Promise<Collector> {
  const collector = await starting;
  running.push(collector);
  return collector;
}

function upstreamToFile(program: string): Promise<Collector> {
  return started(
    startUpstreamCollector(folder, program, otlp => ({
      receivers: { otlp },
      exporters: { file: { path: path.join(folder, 'upstream.jsonl') } },
      service: {
        telemetry: { metrics: { level: 'none' } },
        pipelines: perSignal({ receivers: ['otlp'], exporters: ['file'] }),
      },
    })),
  );
}

function upstreamToKymo(program: string, exporter: string, ours: Collector): Promise<Collector> {
  const endpoint = exporter === 'otlp_http' ? ours.http : ours.grpc.replace('http://', '');
  return started(
    startUpstreamCollector(folder, program, otlp => ({
      receivers: { otlp },
      processors: { batch: { timeout: '50ms' } },
      exporters: { [exporter]: { endpoint, tls: { insecure: true } } },
      service: {
        telemetry: { metrics: { level: 'none' } },
        pipelines: perSignal({ receivers: ['otlp'], processors: ['batch'], exporters: [exporter] }),
      },
    })),
  );
}

function kymoTo(exporters: Readonly<Record<string, object>>): Promise<Collector> {
  const all = Object.keys(exporters);
  const pipeline = { receivers: ['otlp'], exporters: all };
  return started(
    startKymoCollector(folder, otlp => ({
      receivers: { otlp },
      extensions: { journal: { directory: 'journal' } },
      exporters,
      service: { extensions: ['journal'], pipelines: perSignal(pipeline) },
    })),
  );
}

async function train(id: string, endpoint: string): Promise<void> {
  const env = { KYMO_ENDPOINT: endpoint, KYMO_DIR: folder };
  const report = JSON.parse(await run(process.execPath, [TRAIN, id, String(STEPS)], env));
  expect(report).toMatchObject({ pending: 0, dropped: {} });
  expect(report.delivered).toBe(report.emitted);
}

/** Everything that train.ts logs, once. */
function expectTraining({ scalars, histograms, texts, events, spans }: Contents): void {
  const steps = Array.from({ length: STEPS }, (_, step) => step);
  const loss = scalars.get('loss')!;
  expect(loss.map(point => point.step)).toEqual(steps);
  expect(loss.map(point => point.value)).toEqual(steps.map(step => 1 / (step + 1)));
  for (const [i, point] of loss.entries()) if (i > 0) expect(point.time > loss[i - 1]!.time).toBe(true);
  expect(scalars.get('train/step twice')!.map(point => point.value)).toEqual(steps.map(step => 2 * step));
  expect(scalars.get('diverged')).toMatchObject([{ step: STEPS, value: Number.NaN }]);
  expect(scalars.get('endless')).toMatchObject([{ step: STEPS, value: Number.POSITIVE_INFINITY }]);
  expect(histograms.get('weights')).toBe(4);
  expect(texts).toContain('häß 漢 🚀');
  expect(events).toEqual(expect.arrayContaining(['kymo.run.start', 'kymo.run.config', 'kymo.run.finish']));
  expect(spans).toEqual(['evaluation']);
  expect(scalars.get('timings/evaluation')).toHaveLength(1);
}
