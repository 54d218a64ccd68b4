// The real TensorBoard as judge: both of its readers must serve exactly what was logged, from finished files and live.

import fs from 'node:fs';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import {
  encodeHistogram,
  encodeImages,
  encodeScalars,
  encodeText,
  scalarPrefix,
} from '../../../src/collector/exporters/tensorboard/events.ts';
import { LateFile } from '../../../src/collector/exporters/tensorboard/late-file.ts';
import type { RecordBuffer } from '../../../src/collector/exporters/tensorboard/record-buffer.ts';
import { RunFiles } from '../../../src/collector/exporters/tensorboard/run-files.ts';
import { runFolder } from '../../../src/collector/runs/folder.ts';
import type { RunId } from '../../../src/collector/runs/run.ts';
import { attributes, type Process, type Row, Sender } from '../../collector/exporters/tensorboard/batches.ts';
import { Bench } from '../../collector/exporters/tensorboard/bench-folder.ts';
import { eventFiles, filledFiles } from '../../collector/exporters/tensorboard/readers.ts';
import { describeWithPeers } from '../peers.ts';
import { Logged } from './logged.ts';
import { type Reader, TensorBoard } from './server.ts';

const READERS: readonly Reader[] = ['rust', 'python'];
const ODD_TAGS = [
  'loss',
  'train/loss',
  'with space',
  ' leading and trailing ',
  'ünïcode/日本語/🧪',
  'a//b/',
  '[]%?#&+=;:@"\'<>',
  '__proto__',
  'line\nbreak\ttab',
  '0',
  'a.b\\c',
  'x'.repeat(500),
];

/** The smallest PNG. */
const PIXEL = Buffer.from(
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==',
  'base64',
);

const rows = (from: number, to: number, names: readonly string[] = ['a', 'b']): Row[] =>
  Array.from({ length: to - from }, (_, i) => ({
    step: from + i,
    values: Object.fromEntries(names.map((name, n) => [name, Math.sin(from + i) * (n + 1)])),
  }));

describeWithPeers('TensorBoard', ['tensorboard'], python => {
  const sender = new Sender();
  const logged = new Logged(sender);
  const main = new Bench();
  const live = new Bench({ flush_interval: '20ms', rewrite_interval: '100ms' }, 'w-live', main.folder);
  const crashing = new Bench({}, 'w-crashing', main.folder);
  let servers: TensorBoard[] = [];

  const startServers = () =>
    Promise.all(READERS.map(reader => TensorBoard.start(python!, main.runs, reader)));
  const stopServers = () => Promise.all(servers.map(server => server.stop()));
  const expectShown = (runs?: readonly string[]) =>
    Promise.all(servers.map(server => logged.expectShown(server, runs)));
  const finish = (process: Process, state = 'finished') =>
    sender.events(process, [
      { name: 'kymo.run.finish', attributes: attributes({ 'kymo.run.state': state }) },
    ]);

  beforeAll(async () => {
    for (const bench of [main, live, crashing]) await bench.start();
    await writeFinished();
    await writeCrashed();
    // Live runs begin before TensorBoard does.
    await live.export(logged.rows({ run: 'live' }, rows(0, 10)));
    await live.export(logged.rows({ run: 'live-late' }, [...rows(0, 50), ...rows(51, 80)]));
    for (const step of [0, 40, 60]) {
      await live.export(
        logged.histogram(
          { run: 'live-late' },
          { name: 'weights', step, bounds: [0, 1], counts: [0, step + 1, 0] },
          [[0, 1, step + 1]],
        ),
      );
    }
    await live.export(sender.events({ run: 'live-late' }, [config(1)]));
    await live.export(logged.rows({ run: 'live-resumed' }, rows(0, 100, ['a', 'only_first'])));
    await live.commit();
    servers = await startServers();
  });
  afterAll(async () => {
    await stopServers();
    for (const bench of [main, live, crashing]) await bench.exporter.stop();
    main.remove();
  });

  const config = (lr: number) => ({
    name: 'kymo.run.config',
    attributes: attributes({ 'kymo.run.config': attributes({ lr, optim: attributes({ name: 'adam' }) }) }),
  });

  /** Everything that is only read. */
  async function writeFinished(): Promise<void> {
    const names = Array.from({ length: 20 }, (_, i) => `train/metric_${i}`);
    await main.export(sender.events({ run: 'plain' }, [{ name: 'kymo.run.start' }, config(0.1)]));
    await main.export(logged.rows({ run: 'plain' }, rows(0, 500, names)), finish({ run: 'plain' }));

    const values = [Number.NaN, Infinity, -Infinity, -0, 0, 1e308, 5e-324, 1e-40, 16777217, 0.1, -1.5];
    await main.export(
      logged.rows(
        { run: 'values' },
        values.map((value, step) => ({ step, values: { v: value, other: step } })),
      ),
      logged.rows({ run: 'steps' }, [
        ...[-1000, -1, 0, 1, 2 ** 31, 2 ** 53 - 1].map(step => ({ step, values: { v: 1 } })),
      ]),
      logged.rows(
        { run: 'tags' },
        rows(0, 3, ODD_TAGS).map(row => row),
      ),
      logged.rows({ run: 'ranks' }, rows(0, 20)),
      logged.rows({ run: 'ranks', instance: 'i2', rank: 1 }, rows(0, 20), name => `${name}/rank=1`),
    );
    await main.export(
      logged.histogram(
        { run: 'histograms' },
        { name: 'h', step: 0, bounds: [0, 1, 2], counts: [0, 2, 3, 0] },
        [
          [0, 1, 2],
          [1, 2, 3],
        ],
      ),
      logged.histogram(
        { run: 'histograms' },
        { name: 'h', step: 1, bounds: [0, 1], counts: [1, 0, 4], min: -3, max: 7 },
        [
          [-3, 0, 1],
          [0, 1, 0],
          [1, 7, 4],
        ],
      ),
      logged.histogram({ run: 'histograms' }, { name: 'h', step: 2, bounds: [0], counts: [0, 0] }, [
        [0, 0, 0],
      ]),
      // Late, like a scalar can be.
      logged.histogram({ run: 'histograms' }, { name: 'late', step: 5, bounds: [0, 1], counts: [0, 1, 0] }, [
        [0, 1, 1],
      ]),
      logged.histogram({ run: 'histograms' }, { name: 'late', step: 4, bounds: [0, 1], counts: [0, 2, 0] }, [
        [0, 1, 2],
      ]),
      logged.rows({ run: 'histograms' }, rows(0, 3)),
      finish({ run: 'histograms' }, 'failed'),
    );

    // Every second step first, and another axis beside it.
    const all = rows(0, 200);
    await main.export(
      logged.rows(
        { run: 'late' },
        all.filter((_, i) => i % 2 === 0),
      ),
      logged.rows({ run: 'late' }, rows(0, 5, ['epoch'])),
      logged.rows({ run: 'late' }, all.filter((_, i) => i % 2 === 1).reverse()),
    );
    // Left as suffixes by one run, as one file by the other.
    await main.export(
      logged.rows({ run: 'late-finished' }, [...rows(0, 20), ...rows(25, 40), ...rows(20, 25)]),
    );
    await main.export(finish({ run: 'late-finished' }));

    await main.export(logged.rows({ run: 'resumed' }, rows(0, 100, ['a', 'only_first'])));
    await main.commit();
    logged.undo('resumed', 60);
    const second: Process = { run: 'resumed', instance: 'i2', attempt: 2, resumeStep: 60 };
    await main.export(logged.rows(second, rows(60, 90, ['a', 'only_second'])));
    await main.export(finish(second));
    await main.commit();
    await delay(600);
    await main.commit();
    expect(filledFiles(path.join(main.runs, 'late')).length).toBe(2);
    expect(filledFiles(path.join(main.runs, 'late-finished')).length).toBe(1);
  }

  /** A collector that dies again and again. */
  async function writeCrashed(): Promise<void> {
    for (let round = 0; round < 4; round++) {
      const batch = logged.rows({ run: 'crashed' }, rows(round * 10, round * 10 + 10));
      await crashing.export(batch);
      await crashing.exporter.commit();
      const [last] = eventFiles(path.join(main.runs, 'crashed')).reverse();
      fs.appendFileSync(path.join(main.runs, 'crashed', last!), Buffer.from('torn'));
      await crashing.crash();
      await crashing.export(batch);
      await crashing.commit();
      await crashing.crash();
    }
    expect(filledFiles(path.join(main.runs, 'crashed')).length).toBe(4);
  }

  it('shows finished files exactly', async () => {
    await expectShown();
  });

  it('shows hyperparameters and how runs ended', async () => {
    for (const server of servers) {
      const shown = await server.hparams();
      expect(shown.get('plain')).toEqual({
        status: 'STATUS_SUCCESS',
        hparams: { lr: 0.1, 'optim.name': 'adam' },
      });
    }
  });

  it('shows a run while it is written', async () => {
    for (let from = 10; from < 60; from += 10) {
      await live.export(logged.rows({ run: 'live' }, rows(from, from + 10)));
      await expectShown(['live']);
    }
  });

  it('puts late points in order while it looks on', async () => {
    const folder = path.join(main.runs, 'live-late');
    await live.export(logged.rows({ run: 'live-late' }, rows(50, 51)));
    await live.export(
      logged.histogram(
        { run: 'live-late' },
        { name: 'weights', step: 55, bounds: [0, 1], counts: [0, 99, 0] },
        [[0, 1, 99]],
      ),
    );
    await expectShown(['live-late']);
    expect(filledFiles(folder).length).toBe(2);
    // It goes on in the file with the suffix, and is late again, further back.
    await live.export(logged.rows({ run: 'live-late' }, rows(80, 120)));
    await expectShown(['live-late']);
    await live.export(logged.rows({ run: 'live-late' }, [{ step: 3, values: { a: -3, c: 7 } }].slice(1)));
    await live.export(
      logged.rows({ run: 'live-late' }, [
        { step: 5, values: { c: 5 } },
        { step: 4, values: { c: 4 } },
      ]),
    );
    await expectShown(['live-late']);
    for (const server of servers) {
      expect((await server.texts('live-late', 'config')).map(({ step }) => step)).toEqual([0]);
    }
    // The end makes one file of it, and empties those that are being read.
    await live.export(finish({ run: 'live-late' }));
    await live.commit();
    expect(filledFiles(folder).length).toBe(1);
    await live.export(logged.rows({ run: 'live-late' }, rows(120, 130)));
    await expectShown(['live-late']);
  });

  it('keeps values of every kind when late points are put in order', async () => {
    const folder = runFolder('kinds' as RunId, { caseSensitive: true });
    const files = new RunFiles({
      place: { root: main.runs, folder, owner: { writerId: 'kinds', epoch: '00000000' } },
      logger: main.context.logger,
      maxFileBytes: 1e9,
      generation: () => 1,
      note: () => '',
    });
    const write = (into: RecordBuffer, step: number) => {
      const time = 1_700_000_000 + step;
      encodeScalars(into, time, step, [{ prefix: scalarPrefix('scalar') }], Float64Array.of(step), 1);
      encodeHistogram(into, time, step, 'histogram', Float64Array.of(0, 1, step));
      encodeText(into, time, step, 'text', `step ${step}`);
      encodeImages(into, time, step, 'image', 1, 1, [PIXEL]);
    };
    const shows = async (steps: readonly number[]) => {
      for (const server of servers) {
        const shown = async () => ({
          scalar: (await server.scalars('kinds', 'scalar')).map(([, step, value]) => [step, value]),
          histogram: (await server.histograms('kinds', 'histogram')).map(([, step, rows]) => [step, rows]),
          text: (await server.texts('kinds', 'text')).map(({ step, text }) => [step, text]),
          image: await server.imageSteps('kinds', 'image'),
        });
        const expected = {
          scalar: steps.map(step => [step, step]),
          histogram: steps.map(step => [step, [[0, 1, step]]]),
          text: steps.map(step => [step, `<p>step ${step}</p>`]),
          image: steps,
        };
        for (const deadline = Date.now() + 30_000; Date.now() < deadline; await delay(200)) {
          if (isDeepStrictEqual(await shown(), expected)) break;
        }
        expect({ reader: server.reader, ...(await shown()) }).toEqual({ reader: server.reader, ...expected });
      }
    };
    const upTo = (end: number) => Array.from({ length: end }, (_, i) => i);
    for (const step of upTo(10)) {
      if (step === 6) continue;
      files.begin(1_700_000_000, step);
      write(files.buffer, step);
    }
    files.flush();
    await shows(upTo(10).filter(step => step !== 6));
    for (const whole of [false, true]) {
      const late = new LateFile(main.context.stateDirectory, `late-kinds-${whole}`);
      late.added(whole ? 11 : 6);
      write(late.buffer, whole ? 11 : 6);
      await files.mend(late, whole);
      files.retire(files.takeReplaced());
      late.close();
      await shows(whole ? upTo(13) : upTo(10));
      if (whole) break;
      for (const step of [10, 12]) {
        files.begin(1_700_000_000, step);
        write(files.buffer, step);
      }
      files.flush();
    }
    files.abandon();
  });

  it('shows a resumed run as one clean curve while it looks on', async () => {
    logged.undo('live-resumed', 30);
    const second: Process = { run: 'live-resumed', instance: 'i2', attempt: 2, resumeStep: 30 };
    await live.export(logged.rows(second, rows(30, 40, ['a', 'only_second'])));
    await expectShown(['live-resumed']);
    await live.export(logged.rows(second, rows(40, 70, ['a', 'only_second'])));
    await expectShown(['live-resumed']);
  });

  it('shows all of it again when it is started anew', async () => {
    await stopServers();
    servers = await startServers();
    await expectShown();
  });
});
