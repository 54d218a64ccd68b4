import fs from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import type { AnyValue } from '../../../../src/otlp/model.ts';
import { attributesOf, BatchMaker } from '../../batches.ts';
import { Driver } from './driver.ts';

let driver: Driver;
let maker: BatchMaker;
beforeEach(async () => {
  driver = new Driver();
  maker = new BatchMaker();
  await driver.start();
});
afterEach(() => driver.dispose());

const SENDER = { resource: { 'kymo.run.id': 'r', 'service.instance.id': 'i' } };
const told = (text: string) => driver.context.messages.filter(message => message.includes(text));
const send = (eventName: string, values: Readonly<Record<string, AnyValue>>) =>
  maker.logs(SENDER, [{ eventName, attributes: { [eventName]: attributesOf(values) } }]);

describe('what is too large for a document', () => {
  it('stays in logs.jsonl, is said once, and counted', async () => {
    const large = 'x'.repeat(5 * 1024 * 1024);
    await driver.export(
      send('kymo.run.config', { lr: 1 }),
      send('kymo.run.config', { large }),
      send('kymo.run.config', { large }),
      send('kymo.run.summary', { best: 1 }),
      send('kymo.run.summary', { large: large.slice(0, 100_000) }),
    );
    await driver.commit();
    expect(JSON.parse(driver.text('r', 'config.json'))).toEqual({ lr: 1 });
    expect(driver.document('r').summary).toEqual({ best: 1 });
    expect(driver.lost('config_too_large')).toBe(2);
    expect(driver.lost('summary_too_large')).toBe(1);
    expect(told('is too large for')).toHaveLength(1);
    expect(driver.lines('r', 'logs/logs.jsonl')).toHaveLength(5);
  });
});

it('a config.json that somebody broke is written anew', async () => {
  fs.mkdirSync(path.join(driver.runs, 'r'));
  fs.writeFileSync(path.join(driver.runs, 'r', 'config.json'), '{"lr": ');
  await driver.export(send('kymo.run.config', { lr: 1 }));
  await driver.commit();
  expect(JSON.parse(driver.text('r', 'config.json'))).toEqual({ lr: 1 });
  expect(told('is no JSON')).toHaveLength(1);
});

it('a run whose folder became a link while nobody looked is refused, and goes on later without a loss', async () => {
  const row = (a: number) => maker.rows(SENDER, [{ values: { a }, step: a }]);
  const folder = path.join(driver.runs, 'r');
  await driver.export(row(1), row(2));
  await driver.commit();
  await driver.exporter.stop();
  fs.renameSync(folder, path.join(driver.folder, 'moved'));
  fs.symlinkSync(path.join(driver.folder, 'moved'), folder);
  await driver.start();
  await driver.export(row(3));
  await driver.commit();
  expect(driver.openRuns).toEqual([]);
  expect(driver.lost('refused_folder')).toBe(1);
  await driver.exporter.stop();
  fs.rmSync(folder);
  fs.renameSync(path.join(driver.folder, 'moved'), folder);
  await driver.start();
  await driver.export(row(4));
  await driver.commit();
  expect(driver.lines('r').map(line => line.a)).toEqual([1, 2, 4]);
  expect(driver.document('r').totals).toMatchObject({ rows: 3 });
});

it('many metrics: all in the lines, the first of them in run.json', async () => {
  const values = Object.fromEntries(Array.from({ length: 12_000 }, (_, i) => [`m${i}`, i]));
  await driver.export(maker.rows(SENDER, [{ values, step: 0 }]), maker.rows(SENDER, [{ values, step: 1 }]));
  await driver.commit();
  expect(Object.keys(driver.lines('r')[1]!)).toHaveLength(12_002);
  expect(Object.keys(driver.document('r').metrics ?? {})).toHaveLength(500);
  expect(driver.document('r').points_of_other_metrics).toBe(23_000);
});

it('a row of thousands of points with one name is written in linear time', async () => {
  const values = Array.from({ length: 20_000 }, (_, i) => ['same', i] as const);
  const batch = maker.rows(SENDER, [{ values, step: 0 }]);
  const start = performance.now();
  await driver.export(batch);
  expect(performance.now() - start).toBeLessThan(2_000);
  await driver.commit();
  expect(driver.lines('r').map(line => line.same)).toEqual(values.map(([, value]) => value));
});

it('a state of another format is refused with a way out', async () => {
  await driver.exporter.stop();
  await expect(driver.exporter.start({ runs: [{ format: 99 }] })).rejects.toThrow(
    /has format 99, this Kymo reads format 1/,
  );
});
