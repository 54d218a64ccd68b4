// Odd values, names and steps on their whole way: from the call through the embedded collector into JSONL and TensorBoard.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { pythonCurves, rustCurves } from '../collector/exporters/tensorboard/readers.ts';
import { endCollectors } from '../sdk/collectors.ts';
import { type Ending, projectFolder, train } from '../sdk/trainer.ts';

const LONG = 'x'.repeat(10_000);
const NAMES = [
  '../../etc/passwd',
  '__proto__',
  'constructor',
  'hasOwnProperty',
  'a\u0000b\n\u001b[31m',
  'пульс/♥ 𝛼',
  ' ',
  '/leading',
  'step',
  'time',
  'mode',
];
const SCRIPT = `
import { tensor, scalar } from ${JSON.stringify(import.meta.resolve('@tensorflow/tfjs').replace(/\/[^/]*$/, '/tf.node.js'))};
const run = kymo.init({ project: 'p', id: 'values' });
run.log({
  yes: true, no: false, nan: NaN, up: Infinity, down: -Infinity, negativeZero: -0, huge: 1e308, tiny: 5e-324, third: 1 / 3,
  big: 2n ** 53n + 1n, int64Min: -(2n ** 63n), int64Max: 2n ** 63n - 1n, beyond: 2n ** 70n,
  float32: Float32Array.of(0.1), int8: Int8Array.of(-3), big64: BigInt64Array.of(2n ** 60n + 1n), list: [7],
  tensor0: scalar(0.25), tensor1: tensor([0.75]), like: { size: 1, dataSync: () => [4] },
}, { step: 0 });
run.log({
  kept: 1, text: '0.5', nothing: null, missing: undefined, nested: { a: 1 }, two: [1, 2], none: [], symbol: Symbol('s'),
  call: () => 1, date: new Date(), two32: Float32Array.of(1, 2), tensor2: tensor([1, 2]), broken: { dataSync() { throw new Error('disposed'); } },
  get getter() { throw new Error('no'); },
}, { step: 1 });
for (const name of ${JSON.stringify(NAMES)}) run.log({ [name]: 1.5, beside: 2 }, { step: 2 });
run.log({ '': 1, beside: 3 }, { step: 3 });
run.log({ ['${LONG}a']: 1, ['${LONG}b']: 2 }, { step: 4 });
for (const step of [-1, 0.5, NaN, Infinity, 2 ** 53 + 2, '5', null, 2n ** 60n]) run.log({ stepped: -1 }, { step });
run.log({ stepped: 10 }, { step: 10 });
run.log({ stepped: 2 ** 53 }, { step: 2 ** 53 });
run.log({ stepped: 7 }, { step: 7 });
run.log({ stepped: 8 });
run.log({ stepped: 12 }, { step: 12n });
console.log(JSON.stringify(await run.finish()));
`;

let project: ReturnType<typeof projectFolder>;
let ending: Ending;
let folder: string;
/** Lines as text, because JSON.parse rounds what is written exactly. */
let lines: string[];

beforeAll(async () => {
  project = projectFolder();
  ending = await train(project.path, SCRIPT, { KYMO_COLLECTOR_LINGER_MS: '0' }).ended;
  folder = join(project.path, 'runs/values');
  lines = readFileSync(join(folder, 'logs/metrics.jsonl'), 'utf8').trimEnd().split('\n');
}, 30_000);
afterAll(async () => {
  await endCollectors(project.path);
  project.remove();
});

const lineOf = (step: number): string => lines.find(line => line.startsWith(`{"step":${step},`))!;
const values = (line: string): string => line.replace(/^\{"step":\d+,"time":[\d.]+,/, '').replace(/\}$/, '');
const scalarOf = (tag: string, curves = rustCurves(folder)): number => curves.get(tag)![0]![1];

describe('values', () => {
  it('are in the lines as they were logged, to the last digit', () => {
    expect(ending.code).toBe(0);
    expect(values(lineOf(0)).split(',')).toEqual([
      '"yes":1',
      '"no":0',
      '"nan":"NaN"',
      '"up":"Infinity"',
      '"down":"-Infinity"',
      '"negativeZero":-0',
      '"huge":1e+308',
      '"tiny":5e-324',
      '"third":0.3333333333333333',
      '"big":9007199254740993',
      '"int64Min":-9223372036854775808',
      '"int64Max":9223372036854775807',
      '"beyond":1.1805916207174113e+21',
      '"float32":0.10000000149011612',
      '"int8":-3',
      '"big64":1152921504606846977',
      '"list":7',
      '"tensor0":0.25',
      '"tensor1":0.75',
      '"like":4',
    ]);
  });

  it.each([
    ['yes', 1],
    ['no', 0],
    ['nan', Number.NaN],
    ['up', Number.POSITIVE_INFINITY],
    ['down', Number.NEGATIVE_INFINITY],
    ['negativeZero', -0],
    // TensorBoard's scalars have 32 bits.
    ['huge', Number.POSITIVE_INFINITY],
    ['tiny', 0],
    ['third', Math.fround(1 / 3)],
    ['big', 2 ** 53],
    ['int64Max', 2 ** 63],
    ['float32', Math.fround(0.1)],
    ['list', 7],
    ['tensor0', 0.25],
    ['tensor1', 0.75],
  ])('are in TensorBoard’s file as 32 bits hold them: %s', (tag, value) => {
    expect(scalarOf(tag)).toBe(value);
    expect(scalarOf(tag, pythonCurves(folder))).toBe(value);
  });

  it('that are none are dropped alone, counted, and told once each with the place of the call', () => {
    expect(values(lineOf(1))).toBe('"kept":1');
    for (const [name, what] of [
      ['text', 'must be a number, not string \\"0.5\\"'],
      ['nothing', 'must be a number, not null'],
      ['missing', 'must be a number, not undefined'],
      ['nested', 'must be a number, not object'],
      ['two', 'must be a number, not array of 2'],
      ['none', 'must be a number, not array of 0'],
      ['symbol', 'must be a number, not symbol'],
      ['call', 'must be a number, not function'],
      ['date', 'must be a number, not Date'],
      ['two32', 'must be a number, not Float32Array'],
      ['tensor2', 'must be a number, not Tensor'],
      ['broken', 'cannot be read: disposed'],
      ['getter', 'cannot be read: no'],
    ]) {
      const told = ending.stderr.split('\n').filter(line => line.includes(`metric "${name}" `));
      expect(told).toHaveLength(1);
      expect(told[0]).toContain(what!.replaceAll('\\', ''));
    }
    expect(ending.stderr).toMatch(/dropped\n {4}at .*train-\w+\.ts:\d+/);
  });
});

describe('names', () => {
  it('of any kind are keys of the lines, beside their neighbours', () => {
    const rows = lines.filter(line => line.startsWith('{"step":2,')).map(line => JSON.parse(line));
    expect(rows).toHaveLength(NAMES.length);
    NAMES.forEach((name, i) => {
      // Keys of the line itself are marked off.
      const key = ['step', 'time', 'mode'].includes(name) ? `~${name}` : name;
      expect(new Map(Object.entries(rows[i]).slice(2))).toEqual(
        new Map([
          [key, 1.5],
          ['beside', 2],
        ]),
      );
    });
  });

  it('of any kind are tags of TensorBoard', () => {
    const curves = rustCurves(folder);
    for (const name of NAMES) {
      const tag = name.startsWith('/') ? `_${name}` : name;
      expect([tag, curves.get(tag)]).toEqual([tag, [[2, 1.5]]]);
    }
  });

  it('that are empty are dropped, counted and told, and their neighbours kept', () => {
    expect(values(lineOf(3))).toBe('"beside":3');
    expect(ending.stderr).toContain('a metric needs a name: "" is none; dropped');
  });

  it('of 10,000 characters are cut, and no two become one', () => {
    const names = Object.keys(JSON.parse(lineOf(4))).slice(2);
    expect(names.map(name => name.length)).toEqual([1_000, 1_000]);
    expect(new Set(names).size).toBe(2);
    expect(ending.stderr).toContain('a metric name of 10001 characters is cut to 1000');
  });

  it('are in run.json too, none of them anything but a key', () => {
    const { metrics } = JSON.parse(readFileSync(join(folder, 'run.json'), 'utf8')) as {
      metrics: Record<string, { last: number }>;
    };
    for (const name of NAMES) expect(Object.getOwnPropertyDescriptor(metrics, name)?.value.last).toBe(1.5);
  });
});

describe('steps', () => {
  it('that are none cost their row, are counted and told; all others stand, also when they go back', () => {
    const stepped = lines.filter(line => line.includes('"stepped"'));
    expect(stepped.map(line => /"step":(\d+)/.exec(line)![1])).toEqual([
      '10',
      '9007199254740992',
      '7',
      '8',
      '12',
    ]);
    expect(ending.stderr.match(/step must be a whole number from 0 to 2\^53, not/g)).toHaveLength(1);
    expect(ending.stderr).toContain('not number -1');
  });

  it('that go back are in order for both of TensorBoard’s readers', () => {
    const curve = [
      [7, 7],
      [8, 8],
      [10, 10],
      [12, 12],
      [2 ** 53, 2 ** 53],
    ];
    expect(rustCurves(folder).get('stepped')).toEqual(curve);
    expect(pythonCurves(folder).get('stepped')).toEqual(curve);
  });
});

it('everything that was not written is in the report and in run.json, by reason', () => {
  const report = JSON.parse(ending.stdout.split('\n').find(line => line.startsWith('{'))!) as {
    emitted: number;
    delivered: number;
    dropped: Record<string, number>;
  };
  expect(report.dropped).toEqual({ bad_value: 13, bad_name: 1, bad_step: 8 });
  expect(report.emitted).toBe(report.delivered + 22);
  const { dropped } = JSON.parse(readFileSync(join(folder, 'run.json'), 'utf8')) as { dropped: unknown };
  expect(dropped).toEqual(report.dropped);
});
