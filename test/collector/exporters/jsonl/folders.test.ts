import { execFileSync, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterEach, describe, expect, it } from '@jest/globals';
import { createResolver } from '../../../../src/collector/runs/resolve.ts';
import { onSmallDisk } from '../../../small-disk.ts';
import { BatchMaker } from '../../batches.ts';
import { contentOf, Driver } from './driver.ts';

const drivers: Driver[] = [];
afterEach(async () => {
  for (const driver of drivers.splice(0)) await driver.dispose();
});
async function started(...of: ConstructorParameters<typeof Driver>): Promise<Driver> {
  const driver = new Driver(...of);
  drivers.push(driver);
  await driver.start();
  return driver;
}
const sender = (run: string) => ({ resource: { 'kymo.run.id': run } });
const row = (maker: BatchMaker, run: string, a: number) =>
  maker.rows(sender(run), [{ values: { a }, step: a }]);

describe('run ids', () => {
  it('never lead out of the directory, and never share a folder', async () => {
    const ids = [
      '..',
      '.',
      '../x',
      '/etc/x',
      'a/b',
      'a~002fb',
      'a\\b',
      'con',
      '-rf',
      '__proto__',
      'é',
      'e\u0301',
      '~',
      'a\0b',
      '.git',
      'x'.repeat(3000),
      `${'x'.repeat(3000)}y`,
    ];
    const driver = await started({ directory: 'deep/runs' });
    const maker = new BatchMaker();
    await driver.export(...ids.map((id, i) => row(maker, id, i)));
    await driver.commit();
    expect(fs.readdirSync(driver.runs)).toHaveLength(ids.length);
    const names = Object.keys(contentOf(driver.folder)).map(name => name.split(path.sep)[0]);
    expect(new Set(names)).toEqual(new Set(['deep', 'state']));
    const found = fs.readdirSync(driver.runs).map(folder => String(driver.document(folder).id));
    expect(new Set(found).size).toBe(ids.length);
    for (const folder of fs.readdirSync(driver.runs)) expect(driver.lines(folder)).toHaveLength(1);
  });

  it('that differ only in case do not collide, also where file names ignore case', async () => {
    const driver = await started();
    const maker = new BatchMaker(createResolver({ caseSensitive: false }));
    await driver.export(row(maker, 'Run', 1), row(maker, 'run', 2), row(maker, 'RUN', 3));
    await driver.commit();
    const folders = fs.readdirSync(driver.runs);
    expect(new Set(folders.map(name => name.toLowerCase())).size).toBe(3);
    for (const folder of folders) expect(driver.lines(folder)).toHaveLength(1);
  });
});

describe('many runs', () => {
  it('300 of them with 8 open: few descriptors, a small cursor, all lines there', async () => {
    const driver = await started({ max_open_runs: 8 });
    const maker = new BatchMaker();
    for (let round = 0; round < 3; round++) {
      for (let i = 0; i < 300; i++) {
        await driver.export(row(maker, `run-${i}`, round));
        if (i % 100 === 50) await driver.commit();
        if (process.platform === 'linux' && i % 50 === 0)
          expect(openFilesBelow(driver.runs)).toBeLessThanOrEqual(8);
      }
      await driver.commit();
      expect(driver.openRuns).toHaveLength(8);
      // A crash in between changes nothing.
      await driver.exporter.stop();
      await driver.start();
    }
    expect(fs.readdirSync(driver.runs)).toHaveLength(300);
    for (let i = 0; i < 300; i++) {
      expect(driver.lines(`run-${i}`).map(line => line.a)).toEqual([0, 1, 2]);
      expect(driver.document(`run-${i}`).totals).toMatchObject({ rows: 3, points: 3 });
    }
  }, 30_000);
});

/** How many descriptors of this process are files below a folder. */
function openFilesBelow(folder: string): number {
  let open = 0;
  for (const fd of fs.readdirSync('/proc/self/fd')) {
    try {
      if (fs.readlinkSync(`/proc/self/fd/${fd}`).startsWith(folder)) open++;
    } catch {
      // Closed since it was listed.
    }
  }
  return open;
}

describe('a run folder that is removed between two collectors', () => {
  it('stays away, without a word, until the run is written again', async () => {
    const driver = await started();
    const maker = new BatchMaker();
    await driver.export(row(maker, 'gone', 1), row(maker, 'kept', 1));
    await driver.commit();
    fs.rmSync(path.join(driver.runs, 'gone'), { recursive: true });
    await driver.start();
    await driver.export(row(maker, 'kept', 2));
    await driver.commit();
    expect(fs.readdirSync(driver.runs)).toEqual(['kept']);
    expect(driver.lines('kept')).toHaveLength(2);
    await driver.export(row(maker, 'gone', 2));
    await driver.commit();
    expect(driver.lines('gone').map(line => line.step)).toEqual([2]);
  });
});

describe('a run folder that is removed while the run goes on', () => {
  it('is made again, said once, and counted', async () => {
    const driver = await started();
    const maker = new BatchMaker();
    await driver.export(row(maker, 'r', 1), maker.logs(sender('r'), [{ body: 'x' }]));
    await driver.commit();
    const bytes = fs.statSync(path.join(driver.runs, 'r/logs/metrics.jsonl')).size;
    fs.rmSync(path.join(driver.runs, 'r'), { recursive: true });
    await driver.export(row(maker, 'r', 2), maker.logs(sender('r'), [{ body: 'y' }]));
    await driver.commit();
    await driver.export(row(maker, 'r', 3));
    await driver.commit();
    expect(driver.lines('r').map(line => line.a)).toEqual([2, 3]);
    expect(driver.context.messages.filter(text => text.includes('was removed'))).toHaveLength(1);
    expect(driver.lost('file_removed')).toBeGreaterThan(bytes);
    expect(driver.document('r').files).toMatchObject({ 'logs/metrics.jsonl': { missing_bytes: bytes } });
    await driver.exporter.stop();
    await driver.start();
    expect(driver.lines('r').map(line => line.a)).toEqual([2, 3]);
  });

  it('is made again when it was moved away: nothing is written to where it is now', async () => {
    const driver = await started();
    const maker = new BatchMaker();
    await driver.export(row(maker, 'r', 1));
    await driver.commit();
    fs.renameSync(path.join(driver.runs, 'r'), path.join(driver.runs, 'kept'));
    await driver.export(row(maker, 'r', 2));
    await driver.commit();
    expect(driver.lines('kept').map(line => line.a)).toEqual([1]);
    expect(driver.lines('r').map(line => line.a)).toEqual([2]);
  });

  it('also all of them, with their directory', async () => {
    const driver = await started();
    const maker = new BatchMaker();
    await driver.export(row(maker, 'r', 1));
    await driver.commit();
    fs.rmSync(driver.runs, { recursive: true });
    await driver.export(row(maker, 'r', 2), row(maker, 's', 1));
    await driver.commit();
    expect(driver.lines('r')).toHaveLength(1);
    expect(driver.lines('s')).toHaveLength(1);
  });
});

describe('a symbolic link', () => {
  it('in place of a run folder is refused, counted, and keeps no other run from being written', async () => {
    const driver = await started();
    const outside = path.join(driver.folder, 'outside');
    fs.mkdirSync(outside);
    fs.symlinkSync(outside, path.join(driver.runs, 'r'));
    const maker = new BatchMaker();
    await driver.export(
      row(maker, 'r', 1),
      row(maker, 's', 1),
      row(maker, 'r', 2),
      maker.logs(sender('r'), [{ body: 'x' }]),
    );
    await driver.commit();
    expect(fs.readdirSync(outside)).toEqual([]);
    expect(driver.lines('s')).toHaveLength(1);
    expect(driver.lost('refused_folder')).toBe(3);
    const told = driver.context.messages.filter(text => text.includes('symbolic link'));
    expect(told).toHaveLength(1);
    expect(told[0]).toContain(path.join(driver.runs, 'r'));
  });

  it('in place of its logs folder or a file, while it is written', async () => {
    for (const link of ['logs', 'logs/metrics.jsonl']) {
      const driver = await started();
      const outside = path.join(driver.folder, 'outside');
      const maker = new BatchMaker();
      await driver.export(row(maker, 'r', 1));
      await driver.commit();
      fs.renameSync(path.join(driver.runs, 'r', link), outside);
      fs.symlinkSync(outside, path.join(driver.runs, 'r', link));
      const before = fs.statSync(outside).isDirectory()
        ? contentOf(outside)
        : fs.readFileSync(outside, 'utf8');
      await driver.export(row(maker, 'r', 2), row(maker, 's', 2)).catch(() => {});
      await expect(driver.commit()).rejects.toThrow(/symbolic link/);
      // As the runner does: a new instance from the last cursor.
      await driver.start();
      await driver.export(row(maker, 's', 3));
      await driver.commit();
      expect(driver.lines('s').map(line => line.a)).toEqual([2, 3]);
      expect(
        fs.statSync(outside).isDirectory() ? contentOf(outside) : fs.readFileSync(outside, 'utf8'),
      ).toEqual(before);
      expect(driver.lost('refused_folder')).toBe(1);
    }
  });
});

describe('two writers of one run', () => {
  it('each have files of their own', async () => {
    const a = await started({}, { writerId: 'host-a' });
    const b = new Driver({}, { folder: a.folder, writerId: 'host-b' });
    await b.start();
    const makers = new Map([a, b].map(driver => [driver, new BatchMaker()]));
    for (const [driver, value] of [
      [a, 1],
      [b, 2],
      [a, 3],
      [b, 4],
    ] as const) {
      await driver.export(row(makers.get(driver)!, 'r', value));
      await driver.commit();
    }
    expect(a.lines('r').map(line => line.a)).toEqual([1, 3]);
    expect(b.lines('r', 'logs/metrics.host-b.jsonl').map(line => line.a)).toEqual([2, 4]);
    expect(a.document('r')).toMatchObject({ writer: 'host-a', totals: { rows: 2 } });
    expect(JSON.parse(b.text('r', 'run.host-b.json'))).toMatchObject({
      writer: 'host-b',
      totals: { rows: 2 },
    });
    await b.exporter.stop();
  });
});

describe('a full disk', () => {
  /** Writes rows until something is thrown, and prints that. The process may not make files larger than `ulimit -f` says. */
  const CHILD = `
    process.on('SIGXFSZ', () => {});
    const { Driver } = await import(process.argv[1]);
    const { BatchMaker } = await import(process.argv[2]);
    const driver = new Driver({}, { folder: process.argv[3] });
    await driver.start();
    const maker = new BatchMaker();
    const batch = n => maker.rows({ resource: { 'kymo.run.id': 'r' } },
      Array.from({ length: 200 }, (_, i) => ({ values: { a: 1, b: 0.5 }, step: n * 200 + i })));
    try {
      for (let n = 0; n < 100; n++) {
        await driver.export(batch(n));
        await driver.commit();
      }
      console.log(JSON.stringify({ error: 'none' }));
    } catch (error) {
      let again;
      await driver.start();
      try { await driver.export(); await driver.commit(); } catch (second) { again = second; }
      console.log(JSON.stringify({ name: error.name, message: error.message, again: again?.name }));
    }
  `;

  it('is a retryable error that names file and reason, and cuts nothing that was committed', async () => {
    if (process.platform === 'win32') return;
    const driver = await started();
    const url = (name: string) => pathToFileURL(path.join(import.meta.dirname, name)).href;
    const result = spawnSync(
      'bash',
      [
        '-c',
        'ulimit -f 64; exec "$0" "$@"',
        process.execPath,
        '--input-type=module',
        '-e',
        CHILD,
        url('driver.ts'),
        url('../../batches.ts'),
        driver.folder,
      ],
      { encoding: 'utf8' },
    );
    expect(result.stderr).toBe('');
    const file = path.join(driver.runs, 'r/logs/metrics.jsonl');
    expect(JSON.parse(result.stdout)).toEqual({
      name: 'RetryableError',
      message: expect.stringMatching(/^cannot write .*metrics\.jsonl: EFBIG/),
      again: 'RetryableError',
    });
    expect(result.stdout).toContain(file);
    const document = driver.document('r') as unknown as {
      totals: { rows: number };
      files: Record<string, { bytes: number }>;
    };
    const committed = fs
      .readFileSync(file)
      .subarray(0, document.files['logs/metrics.jsonl']!.bytes)
      .toString();
    expect(committed.trimEnd().split('\n')).toHaveLength(document.totals.rows);
    expect(document.totals.rows).toBeGreaterThan(0);
  }, 20_000);

  it('says so when the directory is a file', async () => {
    const driver = new Driver();
    drivers.push(driver);
    fs.writeFileSync(path.join(driver.folder, 'runs'), '');
    await expect(driver.start()).rejects.toThrow(`${path.join(driver.folder, 'runs')}: is not a folder`);
  });

  onSmallDisk('real ENOSPC', async () => {
    const driver = await started();
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=256k', 'tmpfs', driver.runs], { stdio: 'ignore' });
    try {
      const maker = new BatchMaker();
      const big = (n: number) => maker.logs(sender('r'), [{ body: String(n).repeat(30_000) }]);
      let error: unknown;
      for (let n = 1; n < 10 && error === undefined; n++) {
        error = await driver
          .export(big(n))
          .then(() => driver.commit())
          .catch((thrown: unknown) => thrown);
      }
      expect(error).toMatchObject({ name: 'RetryableError', message: expect.stringContaining('ENOSPC') });
      // Room again: everything that was journaled gets there, once.
      execFileSync('mount', ['-o', 'remount,size=4m', driver.runs]);
      await driver.start();
      await driver.export();
      await driver.commit();
      const bodies = driver.lines('r', 'logs/logs.jsonl').map(line => String(line.message)[0]);
      expect(bodies).toEqual(driver.journal.map((_, i) => String(i + 1)));
      expect(driver.document('r').totals).toMatchObject({ logs: bodies.length });
    } finally {
      await driver.exporter.stop();
      execFileSync('umount', [driver.runs]);
    }
  });
});
