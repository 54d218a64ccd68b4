import fs from 'node:fs';
import path from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { afterEach, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import type { Batch } from '../../../../src/collector/component.ts';
import { attributesOf, BatchMaker, SECOND, T0, type TestLog } from '../../batches.ts';
import { artifact, bytesOf, media, sha256, type TestMedia } from '../../media-events.ts';
import { Driver, type Settings } from './driver.ts';

const drivers: Driver[] = [];
afterEach(async () => {
  for (const driver of drivers.splice(0)) await driver.dispose();
});
async function started(settings: Settings = {}): Promise<{ driver: Driver; maker: BatchMaker }> {
  const driver = new Driver(settings);
  drivers.push(driver);
  await driver.start();
  return { driver, maker: new BatchMaker() };
}
const sender = { resource: { 'kymo.run.id': 'r', 'service.instance.id': 'i' } };
const MEDIA = 'logs/media.jsonl';
const ARTIFACTS = 'logs/artifacts.jsonl';
const run = (driver: Driver) => path.join(driver.runs, 'r');
const fileOf = (driver: Driver, line: Record<string, unknown>) =>
  fs.readFileSync(path.join(run(driver), line.path as string));
const partsOf = (driver: Driver) => {
  const folder = path.join(run(driver), '.store/parts');
  return fs.existsSync(folder) ? fs.readdirSync(folder) : [];
};

describe('media', () => {
  it('become a file and a line', async () => {
    const { driver, maker } = await started();
    const bytes = bytesOf(1, 100);
    const said = {
      'kymo.media.width': 8,
      'kymo.media.caption': 'a cat',
      'kymo.media.metadata': attributesOf({ a: 1 }),
      custom: 'x',
    };
    await driver.export(maker.logs(sender, media({ name: 'eval/pred', step: 12, bytes, more: said })));
    await driver.commit();
    expect(driver.lines('r', MEDIA)).toEqual([
      {
        step: 12,
        time: expect.any(Number),
        name: 'eval/pred',
        kind: 'image',
        mime: 'image/png',
        width: 8,
        caption: 'a cat',
        metadata: { a: 1 },
        attributes: { custom: 'x' },
        path: 'media/images/eval/pred_12.png',
        sha256: sha256(bytes),
        size: 100,
      },
    ]);
    expect(fileOf(driver, driver.lines('r', MEDIA)[0]!)).toEqual(Buffer.from(bytes));
    expect(fs.existsSync(path.join(run(driver), 'logs/logs.jsonl'))).toBe(false);
    expect(driver.document('r')).toMatchObject({
      totals: { media: 1 },
      files: { [MEDIA]: { bytes: expect.any(Number) } },
    });
    expect(driver.context.counted('kymo_media_events')).toBe(1);
    expect(driver.context.counted('kymo_media_bytes')).toBe(100);
  });

  it('are stored once however often they are logged, with and without bytes', async () => {
    const { driver, maker } = await started();
    const bytes = bytesOf(1, 100);
    await driver.export(
      maker.logs(sender, [
        ...media({ step: 0, bytes }),
        ...media({ step: 1, bytes }),
        ...media({ step: 2, sha: sha256(bytes) }),
        ...artifact({ name: 'pic.png', bytes }),
      ]),
    );
    await driver.commit();
    await driver.export(maker.logs(sender, media({ step: 3, sha: sha256(bytes) })));
    await driver.commit();
    const lines = driver.lines('r', MEDIA);
    expect(lines.map(line => line.path)).toEqual([0, 1, 2, 3].map(step => `media/images/pic_${step}.png`));
    const files = [...lines.map(line => line.path as string), 'artifacts/pic.png/v0/pic.png'];
    const inodes = new Set(files.map(file => fs.statSync(path.join(run(driver), file)).ino));
    expect(inodes.size).toBe(1);
  });

  it('of one name and step keep apart', async () => {
    const { driver, maker } = await started();
    await driver.export(
      maker.logs(sender, [
        ...media({ step: 1, bytes: bytesOf(1, 10) }),
        ...media({ step: 1, bytes: bytesOf(2, 10) }),
        ...media({ bytes: bytesOf(3, 10) }),
        ...media({ bytes: bytesOf(4, 10) }),
      ]),
    );
    await driver.commit();
    const lines = driver.lines('r', MEDIA);
    expect(new Set(lines.map(line => line.path)).size).toBe(4);
    lines.forEach((line, i) => {
      expect(fileOf(driver, line)).toEqual(Buffer.from(bytesOf(i + 1, 10)));
    });
  });

  it('wait for bytes that come later', async () => {
    const { driver, maker } = await started();
    const bytes = bytesOf(1, 100);
    await driver.export(maker.logs(sender, media({ step: 0, sha: sha256(bytes) })));
    await driver.commit();
    expect(driver.document('r')).toMatchObject({ media_waiting: 1 });
    await driver.exporter.stop();
    await driver.start();
    await driver.export(maker.logs(sender, media({ step: 5, bytes, chunk: 30 })));
    await driver.commit();
    expect(driver.lines('r', MEDIA).map(line => [line.step, line.path])).toEqual([
      [0, 'media/images/pic_0.png'],
      [5, 'media/images/pic_5.png'],
    ]);
    expect(driver.document('r')).not.toHaveProperty('media_waiting');
  });

  it('whose bytes are not what the hash says are left out, counted and told', async () => {
    const { driver, maker } = await started();
    const good = bytesOf(1, 100);
    const bad = Uint8Array.from(good, (byte, i) => (i === 99 ? byte ^ 1 : byte));
    await driver.export(
      maker.logs(sender, media({ step: 0, bytes: bad, sha: sha256(good) })),
      maker.logs(sender, media({ step: 1, bytes: bad, chunk: 7, sha: sha256(good) }).reverse()),
    );
    await driver.commit();
    expect(driver.lines('r', MEDIA).map(line => [line.step, line.missing, line.path])).toEqual([
      [0, 'mismatch', undefined],
      [1, 'mismatch', undefined],
    ]);
    expect(driver.lost('media_mismatch')).toBe(2);
    expect(
      driver.context.messages.filter(text => text.includes('not those that its hash names')),
    ).toHaveLength(1);
    expect(partsOf(driver)).toEqual([]);
    // The right bytes still find their place.
    await driver.export(maker.logs(sender, media({ step: 2, bytes: good, chunk: 7 })));
    await driver.commit();
    expect(fileOf(driver, driver.lines('r', MEDIA)[2]!)).toEqual(Buffer.from(good));
  });

  it('that stay incomplete are absent, and said to be', async () => {
    const { driver, maker } = await started();
    const [first, second] = media({ step: 3, bytes: bytesOf(1, 100), chunk: 40 });
    const [, alone] = media({ step: 4, bytes: bytesOf(2, 100), chunk: 40 });
    await driver.export(maker.logs(sender, [first!, second!, alone!], T0));
    await driver.commit();
    expect(driver.document('r')).toMatchObject({ media_waiting: 2 });
    expect(partsOf(driver)).toHaveLength(2);
    await driver.export(maker.logs(sender, [{ body: 'later' }], T0 + 16n * 60n * SECOND));
    await driver.commit();
    expect(driver.lines('r', MEDIA).map(line => [line.step, line.missing])).toEqual([[3, 'incomplete']]);
    expect(driver.lost('media_incomplete')).toBe(2);
    expect(partsOf(driver)).toEqual([]);
  });

  it('without bytes, hash or sense are not lost in silence', async () => {
    const { driver, maker } = await started();
    await driver.export(
      maker.logs(sender, [
        ...media({ step: 0 }),
        ...media({ step: 1, sha: 'nonsense' }),
        ...media({
          step: 2,
          bytes: bytesOf(1, 9),
          more: { 'kymo.media.chunk.count': 3, 'kymo.media.chunk.index': 3 },
        }),
      ]),
      maker.logs(sender, media({ step: 3, sha: 'a'.repeat(64) }), T0),
      maker.logs(sender, [{ body: 'later' }], T0 + 16n * 60n * SECOND),
    );
    await driver.commit();
    expect(driver.lines('r', MEDIA).map(line => [line.step, line.missing])).toEqual([
      [0, 'no_content'],
      [3, 'no_content'],
    ]);
    expect(driver.lost('media_malformed')).toBe(2);
    const [one, two] = driver.lines('r', 'logs/logs.jsonl');
    expect([one!.event, two!.event]).toEqual(['kymo.media', 'kymo.media']);
    expect(JSON.stringify([one, two])).not.toContain('base64');
  });

  it('whose chunks do not fit together are given up', async () => {
    const { driver, maker } = await started();
    const bytes = bytesOf(1, 100);
    const [a] = media({ step: 0, bytes, chunk: 40 });
    const [, b] = media({ step: 0, bytes, chunk: 30 });
    const huge = { ...b!, attributes: { ...b!.attributes, 'kymo.media.chunk.count': 50 } };
    await driver.export(maker.logs(sender, [a!, b!, huge]));
    await driver.commit();
    expect(driver.lines('r', MEDIA).map(line => line.missing)).toEqual(['irregular']);
    expect(driver.lost('media_irregular')).toBe(2);
    expect(partsOf(driver)).toEqual([]);
  });

  it('with the hostilest of names stay in their folder', async () => {
    const { driver, maker } = await started();
    const names = [
      '../../../evil',
      '/etc/passwd',
      'a/../../b',
      '.',
      '..',
      '/',
      '',
      'con',
      'a\0b',
      'a\\..\\b',
      'x'.repeat(5000),
      'd/'.repeat(200),
      'ü/日本語 🧪',
      'a',
      'a_0.png/b',
      '.store/x',
      'line\nbreak',
      '\u202egnp.exe',
      '__proto__',
    ];
    await driver.export(
      ...names.map((name, i) =>
        maker.logs(sender, [
          ...media({
            name,
            kind: i % 2 === 0 ? '../../x' : 'image',
            step: 0,
            bytes: bytesOf(i, 10),
            mime: '__proto__',
          }),
          ...artifact({ name, path: name === '' ? 'x' : name, bytes: bytesOf(i, 10) }),
        ]),
      ),
    );
    await driver.commit();
    const lines = [...driver.lines('r', MEDIA), ...driver.lines('r', ARTIFACTS)];
    expect(lines).toHaveLength(2 * names.length);
    for (const line of lines) {
      expect(line.path).toMatch(/^(media\/(images|other)|artifacts)\//);
      const real = fs.realpathSync(path.join(run(driver), line.path as string));
      expect(path.relative(fs.realpathSync(run(driver)), real)).toBe(path.normalize(line.path as string));
      expect(sha256(fs.readFileSync(real))).toBe(line.sha256);
    }
    expect(fs.readdirSync(driver.folder).sort()).toEqual(['runs', 'state']);
    expect(fs.readdirSync(driver.runs)).toEqual(['r']);
    expect(driver.lines('r', MEDIA).find(line => line.name === 'ü/日本語 🧪')!.path).toBe(
      'media/other/ü/日本語 🧪_0.bin',
    );
  });

  it('do not follow a link that stands in their place', async () => {
    const { driver, maker } = await started();
    const outside = path.join(driver.folder, 'outside');
    fs.mkdirSync(outside);
    await driver.export(maker.logs(sender, media({ step: 0, bytes: bytesOf(0, 10) })));
    await driver.commit();
    fs.rmSync(path.join(run(driver), 'media'), { recursive: true });
    fs.symlinkSync(outside, path.join(run(driver), 'media'));
    await driver.export(maker.logs(sender, media({ step: 1, bytes: bytesOf(1, 10) })));
    await driver.commit();
    expect(driver.lines('r', MEDIA)[1]!.path).toBe(`.store/${sha256(bytesOf(1, 10))}`);
    expect(fs.readdirSync(outside)).toEqual([]);
  });

  it('a store that is a link refuses the run, and nothing is written through it', async () => {
    const { driver, maker } = await started();
    const outside = path.join(driver.folder, 'outside');
    fs.mkdirSync(outside);
    fs.mkdirSync(run(driver), { recursive: true });
    fs.symlinkSync(outside, path.join(run(driver), '.store'));
    await driver.export(maker.logs(sender, media({ step: 0, bytes: bytesOf(0, 10) })));
    await driver.commit();
    expect(fs.readdirSync(outside)).toEqual([]);
    expect(driver.lost('refused_folder')).toBe(1);
  });

  it('of two writers of one run do not meet', async () => {
    const { driver, maker } = await started();
    const other = new Driver({}, { folder: driver.folder, writerId: 'writer-b' });
    await other.start();
    const bytes = bytesOf(1, 100);
    const [first, ...rest] = media({ step: 0, bytes, chunk: 30, time: T0 });
    await driver.export(maker.logs(sender, [first!]));
    await other.export(maker.logs(sender, [first!]));
    await other.export(maker.logs(sender, rest));
    await other.commit();
    await driver.export(maker.logs(sender, rest));
    await driver.commit();
    expect(driver.lines('r', MEDIA)).toHaveLength(1);
    expect(other.lines('r', 'logs/media.writer-b.jsonl')).toEqual(driver.lines('r', MEDIA));
    await other.exporter.stop();
  });

  it('are kept apart from a full table of open contents: the oldest is given up', async () => {
    const { driver, maker } = await started();
    const firsts = Array.from(
      { length: 300 },
      (_, i) => media({ step: i, bytes: bytesOf(i, 20), chunk: 10 })[0]!,
    );
    await driver.export(maker.logs(sender, firsts));
    await driver.commit();
    expect(partsOf(driver)).toHaveLength(256);
    expect(driver.lines('r', MEDIA).map(line => [line.step, line.missing])).toEqual(
      Array.from({ length: 44 }, (_, i) => [i, 'incomplete']),
    );
  });
});

describe('artifacts', () => {
  it('have versions with their files, aliases and a manifest', async () => {
    const { driver, maker } = await started();
    const file = (path: string, seed: number, time: bigint, aliases: string[] = []) =>
      artifact({
        path,
        bytes: bytesOf(seed, 50),
        chunk: 20,
        time,
        aliases,
        step: seed,
        more: { 'kymo.artifact.type': 'model' },
      });
    await driver.export(
      maker.logs(sender, [
        ...file('config.json', 1, T0, ['best']),
        ...file('weights/w 1.bin', 2, T0, ['best']),
      ]),
      maker.logs(sender, file('config.json', 3, T0 + 1n)),
      maker.logs(
        sender,
        artifact({
          more: { 'kymo.artifact.uri': 's3://bucket/model', 'kymo.artifact.best': true },
          time: T0 + 2n,
        }),
      ),
    );
    await driver.commit();
    const manifest = JSON.parse(driver.text('r', 'artifacts/model/manifest.json'));
    expect(manifest).toMatchObject({
      name: 'model',
      aliases: { latest: 2, best: 2 },
      versions: [
        {
          version: 0,
          type: 'model',
          step: 1,
          files: [
            { file: 'config.json', path: 'artifacts/model/v0/config.json', size: 50 },
            { file: 'weights/w 1.bin', path: 'artifacts/model/v0/weights/w 1.bin', size: 50 },
          ],
        },
        { version: 1, files: [{ path: 'artifacts/model/v1/config.json' }] },
        { version: 2, files: [{ uri: 's3://bucket/model' }] },
      ],
    });
    expect(fs.readFileSync(path.join(run(driver), 'artifacts/model/v0/weights/w 1.bin'))).toEqual(
      Buffer.from(bytesOf(2, 50)),
    );
    expect(driver.lines('r', ARTIFACTS).map(line => [line.version, line.file ?? line.uri])).toEqual([
      [0, 'config.json'],
      [0, 'weights/w 1.bin'],
      [1, 'config.json'],
      [2, 's3://bucket/model'],
    ]);
    expect(driver.document('r')).toMatchObject({ totals: { artifacts: 4 } });
  });

  it('keep their numbers when what was committed is read once more', async () => {
    const { driver, maker } = await started();
    const one = (i: number) =>
      maker.logs(sender, artifact({ name: 'a.bin', bytes: bytesOf(i, 9), aliases: i === 0 ? ['best'] : [] }));
    await driver.export(one(0));
    await driver.commit();
    await driver.export(one(1), one(2));
    await driver.commit({ stored: false });
    const before = driver.text('r', 'artifacts/a.bin/manifest.json');
    await driver.exporter.stop();
    await driver.start();
    await driver.export();
    await driver.commit();
    expect(driver.text('r', 'artifacts/a.bin/manifest.json')).toBe(before);
    expect(JSON.parse(before).aliases).toEqual({ latest: 2, best: 0 });
    expect(driver.lines('r', ARTIFACTS).map(line => line.path)).toEqual(
      [0, 1, 2].map(v => `artifacts/a.bin/v${v}/a.bin`),
    );
  });

  it('of any size pass through in little memory', async () => {
    const { driver, maker } = await started();
    const chunkBytes = 1 << 20;
    const count = 200;
    const chunk = (i: number) => Buffer.alloc(chunkBytes, i + 1);
    const { createHash } = await import('node:crypto');
    const hash = createHash('sha256');
    for (let i = 0; i < count; i++) hash.update(chunk(i));
    const sha = hash.digest('hex');
    const order = [...Array(count).keys()].sort((a, b) => ((a * 7) % 13) - ((b * 7) % 13));
    let most = 0;
    for (const [n, i] of order.entries()) {
      const attributes = {
        'kymo.artifact.name': 'big.bin',
        'kymo.artifact.sha256': sha,
        'kymo.artifact.size': count * chunkBytes,
        'kymo.artifact.chunk.index': i,
        'kymo.artifact.chunk.count': count,
        'kymo.artifact.content': chunk(i),
      };
      const batch = maker.logs(sender, [{ eventName: 'kymo.artifact', attributes }]);
      await driver.exporter.export(batch);
      if (n % 50 === 49) {
        await driver.exporter.commit();
        collectGarbage();
        const { arrayBuffers } = process.memoryUsage();
        most = Math.max(most, arrayBuffers);
      }
      if (n === 100) {
        const state = JSON.stringify(await driver.exporter.commit());
        expect(state.length).toBeLessThan(10_000);
        await driver.exporter.stop();
        driver.exporter = (
          await import('../../../../src/collector/exporters/jsonl/index.ts')
        ).jsonlExporter.create(driver.context, { directory: 'runs', max_open_runs: 256 });
        await driver.exporter.start(JSON.parse(state));
      }
    }
    await driver.exporter.commit();
    const [line] = driver.lines('r', ARTIFACTS);
    expect(line).toMatchObject({
      path: 'artifacts/big.bin/v0/big.bin',
      size: count * chunkBytes,
      sha256: sha,
    });
    expect(fs.statSync(path.join(run(driver), line!.path as string)).size).toBe(count * chunkBytes);
    expect(most).toBeLessThan(60 * chunkBytes);
  }, 60_000);
});

type Step =
  | { readonly kind: 'send'; readonly records: readonly number[] }
  | { readonly kind: 'commit' }
  | { readonly kind: 'crash'; readonly lost: boolean; readonly back: number };

/** What is logged: some contents come twice, some in chunks, some only by their hash. */
const CONTENT: readonly TestMedia[] = [
  { name: 'a', step: 0, bytes: bytesOf(1, 100), chunk: 30 },
  { name: 'a', step: 1, bytes: bytesOf(2, 64), chunk: 16 },
  { name: 'b/c', step: 1, bytes: bytesOf(1, 100), chunk: 30 },
  { name: 'a', step: 2, sha: sha256(bytesOf(1, 100)) },
  { name: 'a', step: 0, bytes: bytesOf(3, 5) },
  { name: 'empty', step: 0, bytes: new Uint8Array(0) },
];
const RECORDS: readonly TestLog[] = CONTENT.flatMap((one, i) => {
  const time = T0 + BigInt(i);
  return i % 2 === 0 ? media({ ...one, time }) : artifact({ ...one, time });
});

describe('however chunks are mixed, repeated and cut by crashes', () => {
  it('the same files and lines are there in the end', async () => {
    const order = fc
      .tuple(
        fc.shuffledSubarray([...RECORDS.keys()], { minLength: RECORDS.length }),
        fc.array(fc.nat({ max: RECORDS.length - 1 }), { maxLength: 6 }),
      )
      .chain(([all, again]) =>
        fc.shuffledSubarray([...all, ...again], { minLength: all.length + again.length }),
      );
    const plan = fc.tuple(
      order,
      fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 1, maxLength: 30 }),
      fc.array(
        fc.oneof(
          fc.constant<Step>({ kind: 'commit' }),
          fc.record({
            kind: fc.constant('crash' as const),
            lost: fc.boolean(),
            back: fc.constantFrom(0, 0, 1),
          }),
        ),
        { maxLength: 12 },
      ),
      fc.integer({ min: 1, max: 2 }),
    );
    await fc.assert(
      fc.asyncProperty(plan, async ([records, sizes, interruptions, maxOpenRuns]) => {
        const driver = new Driver({ max_open_runs: maxOpenRuns });
        try {
          const maker = new BatchMaker();
          await driver.start();
          const batches: Batch[] = [];
          for (let at = 0, n = 0; at < records.length; n++) {
            const size = sizes[n % sizes.length]!;
            batches.push(
              maker.logs(
                sender,
                records.slice(at, at + size).map(i => RECORDS[i]!),
              ),
            );
            at += size;
            // Another run, so that this one leaves the cursor now and then.
            if (n % 2 === 0)
              batches.push(maker.logs({ resource: { 'kymo.run.id': 'other' } }, [{ body: 'x' }]));
          }
          for (const [i, batch] of batches.entries()) {
            await driver.export(batch);
            const interruption = interruptions[i];
            if (interruption === undefined) continue;
            if (interruption.kind === 'commit') await driver.commit();
            else if (interruption.kind === 'crash') {
              if (interruption.lost) await driver.commit({ stored: false });
              await driver.exporter.stop();
              await driver.start(interruption.back);
              await driver.export();
            }
          }
          await driver.commit();
          const lines = [...driver.lines('r', MEDIA), ...driver.lines('r', ARTIFACTS)];
          expect(lines.map(line => [line.name, line.step, line.sha256, line.missing]).sort()).toEqual(
            CONTENT.map(one => [one.name, one.step, one.sha ?? sha256(one.bytes!), undefined]).sort(),
          );
          for (const line of lines) expect(sha256(fileOf(driver, line))).toBe(line.sha256);
          expect(new Set(lines.map(line => line.path)).size).toBe(CONTENT.length);
          const store = fs.readdirSync(path.join(run(driver), '.store')).filter(name => name !== 'parts');
          expect(store.sort()).toEqual([...new Set(lines.map(line => line.sha256 as string))].sort());
          const totals = (driver.document('r') as unknown as { totals: Record<string, number> }).totals;
          expect([totals.media, totals.artifacts]).toEqual([3, 3]);
        } finally {
          await driver.dispose();
        }
      }),
      { numRuns: 60 },
    );
  }, 60_000);
});

/** Memory is judged by what is held, not by when the collector of garbage happens to come. */
function collectGarbage(): void {
  setFlagsFromString('--expose-gc');
  (runInNewContext('gc') as () => void)();
}
