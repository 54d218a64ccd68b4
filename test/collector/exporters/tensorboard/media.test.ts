import fs from 'node:fs';
import path from 'node:path';
import { afterEach, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import type { Batch } from '../../../../src/collector/component.ts';
import { jsonlExporter } from '../../../../src/collector/exporters/jsonl/index.ts';
import type { TestLog } from '../../batches.ts';
import { artifact, bytesOf, media, sha256, type TestMedia } from '../../media-events.ts';
import { attributes, type Event, type Process, Sender, testContext } from './batches.ts';
import { Bench } from './bench-folder.ts';
import { events, filledFiles } from './readers.ts';

const benches: Bench[] = [];
afterEach(async () => {
  for (const bench of benches.splice(0)) {
    await bench.exporter.stop();
    bench.remove();
  }
});
async function bench(settings: Record<string, unknown> = {}): Promise<Bench> {
  const made = new Bench(settings);
  benches.push(made);
  return made.start();
}
const RUN: Process = { run: 'r' };
const asEvents = (logs: readonly TestLog[]): Event[] =>
  logs.map(log => ({ name: log.eventName!, attributes: attributes(log.attributes ?? {}) }));
const batchOf = (sender: Sender, ...logs: readonly (readonly TestLog[])[]): Batch =>
  sender.events(RUN, asEvents(logs.flat()));
const dropped = (b: Bench, reason: string) =>
  b.context.counts.get(`kymo_tensorboard_dropped_points{media_${reason}}`) ?? 0;
/** What the run folder shows: plugin, tag, step, and the strings of the tensor. */
const shown = (b: Bench) =>
  events(path.join(b.runs, 'r')).flatMap(event =>
    event.values.map(value => ({
      plugin: value.plugin,
      tag: value.tag,
      step: event.step,
      shape: value.shape,
      strings: value.strings.map(string => Buffer.from(string)),
      content: Buffer.from(value.pluginContent).toString('hex'),
    })),
  );
/** What the Rust reader makes of it: a value takes away those of its tag with an equal or higher step that came before. */
const pictures = (b: Bench, tag: string): [number, string][] => {
  const curve: [number, string][] = [];
  for (const value of shown(b)) {
    if (value.tag !== tag) continue;
    while (curve.length > 0 && curve.at(-1)![0] >= value.step) curve.pop();
    curve.push([value.step, sha256(value.strings[2]!)]);
  }
  return curve;
};
const text = (b: Bench) => shown(b).map(value => value.strings[0]!.toString());
/** The beginning of a PNG, which is all that is looked at. */
const png = (seed: number, width = 3, height = 2, length = 100): Buffer => {
  const bytes = Buffer.from(bytesOf(seed, length));
  bytes.writeUInt32BE(width, 16);
  bytes.writeUInt32BE(height, 20);
  return bytes;
};

describe('media in TensorBoard', () => {
  it('shows pictures and GIFs as images, WAV as audio', async () => {
    const b = await bench();
    const sender = new Sender();
    const gif = Buffer.from('GIF89a\x05\x00\x04\x00rest', 'latin1');
    await b.export(
      batchOf(
        sender,
        media({ name: 'pic', step: 1, bytes: png(1) }),
        media({ name: 'film', kind: 'video', mime: 'image/gif', step: 1, bytes: gif }),
        media({
          name: 'sized',
          step: 1,
          mime: 'IMAGE/JPEG; q=1',
          bytes: bytesOf(3, 9),
          more: {
            'kymo.media.width': 640,
            'kymo.media.height': 480,
            'kymo.mode': 'eval',
            'kymo.scope': 'a.b',
          },
        }),
        media({
          name: 'beep',
          kind: 'audio',
          mime: 'audio/wav',
          bytes: bytesOf(4, 50),
          more: { 'kymo.media.caption': 'hi' },
        }),
        media({ name: 'beep', kind: 'audio', mime: 'audio/wav', bytes: bytesOf(5, 50) }),
      ),
    );
    await b.commit();
    expect(shown(b)).toEqual([
      {
        plugin: 'images',
        tag: 'pic',
        step: 1,
        shape: [3],
        strings: [Buffer.from('3'), Buffer.from('2'), png(1)],
        content: '',
      },
      {
        plugin: 'images',
        tag: 'film',
        step: 1,
        shape: [3],
        strings: [Buffer.from('5'), Buffer.from('4'), gif],
        content: '',
      },
      {
        plugin: 'images',
        tag: 'a.b/eval/sized',
        step: 1,
        shape: [3],
        strings: [Buffer.from('640'), Buffer.from('480'), Buffer.from(bytesOf(3, 9))],
        content: '',
      },
      {
        plugin: 'audio',
        tag: 'beep',
        step: 0,
        shape: [1, 2],
        strings: [Buffer.from(bytesOf(4, 50)), Buffer.from('hi')],
        content: '100b',
      },
      {
        plugin: 'audio',
        tag: 'beep',
        step: 1,
        shape: [1, 2],
        strings: [Buffer.from(bytesOf(5, 50)), Buffer.from('')],
        content: '100b',
      },
    ]);
  });

  it('shows texts, HTML source and tables as text that cannot break out', async () => {
    const b = await bench();
    const sender = new Sender();
    const send = (name: string, kind: string, mime: string, content: string) =>
      b.export(batchOf(sender, media({ name, kind, mime, step: 0, bytes: Buffer.from(content) })));
    await send('md', 'text', 'text/markdown', '# hi');
    await send('plain', 'text', 'text/plain', 'a *b*\n# c');
    await send('html', 'html', 'text/html', '<script>\n</script>');
    await send(
      'table',
      'table',
      'application/json',
      '{"columns":["a","b|"],"data":[[1,"x|y\\n<b>"],[null,{"k":[1]}]]}',
    );
    await send('objects', 'table', 'application/json', '[{"a":1},{"b":2}]');
    await send('lines', 'table', 'application/x-ndjson', '{"a":1}\n\n{"a":2}\n');
    await send('csv', 'table', 'text/csv', 'a,b\r\n"1,""2""",3\n');
    await send('no table', 'table', 'application/json', '{"a": 1}');
    await send('broken', 'table', 'application/json', '{"columns":');
    await b.commit();
    expect(text(b)).toEqual([
      '# hi',
      '    a *b*\n    # c',
      '    <script>\n    </script>',
      '| a | b\\| |\n| --- | --- |\n| 1 | x\\|y &lt;b&gt; |\n|  | {"k":\\[1\\]} |',
      '| a | b |\n| --- | --- |\n| 1 |  |\n|  | 2 |',
      '| a |\n| --- |\n| 1 |\n| 2 |',
      '| a | b |\n| --- | --- |\n| 1,"2" | 3 |',
      '    {"a": 1}',
      '    {"columns":',
    ]);
    expect(new Set(shown(b).map(value => value.plugin))).toEqual(new Set(['text']));
  });

  it('shows the first rows and columns of a large table', async () => {
    const b = await bench();
    const columns = Array.from({ length: 60 }, (_, i) => `c${i}`);
    const data = Array.from({ length: 100_000 }, (_, i) => [i, 'a"]}\\', ...Array(3).fill([i])]);
    const bytes = Buffer.from(JSON.stringify({ columns, data }));
    const began = Date.now();
    await b.export(batchOf(new Sender(), media({ kind: 'table', mime: 'application/json', step: 0, bytes })));
    expect(Date.now() - began).toBeLessThan(1_000);
    await b.commit();
    const lines = text(b)[0]!.split('\n');
    expect(lines.filter(line => line.startsWith('| ')).length).toBe(202);
    expect(lines[201]).toContain('| 199 | a"\\]}\\\\ |');
    expect(lines.slice(-3)).toEqual(['… the first 200 rows', '', '… the first 50 of 60 columns']);
  });

  it('counts what it cannot show, and tells once', async () => {
    const b = await bench({ max_media_mib: 1 });
    const sender = new Sender();
    const mp4 = (step: number) => media({ kind: 'video', mime: 'video/mp4', step, bytes: bytesOf(step, 10) });
    await b.export(
      batchOf(
        sender,
        mp4(0),
        mp4(1),
        media({ mime: 'image/svg+xml', bytes: bytesOf(1, 9) }),
        media({ mime: 'image/webp', bytes: bytesOf(1, 90), chunk: 30 }),
        media({ kind: 'vector_field', mime: 'application/x-npy', bytes: bytesOf(1, 9) }),
        media({ bytes: bytesOf(1, 1024 * 1024 + 1) }),
        media({ bytes: bytesOf(2, 1024 * 1024 + 1), chunk: 1024 * 1024 }),
        media({ bytes: bytesOf(1, 9), sha: 'a'.repeat(64) }),
        media({}),
        media({ sha: 'x' }),
        artifact({ bytes: bytesOf(1, 9) }),
      ),
    );
    await b.commit();
    expect(filledFiles(path.join(b.runs, 'r'))).toEqual([]);
    expect(
      Object.fromEntries(
        ['not_shown', 'too_large', 'mismatch', 'no_content', 'malformed'].map(r => [r, dropped(b, r)]),
      ),
    ).toEqual({ not_shown: 4, too_large: 2, mismatch: 1, no_content: 1, malformed: 1 });
    expect(b.context.said.filter(line => line.includes('video/mp4'))).toHaveLength(1);
    expect(fs.existsSync(path.join(b.folder, 'state-w1/media'))).toBe(false);
  });

  it('puts late pictures in order with everything else', async () => {
    const b = await bench();
    const sender = new Sender();
    for (const step of [0, 1, 3, 2, 4]) {
      await b.export(
        sender.rows(RUN, [{ step, values: { a: step } }]),
        batchOf(sender, media({ step, bytes: png(step) })),
      );
    }
    expect(b.context.counts.get('kymo_tensorboard_late_points')).toBe(2);
    await b.exporter.stop();
    const [first, second] = filledFiles(path.join(b.runs, 'r'));
    expect(second).toBeDefined();
    const last = shown(b).slice(-6);
    expect(last.map(({ tag, step }) => [tag, step])).toEqual([
      ['a', 2],
      ['pic', 2],
      ['a', 3],
      ['pic', 3],
      ['a', 4],
      ['pic', 4],
    ]);
    expect(last[1]!.strings[2]).toEqual(png(2));
    expect(first).toBeDefined();
  });

  it('leaves out pictures of an attempt that a later one undid', async () => {
    const b = await bench();
    const sender = new Sender();
    await b.export(batchOf(sender, media({ step: 0, bytes: png(0) }), media({ step: 9, bytes: png(9) })));
    const second: Process = { run: 'r', instance: 'i2', attempt: 2, resumeStep: 5 };
    await b.export(sender.rows(second, [{ step: 5, values: { a: 1 } }]));
    await b.export(batchOf(sender, media({ step: 7, bytes: png(7) })));
    await b.export(sender.events(second, asEvents(media({ step: 6, bytes: png(6) }))));
    await b.exporter.stop();
    expect(pictures(b, 'pic').map(([step]) => step)).toEqual([0, 6]);
    expect(b.context.counts.get('kymo_tensorboard_superseded_points')).toBe(1);
  });

  it('shows again what is only named, from memory and from the jsonl exporter’s store', async () => {
    const b = await bench();
    const sender = new Sender();
    const bytes = png(1);
    await b.export(batchOf(sender, media({ step: 0, bytes }), media({ step: 1, sha: sha256(bytes) })));
    await b.commit();
    await b.crash();
    // Memory is gone, and jsonl has not written it yet.
    await b.export(batchOf(sender, media({ step: 2, sha: sha256(bytes) })));
    await b.commit();
    expect(shown(b).map(value => value.step)).toEqual([0, 1]);
    const state = path.join(b.folder, 'state-jsonl');
    const jsonl = jsonlExporter.create(testContext(b.folder, state), jsonlExporter.config.parse({}));
    await jsonl.start(undefined);
    await jsonl.export(batchOf(new Sender(), media({ step: 0, bytes })));
    await jsonl.commit();
    await jsonl.stop();
    const deadline = Date.now() + 5_000;
    while (shown(b).length < 3 && Date.now() < deadline) {
      await new Promise(resolve => setTimeout(resolve, 50));
      await b.commit();
    }
    expect(shown(b).map(value => [value.step, value.strings[2]])).toEqual(
      [0, 1, 2].map(step => [step, bytes]),
    );
  });

  it('says when a picture stays incomplete', async () => {
    const b = await bench();
    const sender = new Sender();
    const [first] = media({ step: 0, bytes: png(1), chunk: 60 });
    await b.export(batchOf(sender, [first!]));
    await b.commit();
    const parts = path.join(b.folder, 'state-w1/media/r');
    expect(fs.readdirSync(parts)).toHaveLength(1);
    await b.crash();
    expect(fs.readdirSync(parts)).toHaveLength(1);
    const late = sender.events(RUN, asEvents(media({ step: 1, bytes: png(2) })));
    await b.export({ ...late, receivedUnixNano: late.receivedUnixNano + 16n * 60n * 1_000_000_000n });
    await b.commit();
    expect(dropped(b, 'incomplete')).toBe(1);
    expect(fs.readdirSync(parts)).toHaveLength(0);
    expect(shown(b).map(value => value.step)).toEqual([1]);
  });
});

const CONTENT: readonly TestMedia[] = [
  { name: 'a', step: 0, bytes: png(1), chunk: 30 },
  { name: 'a', step: 1, bytes: png(2), chunk: 16 },
  { name: 'b', step: 1, bytes: png(4), chunk: 30 },
  { name: 'b', step: 2, bytes: png(5) },
  { name: 'c', step: 0, bytes: png(3) },
];
const RECORDS = CONTENT.flatMap(one => asEvents(media(one)));

describe('however chunks are mixed, repeated and cut by crashes', () => {
  it('each picture is shown once, in order of step', async () => {
    const order = fc
      .tuple(
        fc.shuffledSubarray([...RECORDS.keys()], { minLength: RECORDS.length }),
        fc.array(fc.nat({ max: RECORDS.length - 1 }), { maxLength: 5 }),
      )
      .chain(([all, again]) =>
        fc.shuffledSubarray([...all, ...again], { minLength: all.length + again.length }),
      );
    const sizes = fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 1, maxLength: 8 });
    const interruptions = fc.array(fc.constantFrom('', 'commit', 'crash'), { maxLength: 15 });
    await fc.assert(
      fc.asyncProperty(order, sizes, interruptions, async (records, batchSizes, interrupted) => {
        const between = [...interrupted];
        const b = await new Bench().start();
        try {
          const sender = new Sender();
          const batches: Batch[] = [];
          for (let at = 0, n = 0; at < records.length; n++) {
            const size = batchSizes[n % batchSizes.length]!;
            // One event sent twice is the same event, so it has the same time.
            const batch = sender.events(
              RUN,
              records.slice(at, at + size).map(i => RECORDS[i]!),
            );
            batches.push(batch);
            at += size;
          }
          let committed = 0;
          for (let i = 0; i < batches.length; i++) {
            await b.export(batches[i]!);
            if (between[i] === 'commit') {
              await b.commit();
              committed = i + 1;
            }
            if (between[i] === 'crash') {
              between[i] = '';
              await b.crash();
              i = committed - 1;
            }
          }
          await b.commit();
          // A mend that is due waits for a quiet moment; stopping does it now.
          await b.exporter.stop();
          for (const tag of ['a', 'b', 'c']) {
            expect(pictures(b, tag)).toEqual(
              CONTENT.filter(one => one.name === tag).map(one => [one.step, sha256(one.bytes!)]),
            );
          }
          // A chunk that comes again after its picture was shown and a crash is taken for one of a new content.
          if (records.length > RECORDS.length) return;
          const parts = path.join(b.folder, 'state-w1/media/r');
          expect(fs.existsSync(parts) ? fs.readdirSync(parts) : []).toEqual([]);
          expect([...b.context.counts.keys()].filter(key => key.includes('{media_'))).toEqual([]);
        } finally {
          await b.exporter.stop();
          b.remove();
        }
      }),
      { numRuns: 60 },
    );
  }, 60_000);
});
