// The real TensorBoard as judge: both of its readers must serve exactly what was logged, from finished files and live.

import fs from 'node:fs';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import { crc32, deflateSync } from 'node:zlib';
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
import { media, sha256, type TestMedia } from '../../collector/media-events.ts';
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

/** A whole PNG of 2 by 3 grey pixels. */
function picture(seed: number): Buffer {
  const raw = Buffer.concat(
    Array.from({ length: 3 }, (_, y) => Buffer.from([0, seed * 20 + y, seed * 20 + y + 1])),
  );
  const header = Buffer.from([0, 0, 0, 2, 0, 0, 0, 3, 8, 0, 0, 0, 0]);
  const chunk = (type: string, data: Buffer): Buffer => {
    const body = Buffer.concat([Buffer.from(type, 'latin1'), data]);
    const out = Buffer.alloc(body.length + 8);
    out.writeUInt32BE(data.length, 0);
    body.copy(out, 4);
    out.writeUInt32BE(crc32(body), body.length + 4);
    return out;
  };
  const magic = Buffer.from('89504e470d0a1a0a', 'hex');
  return Buffer.concat([
    magic,
    chunk('IHDR', header),
    chunk('IDAT', deflateSync(raw)),
    chunk('IEND', Buffer.alloc(0)),
  ]);
}

/** The smallest GIF. */
const FILM = Buffer.from('R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7', 'base64');

/** Eight samples of 8 bits as WAV. */
function sound(seed: number): Buffer {
  const header = Buffer.alloc(44);
  header.write('RIFF', 0, 'latin1');
  header.writeUInt32LE(36 + 8, 4);
  header.write('WAVEfmt ', 8, 'latin1');
  header.writeUInt32LE(16, 16);
  header.writeUInt16LE(1, 20);
  header.writeUInt16LE(1, 22);
  header.writeUInt32LE(8000, 24);
  header.writeUInt32LE(8000, 28);
  header.writeUInt16LE(1, 32);
  header.writeUInt16LE(8, 34);
  header.write('data', 36, 'latin1');
  header.writeUInt32LE(8, 40);
  return Buffer.concat([header, Buffer.alloc(8, 128 + seed)]);
}

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
    await writeMedia();
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

  /** What the research API logs of media, in chunks and not in order of step. */
  async function writeMedia(): Promise<void> {
    const run: Process = { run: 'media' };
    const send = (...events: TestMedia[]) =>
      main.export(
        sender.events(
          run,
          events.flatMap(one =>
            media(one).map(log => ({ name: log.eventName!, attributes: attributes(log.attributes!) })),
          ),
        ),
      );
    await send(
      { name: 'film', kind: 'video', mime: 'image/gif', step: 0, bytes: FILM, more: { 'kymo.mode': 'eval' } },
      { name: 'film', kind: 'video', mime: 'video/mp4', step: 1, bytes: Buffer.from('not shown') },
      { name: 'notes', kind: 'text', mime: 'text/markdown', step: 0, bytes: Buffer.from('# Notes') },
      {
        name: 'page',
        kind: 'html',
        mime: 'text/html',
        step: 0,
        bytes: Buffer.from('<script>alert(1)</script>'),
      },
      {
        name: 'rows',
        kind: 'table',
        mime: 'application/json',
        step: 0,
        bytes: Buffer.from('{"columns":["a","b"],"data":[[1,"x|<y>"]]}'),
      },
    );
    for (const step of [0, 1, 3, 2]) {
      await send(
        { name: 'pic', step, bytes: picture(step), chunk: 30 },
        { name: 'beep', kind: 'audio', mime: 'audio/wav', step, bytes: sound(step) },
      );
      await main.export(logged.rows(run, [{ step, values: { loss: step } }]));
    }
    await main.export(finish(run));
    await main.commit();
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

  it('shows pictures, GIFs, sounds, texts and tables, late ones too, exactly', async () => {
    const steps = [0, 1, 2, 3];
    for (const server of servers) {
      const { reader } = server;
      const shown = async () => ({
        pictures: (await server.images('media', 'pic')).map(one => [one.step, one.type, sha256(one.bytes)]),
        film: (await server.images('media', 'eval/film')).map(one => [one.step, one.type, sha256(one.bytes)]),
        sounds: (await server.sounds('media', 'beep')).map(one => [one.step, one.type, sha256(one.bytes)]),
        markdown: (await server.texts('media', 'notes')).map(({ step, text }) => [step, text]),
        html: (await server.texts('media', 'page')).map(({ step, text }) => [step, text]),
        table: (await server.texts('media', 'rows')).map(({ step, text }) => [step, text.replace(/\s/g, '')]),
        scalar: (await server.scalars('media', 'loss')).map(([, step, value]) => [step, value]),
      });
      const expected = {
        pictures: steps.map(step => [step, 'image/png', sha256(picture(step))]),
        film: [[0, 'image/gif', sha256(FILM)]],
        sounds: steps.map(step => [step, 'audio/wav', sha256(sound(step))]),
        markdown: [[0, '<h1>Notes</h1>']],
        html: [[0, '<pre><code>&lt;script&gt;alert(1)&lt;/script&gt;\n</code></pre>']],
        table: [
          [
            0,
            '<table><thead><tr><th>a</th><th>b</th></tr></thead><tbody><tr><td>1</td><td>x|&lt;y&gt;</td></tr></tbody></table>',
          ],
        ],
        scalar: steps.map(step => [step, step]),
      };
      for (const deadline = Date.now() + 30_000; Date.now() < deadline; await delay(200)) {
        if (isDeepStrictEqual(await shown(), expected)) break;
      }
      expect({ reader, ...(await shown()) }).toEqual({ reader, ...expected });
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
