import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { jsonlExporter } from '../../../../src/collector/exporters/jsonl/index.ts';
import { attributesOf, BatchMaker, SECOND, T0 } from '../../batches.ts';
import { Driver } from './driver.ts';

const RESOURCE = { 'service.name': 'cartpole', 'service.instance.id': 'i1', 'kymo.run.id': 'r' };
const SENDER = { resource: RESOURCE, scope: 'trainer' };
const TRACE = { traceId: '0af7651916cd43dd8448eb211c80319c', spanId: 'b7ad6b7169203331' };
const TRACE_JSON = `"trace_id":"${TRACE.traceId}","span_id":"${TRACE.spanId}"`;

let driver: Driver;
let maker: BatchMaker;
beforeEach(async () => {
  driver = new Driver();
  maker = new BatchMaker();
  await driver.start();
});
afterEach(() => driver.dispose());

/** The lines of a file, without the line feeds. */
function linesOf(file: string): string[] {
  const text = driver.text('r', file);
  expect(text.endsWith('\n')).toBe(true);
  return text.slice(0, -1).split('\n');
}

describe('logs/metrics.jsonl', () => {
  it('has one line for each row, with what is not the default', async () => {
    const other = { ...RESOURCE, 'service.instance.id': 'i2', 'kymo.rank': 1, 'kymo.run.attempt': 2 };
    await driver.export(
      maker.rows(SENDER, [
        { values: { 'train/loss': 0.5, 'lr ü\n"': 1e-4 }, step: 0, timeUnixNano: T0 + 123_456_789n },
        { values: { 'eval/acc': 1, 'eval/f1': 0 }, step: 0 },
        { values: { loss: 0.25, 'eval/acc': 0.5 }, step: 1 },
        { values: { loss: 1 }, step: 2, ...TRACE, axes: { epoch: 3, 'kymo.time': 1.5 } },
        { values: { loss: 1 }, step: 3, attributes: { layer: 2, 'kymo.mode': 'test' } },
      ]),
      maker.rows({ resource: other, scopeAttributes: { 'kymo.scope': 'env' } }, [
        { values: { loss: 2 }, step: 1.5 },
      ]),
    );
    await driver.commit();
    expect(linesOf('logs/metrics.jsonl')).toEqual([
      '{"step":0,"time":1795262400.123456,"train/loss":0.5,"lr ü\\n\\"":0.0001}',
      '{"step":0,"time":1795262401.123456,"mode":"eval","eval/acc":1,"eval/f1":0}',
      '{"step":1,"time":1795262402.123456,"eval/acc":0.5,"loss":0.25}',
      `{"step":2,"time":1795262403.123456,${TRACE_JSON},"axes":{"epoch":3,"kymo.time":1.5},"loss":1}`,
      '{"step":3,"time":1795262404.123456,"mode":"test","test/loss/layer=2":1}',
      '{"step":1.5,"time":1795262406.123456,"scope":"env","instance":"i2","rank":1,"attempt":2,"env/loss":2}',
    ]);
  });

  it('keeps NaN, the infinities, -0, 1e308 and integers of any size', async () => {
    const { NaN: nan, POSITIVE_INFINITY: inf } = Number;
    const values = {
      a: nan,
      b: inf,
      c: -inf,
      d: -0,
      e: 1e308,
      f: 2n ** 63n - 1n,
      g: -(2n ** 53n) - 1n,
      h: 5e-324,
    };
    await driver.export(maker.rows(SENDER, [{ values, step: 2 ** 60 }]));
    await driver.commit();
    expect(linesOf('logs/metrics.jsonl')).toEqual([
      '{"step":1152921504606847000,"time":1795262401.000000,"a":"NaN","b":"Infinity","c":"-Infinity","d":-0,' +
        '"e":1e+308,"f":9223372036854775807,"g":-9007199254740993,"h":5e-324}',
    ]);
  });

  it('keeps metrics apart from the line’s own keys', async () => {
    const values = [
      ['step', 1],
      ['~step', 2],
      ['time', 3],
      ['__proto__', 4],
      ['constructor', 5],
      ['', 6],
      ['superseded', 7],
    ] as const;
    await driver.export(maker.rows(SENDER, [{ values, step: 0 }]));
    await driver.commit();
    expect(linesOf('logs/metrics.jsonl')).toEqual([
      '{"step":0,"time":1795262401.000000,"~step":1,"~~step":2,"~time":3,"__proto__":4,"constructor":5,"unnamed":6,"~superseded":7}',
    ]);
    expect(driver.text('r', 'run.json')).toContain('"__proto__": {\n');
  });

  it('writes another line where a name repeats, and loses nothing', async () => {
    const row = { step: 1, timeUnixNano: T0 };
    const batch = maker.rows(SENDER, [
      { values: { 'a/k=1': 1, b: 2 }, ...row },
      { values: { a: 3 }, attributes: { k: 1 }, ...row },
      { values: { b: 4, c: 5 }, ...row, axes: { epoch: 1 } },
      { values: { d: 6 }, ...row, axes: { epoch: 1 }, ...TRACE },
    ]);
    await driver.export(batch);
    await driver.commit();
    expect(linesOf('logs/metrics.jsonl')).toEqual([
      '{"step":1,"time":1795262400.000000,"a/k=1":1,"b":2}',
      '{"step":1,"time":1795262400.000000,"axes":{"epoch":1},"b":4,"c":5}',
      '{"step":1,"time":1795262400.000000,"a/k=1":3}',
      `{"step":1,"time":1795262400.000000,${TRACE_JSON},"axes":{"epoch":1},"d":6}`,
    ]);
    expect(driver.document('r').totals).toMatchObject({ points: 6, rows: 4 });
  });

  it('counts steps for points without one, each series its own, also after a restart', async () => {
    await driver.export(
      maker.rows(SENDER, [{ values: { a: 1, b: 1 } }, { values: { b: 2 } }, { values: { b: 3, a: 2 } }]),
    );
    await driver.commit();
    await driver.start();
    await driver.export(maker.rows(SENDER, [{ values: { b: 4 } }, { values: { b: 5 }, step: 100 }]));
    await driver.commit();
    const lines = driver.lines('r').map(({ time: _, ...line }) => line);
    expect(lines).toEqual([
      { step: 0, a: 1, b: 1 },
      { step: 1, b: 2 },
      { step: 1, a: 2 },
      { step: 2, b: 3 },
      { step: 3, b: 4 },
      { step: 100, b: 5 },
    ]);
  });

  it('leaves the companion gauge out', async () => {
    await driver.export(
      maker.rows(SENDER, [{ values: { 'kymo.step': 5, a: 1 }, step: 5 }, { values: { 'kymo.step': 6 } }]),
    );
    await driver.commit();
    expect(driver.lines('r')).toEqual([{ step: 5, time: 1795262401, a: 1 }]);
  });

  it('keeps a name of 10,000 characters', async () => {
    const name = 'n'.repeat(10_000);
    await driver.export(maker.rows(SENDER, [{ values: { [name]: 1 }, step: 0 }]));
    await driver.commit();
    expect(driver.lines('r')[0]![name]).toBe(1);
    expect(driver.document('r').points_of_other_metrics).toBe(1);
  });

  it('has histograms as lines of their own', async () => {
    await driver.export(
      maker.histograms(SENDER, [
        { name: 'w', bounds: [-1, 0.5], counts: [1, 2, 3], sum: 4, min: -3, max: 9, step: 7 },
        { name: 'eval/w', bounds: [], counts: [3] },
      ]),
    );
    await driver.commit();
    expect(linesOf('logs/metrics.jsonl')).toEqual([
      '{"step":7,"time":1795262401.000000,"histogram":"w","count":6,"sum":4,"min":-3,"max":9,"bounds":[-1,0.5],"counts":[1,2,3]}',
      '{"step":0,"time":1795262402.000000,"mode":"eval","histogram":"eval/w","count":3,"bounds":[],"counts":[3]}',
    ]);
    expect(driver.document('r').totals).toMatchObject({ histograms: 2, rows: 0, points: 0 });
  });

  it('takes kymo.row events for rows, and keeps in logs.jsonl only what did not become one', async () => {
    const row = (values: Record<string, number | string>, step: number) => ({
      eventName: 'kymo.row',
      attributes: { 'kymo.step': step, 'kymo.row.values': attributesOf(values) },
    });
    await driver.export(maker.logs(SENDER, [row({ x: 1, 'eval/y': 2 }, 3), row({ x: 2, note: 'hm' }, 4)]));
    await driver.commit();
    expect(driver.lines('r')).toMatchObject([
      { step: 3, x: 1, 'eval/y': 2 },
      { step: 4, x: 2 },
    ]);
    expect(driver.lines('r', 'logs/logs.jsonl')).toMatchObject([{ event: 'kymo.row', step: 4 }]);
    expect(driver.document('r').totals).toMatchObject({ points: 3, rows: 2, logs: 1 });
  });
});

describe('logs/logs.jsonl and logs/spans.jsonl', () => {
  it('have one line for each record', async () => {
    await driver.export(
      maker.logs(SENDER, [
        {
          severityNumber: 17,
          severityText: '',
          body: 'a\nb\u001b[31m',
          attributes: { 'kymo.step': 4, seed: 3, 'kymo.scope': 'env' },
          ...TRACE,
        },
        { severityNumber: 9, severityText: 'notice', body: attributesOf({ nested: [1, null] }) },
        { eventName: 'kymo.run.heartbeat' },
      ]),
      maker.spans(SENDER, [
        {
          name: 'rollout',
          parentSpanId: '00f067aa0ba902b7',
          statusCode: 2,
          statusMessage: 'no',
          attributes: { 'kymo.mode': 'eval', n: 1 },
          events: [{ timeUnixNano: T0, name: 'e', attributes: attributesOf({ k: true }) }],
          links: [{ ...TRACE, traceState: 'a=b', attributes: attributesOf({}) }],
        },
      ]),
    );
    await driver.commit();
    expect(linesOf('logs/logs.jsonl')).toEqual([
      '{"time":1795262401.000000,"level":"ERROR","severity":17,"logger":"trainer","scope":"env","step":4,' +
        `"message":"a\\nb\\u001b[31m",${TRACE_JSON},"attributes":{"seed":3}}`,
      '{"time":1795262402.000000,"level":"notice","severity":9,"logger":"trainer","body":{"nested":[1,null]}}',
    ]);
    expect(linesOf('logs/spans.jsonl')).toEqual([
      `{"start":1795262405.000000,"end":1795262405.500000,"duration":0.5,"name":"rollout","kind":"internal",${TRACE_JSON},` +
        '"parent_span_id":"00f067aa0ba902b7","logger":"trainer","mode":"eval","status":"error","status_message":"no",' +
        '"attributes":{"n":1},"events":[{"time":1795262400.000000,"name":"e","attributes":{"k":true}}],' +
        `"links":[{${TRACE_JSON},"trace_state":"a=b"}]}`,
    ]);
  });
});

describe('run.json and config.json', () => {
  it('say what the run is, how it ended and what its files hold', async () => {
    const resource = {
      ...RESOURCE,
      'kymo.run.name': 'My run',
      'kymo.run.group': 'g',
      'kymo.run.tags': ['a'],
    };
    const sender = { resource, scope: 'trainer' };
    const config = (value: object) => ({
      eventName: 'kymo.run.config',
      attributes: { 'kymo.run.config': attributesOf(value as never) },
    });
    await driver.export(
      maker.logs(sender, [
        { eventName: 'kymo.run.start', timeUnixNano: T0 },
        config({ lr: 0.1, net: attributesOf({ layers: 2, big: 2n ** 60n + 1n }) }),
        config({ lr: 0.2, net: attributesOf({ act: 'relu' }) }),
        {
          eventName: 'kymo.run.summary',
          attributes: { 'kymo.run.summary': attributesOf({ best: Number.NaN }) },
        },
      ]),
      maker.rows(sender, [
        { values: { loss: 3 }, step: 5 },
        { values: { loss: 1 }, step: 4 },
        { values: { loss: Number.NaN }, step: 6 },
      ]),
    );
    await driver.commit();
    expect(driver.document('r')).toMatchObject({ state: 'running' });
    await driver.export(
      maker.logs(sender, [
        {
          eventName: 'kymo.run.finish',
          timeUnixNano: T0 + 90n * SECOND,
          attributes: {
            'kymo.run.state': 'failed',
            'process.exit.code': 1,
            'kymo.run.emitted': attributesOf({ points: 4 }),
            'kymo.run.dropped': attributesOf({ bad_value: 1 }),
          },
        },
      ]),
    );
    await driver.commit();
    expect(driver.document('r')).toEqual({
      format: 1,
      id: 'r',
      name: 'My run',
      project: 'cartpole',
      group: 'g',
      tags: ['a'],
      state: 'failed',
      exit_code: 1,
      created: '2026-11-21T12:00:00.000Z',
      updated: '2026-11-21T12:00:09.000Z',
      finished: '2026-11-21T12:01:30.000Z',
      totals: { points: 3, rows: 3, histograms: 0, logs: 5, spans: 0 },
      steps: { first: 4, last: 6 },
      emitted: { points: 4 },
      dropped: { bad_value: 1 },
      metrics: { loss: { last: 'NaN', last_step: 6, mean: 2, min: 1, max: 3, count: 3, nonfinite: 1 } },
      summary: { best: 'NaN' },
      attempts: [{ attempt: 1, started: '2026-11-21T12:00:00.000Z' }],
      superseded: [],
      instance: 'i1',
      instances: [
        {
          instance: 'i1',
          rank: 0,
          attempt: 1,
          state: 'failed',
          announced: true,
          started: '2026-11-21T12:00:00.000Z',
          finished: '2026-11-21T12:01:30.000Z',
          last_seen: '2026-11-21T12:00:09.000Z',
          exit_code: 1,
        },
      ],
      files: {
        'logs/metrics.jsonl': { bytes: Buffer.byteLength(driver.text('r', 'logs/metrics.jsonl')) },
        'logs/logs.jsonl': { bytes: Buffer.byteLength(driver.text('r', 'logs/logs.jsonl')) },
        'logs/spans.jsonl': { bytes: 0 },
      },
      writer: 'writer-a',
    });
    // Merged over what an earlier exporter wrote, with all digits.
    await driver.start();
    await driver.export(maker.logs(sender, [config({ seed: 3 })]));
    await driver.commit();
    expect(driver.text('r', 'config.json').replace(/\s/g, '')).toBe(
      '{"lr":0.2,"net":{"layers":2,"big":1152921504606846977,"act":"relu"},"seed":3}',
    );
  });

  it('mark what a later attempt superseded, in run.json and in the file', async () => {
    const second = { resource: { ...RESOURCE, 'service.instance.id': 'i2', 'kymo.run.attempt': 2 } };
    const start = {
      eventName: 'kymo.run.start',
      timeUnixNano: T0,
      attributes: { 'kymo.run.resume_step': 1 },
    };
    await driver.export(
      maker.rows(SENDER, [
        { values: { a: 1 }, step: 0 },
        { values: { a: 2 }, step: 1 },
      ]),
      maker.logs(second, [start]),
      maker.rows(second, [{ values: { a: 3 }, step: 1, timeUnixNano: T0 }]),
    );
    await driver.commit();
    expect(linesOf('logs/metrics.jsonl').slice(1)).toEqual([
      '{"step":1,"time":1795262402.000000,"a":2}',
      '{"superseded":{"attempt":2,"from_step":1},"time":1795262400.000000}',
      '{"step":1,"time":1795262400.000000,"instance":"i2","attempt":2,"a":3}',
    ]);
    expect(driver.document('r').superseded).toEqual([{ attempt: 2, from_step: 1 }]);
    expect(driver.document('r').totals).toMatchObject({ rows: 3 });
  });
});

it('is declared with defaults, and refuses what it does not know', () => {
  expect(jsonlExporter.config.parse({})).toEqual({ directory: 'runs', max_open_runs: 256 });
  expect(jsonlExporter.config.safeParse({ directoy: 'x' }).success).toBe(false);
  expect(jsonlExporter.config.safeParse({ max_open_runs: 0 }).success).toBe(false);
  expect(jsonlExporter.local).toBe(true);
});
