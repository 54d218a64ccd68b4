// Tables that Python reads, and files by Python that become runs.
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, it } from '@jest/globals';
import { writeRuns } from '../../cli/run-folders.ts';
import { BatchMaker } from '../../collector/batches.ts';
import { describeWithPeers } from '../peers.ts';
import { run, temporaryFolder } from '../programs.ts';

const KYMO = fileURLToPath(new URL('../../../src/cli/kymo.ts', import.meta.url));
const script = (name: string) => fileURLToPath(new URL(name, import.meta.url));
type Row = Readonly<Record<string, unknown>>;

describeWithPeers('tables', ['tables'], python => {
  let folder: string;
  beforeEach(() => {
    folder = fs.realpathSync(temporaryFolder());
    fs.writeFileSync(path.join(folder, 'package.json'), '{}');
  });
  afterEach(() => fs.rmSync(folder, { recursive: true, force: true, maxRetries: 5 }));
  const kymo = (...args: string[]) =>
    run(process.execPath, [KYMO, ...args], {
      KYMO_DIR: folder,
      KYMO_EXPORTERS: 'jsonl',
      KYMO_COLLECTOR_LINGER_MS: '0',
    });
  const read = async (kind: 'parquet' | 'csv', file: string) =>
    JSON.parse(await run(python!, [script('read.py'), kind, file])) as {
      readonly types: Readonly<Record<string, string>>;
      readonly rows: readonly Row[];
    };
  const rowsOf = (id: string): Row[] =>
    fs
      .readFileSync(path.join(folder, 'runs', id, 'logs/metrics.jsonl'), 'utf8')
      .trimEnd()
      .split('\n')
      .map(line => JSON.parse(line) as Row);

  it('CSV and Parquet, long and wide, hold every value with its type', async () => {
    const sender = { resource: { 'kymo.run.id': 'r' } };
    const names = ['loss', 'ünïcode, "quoted"', '=1+1', '列車'];
    const count = 2_500;
    const values = (step: number): Record<string, number> => ({
      loss: 1 / (step + 1),
      ...(step % 3 === 0 ? { [names[1]!]: step } : {}),
      ...(step > 2_000
        ? { [names[2]!]: -step / 7, [names[3]!]: step === 2_001 ? Number.NaN : Infinity }
        : {}),
    });
    await writeRuns(folder, [
      new BatchMaker().rows(
        sender,
        Array.from({ length: count }, (_, step) => ({ values: values(step), step })),
      ),
    ]);
    const shown = (value: number | undefined) =>
      value === undefined ? null : Number.isNaN(value) ? 'nan' : value === Infinity ? 'inf' : value;
    const wide = Array.from({ length: count }, (_, step) => ({
      step,
      ...Object.fromEntries(names.map(name => [name, shown(values(step)[name])])),
    }));
    const long = wide.flatMap(({ step, ...rest }) =>
      Object.entries(rest)
        .filter(([, value]) => value !== null)
        .map(([metric, value]) => ({ step, scope: 'global', mode: 'train', metric, value })),
    );
    for (const shape of ['wide', 'long']) {
      for (const kind of ['csv', 'parquet'] as const) {
        const file = path.join(folder, `${shape}.${kind}`);
        await kymo('export', 'r', `--${shape}`, '--output', file);
        const { types, rows } = await read(kind, file);
        const own = rows.map(({ time: _, ...row }) =>
          Object.fromEntries(
            Object.entries(row).map(([key, value]) =>
              kind === 'csv'
                ? [key.replace(/^'/, ''), typeof value === 'string' ? value.replace(/^'/, '') : value]
                : [key, value],
            ),
          ),
        );
        expect(own).toEqual(shape === 'wide' ? wide : long);
        expect(types).toMatchObject({ time: 'double', step: 'int64' });
        if (kind === 'parquet' && shape === 'wide')
          expect(types).toMatchObject({ loss: 'double', [names[2]!]: 'double' });
      }
      expect((await read('csv', path.join(folder, 'runs/r/logs/metrics.csv'))).rows).toHaveLength(
        long.length,
      );
    }
  });

  it("event files of tensorboardX and lines of Python's json become runs", async () => {
    const histogram = JSON.parse(await run(python!, [script('write.py'), folder])) as Row;
    await kymo('import', path.join(folder, 'events'), path.join(folder, 'ppo_20250101_000000'));
    const events = rowsOf('events');
    expect(events.filter(row => 'train/loss' in row).slice(0, 1000)).toEqual(
      Array.from({ length: 1000 }, (_, step) => ({
        step,
        time: 1_700_000_000 + step / 8,
        'train/loss': Math.fround(1 / (step + 1)),
      })),
    );
    expect(events).toContainEqual({ step: 1000, time: 1_700_000_200, 'train/loss': 'NaN' });
    const weights = events.find(row => row.histogram === 'weights')!;
    expect(weights).toMatchObject({ step: 7, count: histogram.count, min: -1, max: 3 });
    expect(weights.sum).toBeCloseTo(histogram.sum as number, 6);
    const logs = fs.readFileSync(path.join(folder, 'runs/events/logs/logs.jsonl'), 'utf8');
    expect(logs).toContain('"message":"hello from tensorboardX"');
    const vibe = rowsOf('ppo_20250101_000000');
    expect(vibe.map(row => [row.step, row.loss])).toEqual([
      [0, 0.5],
      [1, 'NaN'],
      [2, 0.5 / 3],
    ]);
    expect((vibe[2]!.time as number) - (vibe[0]!.time as number)).toBeCloseTo(0.5, 5);
  });
});
