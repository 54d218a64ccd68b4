import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import type { Batch, CommittedState, Exporter } from '../../../../src/collector/component.ts';
import { textCell } from '../../../../src/collector/exporters/csv/cells.ts';
import { LEFT_OUT_METRIC } from '../../../../src/collector/exporters/csv/exporter.ts';
import { csvExporter } from '../../../../src/collector/exporters/csv/index.ts';
import { BatchMaker, T0, type TestContext, testContext } from '../../batches.ts';
import { readCsv } from './read-csv.ts';

const HEADER = 'time,step,scope,mode,metric,value\r\n';
let folder: string;
let maker: BatchMaker;
beforeEach(() => {
  folder = fs.realpathSync(fs.mkdtempSync(path.join(os.tmpdir(), 'kymo-csv-')));
  maker = new BatchMaker();
});
afterEach(() => fs.rmSync(folder, { recursive: true, force: true }));

class Life {
  readonly context: TestContext;
  readonly exporter: Exporter;
  constructor(id = 'csv', writerId = 'w1') {
    this.context = testContext(
      { baseDirectory: folder, stateDirectory: path.join(folder, 'state', id, writerId) },
      { id, writerId },
    );
    this.exporter = csvExporter.create(this.context, csvExporter.config.parse({}));
  }
  static async started(state?: CommittedState, id?: string, writerId?: string): Promise<Life> {
    const life = new Life(id, writerId);
    await life.exporter.start(state === undefined ? undefined : JSON.parse(JSON.stringify(state)));
    return life;
  }
  async write(...batches: readonly Batch[]): Promise<CommittedState> {
    for (const batch of batches) await this.exporter.export(batch);
    return this.exporter.commit();
  }
}
const sender = (run = 'r', more = {}) => ({ resource: { 'kymo.run.id': run, ...more } });
const text = (run = 'r', file = 'metrics.csv') =>
  fs.readFileSync(path.join(folder, 'runs', run, 'logs', file), 'utf8');
const row = (value: number, name = 'loss') =>
  maker.rows(sender(), [{ values: { [name]: value }, step: value }]);

describe('the table', () => {
  it('has a line for each value: time, step, scope, mode, metric, value', async () => {
    const life = await Life.started();
    await life.write(
      maker.rows(sender(), [
        { values: { 'train/loss': 0.5, big: 2n ** 60n }, step: 3, timeUnixNano: T0 + 123_456_789n },
        { values: { 'eval/acc': Number.NaN, acc: -0 }, step: 4, attributes: { layer: 2 } },
      ]),
      maker.rows({ ...sender(), scopeAttributes: { 'kymo.scope': 'env.inner' } }, [
        { values: { reward: Number.NEGATIVE_INFINITY }, attributes: { 'kymo.mode': 'eval' } },
        { values: { reward: 2 }, attributes: { 'kymo.mode': 'eval' } },
      ]),
      maker.rows(sender('r', { 'kymo.rank': 3, 'service.instance.id': 'other' }), [
        { values: { loss: 1 }, step: 5 },
      ]),
    );
    expect(text()).toBe(
      [
        'time,step,scope,mode,metric,value',
        '1795262400.123456,3,global,train,train/loss,0.5',
        '1795262400.123456,3,global,train,big,1152921504606846976',
        '1795262401.123456,4,global,eval,eval/acc/layer=2,NaN',
        '1795262401.123456,4,global,train,acc/layer=2,-0',
        '1795262403.123456,0,env.inner,eval,eval/reward,-Infinity',
        '1795262404.123456,1,env.inner,eval,eval/reward,2',
        '1795262406.123456,5,global,train,loss/rank=3,1',
        '',
      ].join('\r\n'),
    );
  });

  it('takes rows that come as events, and counts the histograms that it leaves out', async () => {
    const life = await Life.started();
    await life.write(
      maker.logs(sender(), [
        { eventName: 'kymo.row', attributes: { 'kymo.step': 2, 'kymo.row.values': { a: 1.5 } } },
        { body: 'only text' },
      ]),
      maker.histograms(sender(), [{ name: 'w', bounds: [0], counts: [1, 2] }]),
    );
    expect(
      readCsv(text())
        .slice(1)
        .map(cells => cells.slice(1)),
    ).toEqual([['2', 'global', 'train', 'a', '1.5']]);
    expect(life.context.counted(LEFT_OUT_METRIC, { reason: 'histogram' })).toBe(1);
  });

  it('is changed by no metric that appears later', async () => {
    const life = await Life.started();
    await life.write(row(1));
    const before = text();
    await life.write(row(2, 'late'), row(3, 'later, with "quotes"'));
    expect(text().startsWith(before)).toBe(true);
    expect(readCsv(text()).map(cells => cells[4])).toEqual([
      'metric',
      'loss',
      'late',
      'later, with "quotes"',
    ]);
  });

  it('reads back as what was written, whatever names hold', async () => {
    const life = await Life.started();
    const names = fc.sample(fc.string({ unit: 'binary', maxLength: 20 }), 200);
    const hostile = [
      '=cmd|1',
      '+1',
      '-1',
      '@x',
      "'quoted",
      '"',
      'a,b',
      'a\r\nb',
      '\t=1',
      '\uff1dx',
      '',
      ' =1',
    ];
    await life.write(...[...names, ...hostile].map((name, i) => row(i, name)));
    const lines = readCsv(text());
    expect(lines).toHaveLength(names.length + hostile.length + 1);
    expect(new Set(lines.map(cells => cells.length))).toEqual(new Set([6]));
    expect(lines.slice(1).map(cells => Number(cells[5]))).toEqual([...names, ...hostile].map((_, i) => i));
  });
});

describe('a cell', () => {
  it('never begins as a formula, never holds a control character, and gives its text back', () => {
    fc.assert(
      fc.property(
        fc.string({ unit: 'grapheme' }),
        fc.constantFrom('', '=', '+', '-', '@', '\t', "'", '＝'),
        (rest, first) => {
          const written = first + rest;
          const [[cell]] = readCsv(`${textCell(written)}\r\n`) as [[string]];
          expect(cell).not.toMatch(/^[=+\-@\t\r\n＋－＝＠]/);
          expect(cell).not.toMatch(/[\u0000-\u001f\u007f-\u009f]/);
          if (!/[\u0000-\u001f\u007f-\u009f\u2028\u2029]/.test(written))
            expect(cell.replace(/^'/, '')).toBe(written);
        },
      ),
    );
  });
});

describe('its file', () => {
  it('begins with one header however often the exporter is started', async () => {
    let state = await (await Life.started()).write(row(1));
    for (const value of [2, 3]) {
      const life = await Life.started(state);
      state = await life.write(row(value));
      life.exporter.stop();
    }
    expect(text().split(HEADER)).toHaveLength(2);
    expect(
      readCsv(text())
        .slice(1)
        .map(cells => cells[5]),
    ).toEqual(['1', '2', '3']);
  });

  it('is cut back to the commit, also where half a line and half a header are behind it', async () => {
    const first = await Life.started();
    const start = await first.exporter.commit();
    const one = row(1);
    await first.write(one);
    first.exporter.stop();
    fs.appendFileSync(path.join(folder, 'runs/r/logs/metrics.csv'), '17952,2,glo');
    const second = await Life.started(start);
    const state = await second.write(one);
    expect(readCsv(text())).toHaveLength(2);
    second.exporter.stop();
    fs.appendFileSync(path.join(folder, 'runs/r/logs/metrics.csv'), 'torn');
    await (await Life.started(state)).write(row(2));
    expect(readCsv(text()).map(cells => cells[5])).toEqual(['value', '1', '2']);
  });

  it('gets its header again when it was removed while the run goes on, which is counted', async () => {
    const life = await Life.started();
    await life.write(row(1));
    const size = text().length;
    fs.rmSync(path.join(folder, 'runs'), { recursive: true });
    await life.write(row(2));
    expect(text().startsWith(HEADER)).toBe(true);
    expect(readCsv(text()).map(cells => cells[5])).toEqual(['value', '2']);
    expect(life.context.counted(LEFT_OUT_METRIC, { reason: 'file_removed' })).toBe(size);
  });

  it('of somebody else is left alone: a second writer and a second exporter have their own', async () => {
    const place = path.join(folder, 'runs/r/logs');
    fs.mkdirSync(place, { recursive: true });
    fs.writeFileSync(path.join(place, 'metrics.csv'), 'my,own\r\n');
    await (await Life.started(undefined, 'csv', 'w1')).write(row(1));
    await (await Life.started(undefined, 'csv', 'w2')).write(row(2));
    await (await Life.started(undefined, 'csv/two', 'w2')).write(row(3));
    expect(text()).toBe('my,own\r\n');
    expect(readCsv(text('r', 'metrics.w1.csv')).at(-1)!.at(-1)).toBe('1');
    expect(readCsv(text('r', 'metrics.w2.csv')).at(-1)!.at(-1)).toBe('2');
    expect(readCsv(text('r', 'metrics.w2-two.csv')).at(-1)!.at(-1)).toBe('3');
  });

  it('is kept as a copy where the cursor was lost', async () => {
    const life = await Life.started();
    await life.write(row(1));
    const before = text();
    life.exporter.stop();
    await (await Life.started()).write(row(2));
    expect(text('r', 'metrics.csv.old')).toBe(before);
    expect(readCsv(text()).map(cells => cells[5])).toEqual(['value', '2']);
  });

  it('is not written through a symbolic link; other runs are', async () => {
    fs.mkdirSync(path.join(folder, 'runs'));
    fs.mkdirSync(path.join(folder, 'elsewhere'));
    fs.symlinkSync(path.join(folder, 'elsewhere'), path.join(folder, 'runs/r'));
    const life = await Life.started();
    await life.write(row(1), maker.rows(sender('other'), [{ values: { a: 1 } }]));
    expect(fs.readdirSync(path.join(folder, 'elsewhere'))).toEqual([]);
    expect(readCsv(text('other'))).toHaveLength(2);
    expect(life.context.counted(LEFT_OUT_METRIC, { reason: 'refused_folder' })).toBe(1);
  });
});
