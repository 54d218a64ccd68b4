// Metrics read back: what is a row, exact numbers, torn and bad lines, columns that agree with JSON.parse, files larger than memory.
import { appendFileSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { DecimalReader } from '../../../src/research/runs/decimal.ts';
import {
  type MetricColumns,
  MetricsFileError,
  readMetrics,
  streamMetrics,
} from '../../../src/research/runs/read-metrics.ts';
import { streamLargeFile } from './large-file.ts';

let folder: string;
let files = 0;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'kymo-metrics-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));
function fileWith(content: string | Buffer): string {
  const file = join(folder, `${++files}.jsonl`);
  writeFileSync(file, content);
  return file;
}
const plain = ({ rows, columns }: MetricColumns) => ({
  rows,
  ...Object.fromEntries([...columns].map(([name, values]) => [name, [...values]])),
});
async function all<T>(stream: AsyncIterable<T>): Promise<T[]> {
  const items: T[] = [];
  for await (const item of stream) items.push(item);
  return items;
}

describe('a decimal', () => {
  const read = (text: string): { value: number; end: number } => {
    const bytes = Buffer.from(`${text},1`);
    const reader = new DecimalReader();
    const value = reader.read(bytes, new DataView(bytes.buffer, bytes.byteOffset, bytes.length), 0);
    return { value, end: reader.end };
  };
  const same = (text: string): void =>
    expect([text, read(text)]).toEqual([text, { value: Number(text), end: text.length }]);

  it('is the double that Number makes of it: of any double, printed shortest or at any length', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.double({ noNaN: true, noDefaultInfinity: true }),
          fc.double({ min: -1e6, max: 1e6, noNaN: true }),
        ),
        fc.integer({ min: 1, max: 25 }),
        (value, digits) => {
          // String(-0) is "0".
          if (!Object.is(value, -0)) same(String(value));
          same(value.toExponential(digits));
          if (Math.abs(value) < 1e20) same(value.toFixed(digits));
        },
      ),
      { numRuns: 400 },
    );
  });
  it('is so at the middle between two doubles, too', () => {
    fc.assert(
      fc.property(
        fc.bigInt(2n ** 53n, 2n ** 54n - 1n),
        fc.integer({ min: -20, max: 20 }),
        fc.integer({ min: -1, max: 1 }),
        (odd, power, off) => {
          same(`${(odd | 1n) * 10n + BigInt(off)}e${power}`);
          same(`0.${(odd | 1n) * 10n + BigInt(off)}e${power}`);
        },
      ),
      { numRuns: 400 },
    );
  });
  it.each([
    '-0',
    '0',
    '0.0',
    '1e400',
    '1e-400',
    '5e-324',
    '123456789012345678901234567890',
    '0.000001',
    '9007199254740993',
    '1795262400.123456',
    '1E+5',
    '-2.5e-3',
  ])('%s', text => {
    same(text);
    expect(Object.is(read(text).value, Number(text))).toBe(true);
  });
  it.each(['-', '01', '1.', '1.e5', '1e', '1e+', '.5', '+1', ''])('%j is none', text => {
    expect(read(text).end).toBe(-1);
  });
});

describe('rows as objects', () => {
  it('of a file, a run folder, a run and a run that is not there', () => {
    const runs = join(folder, 'a-run');
    mkdirSync(join(runs, 'logs'), { recursive: true });
    writeFileSync(join(runs, 'logs/metrics.jsonl'), '{"step":1,"loss":0.5}\n');
    const expected = [{ step: 1, loss: 0.5 }];
    expect(readMetrics(join(runs, 'logs/metrics.jsonl'))).toEqual(expected);
    expect(readMetrics(runs)).toEqual(expected);
    expect(readMetrics({ dir: runs })).toEqual(expected);
    expect(readMetrics({ root: runs })).toEqual(expected);
    expect(readMetrics(join(folder, 'nowhere'))).toEqual([]);
    expect(readMetrics({ dir: join(folder, 'nowhere') })).toEqual([]);
    expect(readMetrics(join(folder, 'nowhere'), { columns: true })).toEqual({ rows: 0, columns: new Map() });
    expect(() => readMetrics('')).toThrow(/readMetrics\(source\) must be the path/);
    expect(() => readMetrics(folder, { column: true } as never)).toThrow(/did you mean columns\?/);
  });

  it('skip empty lines and a torn last one; another bad line is named, or skipped on request', () => {
    const torn = fileWith('{"step":0}\n\n  \n{"step":1}\r\n{"step":2,"lo');
    expect(readMetrics(torn)).toEqual([{ step: 0 }, { step: 1 }]);
    expect(plain(readMetrics(torn, { columns: true }))).toEqual({ rows: 2, step: [0, 1] });
    expect(readMetrics(fileWith('{"step":0}\n{"step":1}'))).toHaveLength(2);
    expect(plain(readMetrics(fileWith('{"step":0}\n{"step":1}'), { columns: true }))).toEqual({
      rows: 2,
      step: [0, 1],
    });
    for (const bad of [
      '{"step":1,"loss":}',
      '[1]',
      '{"step":1',
      'null',
      '{"step":1}{"step":2}',
      '{"step":01}',
    ]) {
      const file = fileWith(`{"step":0}\n\n${bad}\n{"step":3}\n`);
      for (const columns of [undefined, true] as const) {
        let thrown: unknown;
        try {
          readMetrics(file, { columns } as never);
        } catch (error) {
          thrown = error;
        }
        expect(thrown).toBeInstanceOf(MetricsFileError);
        expect(thrown).toMatchObject({
          line: 3,
          message: `kymo: ${file}:3: is no JSON object; if only that line is lost, read the rest with {badLines: 'skip'}`,
        });
      }
      expect(readMetrics(file, { badLines: 'skip' })).toEqual([{ step: 0 }, { step: 3 }]);
      expect(plain(readMetrics(file, { badLines: 'skip', columns: true }))).toEqual({
        rows: 2,
        step: [0, 3],
      });
    }
  });

  it('have NaN and the infinities as numbers, as Kymo and as Python write them', () => {
    const file = fileWith(
      '{"step":0,"a":"NaN","b":"-Infinity","mode":"NaN","text":"is NaN"}\n{"step": 1, "a": NaN, "b": -Infinity, "c": Infinity, "text": "NaN, \\"Infinity"}\n',
    );
    expect(readMetrics(file)).toEqual([
      { step: 0, a: Number.NaN, b: Number.NEGATIVE_INFINITY, mode: 'NaN', text: 'is NaN' },
      {
        step: 1,
        a: Number.NaN,
        b: Number.NEGATIVE_INFINITY,
        c: Number.POSITIVE_INFINITY,
        text: 'NaN, "Infinity',
      },
    ]);
    expect(plain(readMetrics(file, { columns: ['b', 'c'] }))).toEqual({
      rows: 2,
      b: [Number.NEGATIVE_INFINITY, Number.NEGATIVE_INFINITY],
      c: [Number.NaN, Number.POSITIVE_INFINITY],
    });
  });

  it('leave out histograms, marks, and what a resume has undone', async () => {
    const file = fileWith(
      [
        '{"step":1,"loss":1}',
        '{"step":5,"loss":5}',
        '{"step":5,"histogram":"w","count":1,"bounds":[],"counts":[1]}',
        '{"step":7,"attempt":3,"loss":70}',
        '{"superseded":{"attempt":2,"from_step":5},"time":1}',
        '{"step":5,"attempt":2,"loss":50}',
        '{"step":6,"attempt":2,"loss":60}',
        '',
      ].join('\n'),
    );
    const kept = [1, 70, 50, 60];
    expect(readMetrics(file).map(row => row.loss)).toEqual(kept);
    expect([...readMetrics(file, { columns: true }).columns.get('loss')!]).toEqual(kept);
    expect([...readMetrics(file, { columns: ['loss'] }).columns.keys()]).toEqual(['loss']);
    expect((await all(streamMetrics(file))).map(row => row.loss)).toEqual(kept);
    expect(
      (await all(streamMetrics(file, { columns: ['loss'] }))).flatMap(one => [...one.columns.get('loss')!]),
    ).toEqual(kept);
    expect(
      (await all(streamMetrics(file, { columns: true, rows: 1 }))).map(one => one.columns.get('loss')![0]),
    ).toEqual(kept);
    expect(readMetrics(file, { histograms: true, superseded: 'keep' })).toHaveLength(7);
    expect(readMetrics(file, { superseded: 'keep' })).toHaveLength(6);
    expect(readMetrics(file, { superseded: 'keep', columns: ['loss'] }).rows).toBe(5);
  });
});

describe('columns', () => {
  const value = fc.oneof(
    fc.double({ noNaN: true, noDefaultInfinity: true }).map(number => (Object.is(number, -0) ? 0 : number)),
    fc.integer(),
    fc.boolean(),
    fc.constantFrom('NaN', 'Infinity', 'text \\ "quoted"', '', null),
    fc.constant({ epoch: 3, nested: ['}', { a: 1 }] }),
  );
  const key = fc.oneof(
    { weight: 5, arbitrary: fc.constantFrom('step', 'loss', 'train/acc', 'lr', 'x', 'name with ünïcode ♥') },
    {
      weight: 1,
      arbitrary: fc
        .string({ unit: 'grapheme' })
        .filter(name => name !== 'histogram' && name !== 'superseded' && name !== '__proto__'),
    },
  );
  const record = fc.uniqueArray(fc.tuple(key, value), { maxLength: 8, selector: ([name]) => name });

  it('agree with JSON.parse of every line, whatever stands in them', () => {
    fc.assert(
      fc.property(fc.array(record, { maxLength: 30 }), fc.constantFrom('', ' '), (records, space) => {
        const text = records
          .map(
            one =>
              `{${one.map(([name, item]) => `${JSON.stringify(name)}:${space}${JSON.stringify(item)}`).join(`,${space}`)}}\n`,
          )
          .join('');
        const { rows, columns } = readMetrics(fileWith(text), { columns: true });
        expect(rows).toBe(records.length);
        const expected = new Map<string, number[]>();
        records.forEach((one, row) => {
          for (const [name, item] of one) {
            const number =
              typeof item === 'boolean'
                ? Number(item)
                : item === 'NaN' || item === 'Infinity'
                  ? ['mode', 'scope', 'instance'].includes(name)
                    ? undefined
                    : Number(item)
                  : item;
            if (typeof number !== 'number') continue;
            if (!expected.has(name)) expected.set(name, new Array<number>(records.length).fill(Number.NaN));
            expected.get(name)![row] = number;
          }
        });
        expect(new Map([...columns].map(([name, values]) => [name, [...values]]))).toEqual(expected);
      }),
      { numRuns: 150 },
    );
  });

  it('are those that were asked for, with NaN where a row has none, also when none has', () => {
    const file = fileWith('{"a":1,"b":2}\n{"b":3}\n{"a":4,"c":"text"}\n');
    expect(plain(readMetrics(file, { columns: ['a', 'c', 'z'] }))).toEqual({
      rows: 3,
      a: [1, Number.NaN, 4],
      c: [Number.NaN, Number.NaN, Number.NaN],
      z: [Number.NaN, Number.NaN, Number.NaN],
    });
    expect([...readMetrics(file, { columns: true }).columns.keys()]).toEqual(['a', 'b']);
  });

  it('do not depend on where pieces of the file begin: lines across pieces, long lines, a file that ends anywhere', async () => {
    // Wide rows, so that the pieces of a mebibyte end in the middle of lines.
    const wide = (step: number, width: number) =>
      `{"step":${step},${Array.from({ length: width }, (_, i) => `"metric ${i}":${step * i + 0.5}`).join(',')}}\n`;
    const file = fileWith(
      Array.from({ length: 40 }, (_, step) => wide(step, step === 20 ? 200_000 : 4_000)).join(''),
    );
    const { rows, columns } = readMetrics(file, { columns: ['step', 'metric 3999'] });
    expect(rows).toBe(40);
    expect(() => readMetrics(file, { columns: true })).toThrow(
      /more than 100000 different names.*say which are wanted/,
    );
    expect([...columns.get('metric 3999')!]).toEqual(
      Array.from({ length: 40 }, (_, step) => step * 3999 + 0.5),
    );
    const pieces = await all(streamMetrics(file, { columns: ['step'], rows: 7 }));
    expect(pieces.map(piece => piece.rows)).toEqual([7, 7, 7, 7, 7, 5]);
    expect(pieces.flatMap(piece => [...piece.columns.get('step')!])).toEqual(
      Array.from({ length: 40 }, (_, step) => step),
    );
    expect((await all(streamMetrics(file))).map(row => row.step)).toEqual(
      Array.from({ length: 40 }, (_, step) => step),
    );
  });

  it('of a file cut at any byte have the whole lines, and the last one if it is whole', () => {
    const text = '{"step":1,"loss":0.25}\n{"step":2,"loss":-1.5e-7,"mode":"eval"}\n{"step":12345,"x":true}\n';
    for (let length = 0; length <= text.length; length++) {
      const cut = text.slice(0, length);
      const rows = readMetrics(fileWith(cut));
      expect(rows).toHaveLength(cut.split('\n').filter(line => line.endsWith('}')).length);
      expect(readMetrics(fileWith(cut), { columns: true }).rows).toBe(rows.length);
    }
  });
});

describe('a stream', () => {
  it('of a missing file has nothing; one that is broken ends with its line', async () => {
    expect(await all(streamMetrics(join(folder, 'nowhere')))).toEqual([]);
    const file = fileWith(`${'{"step":1}\n'.repeat(200_000)}broken\n{"step":2}\n`);
    await expect(all(streamMetrics(file, { columns: true }))).rejects.toThrow(
      `${file}:200001: is no JSON object`,
    );
    await expect(all(streamMetrics(file))).rejects.toThrow(':200001:');
    expect(() => streamMetrics(file, { rows: 0 })).toThrow(/whole number from 1 on/);
  });

  it('can be left at any time, and reads what has been appended since', async () => {
    const file = fileWith('{"step":1}\n{"step":2}\n');
    for await (const row of streamMetrics(file)) {
      expect(row.step).toBe(1);
      break;
    }
    appendFileSync(file, '{"step":3}\n');
    expect(await all(streamMetrics(file))).toHaveLength(3);
    expect(existsSync(file)).toBe(true);
  });

  it('takes no more memory for a larger file', async () => {
    const small = await streamLargeFile(folder, 8);
    const large = await streamLargeFile(folder, 96);
    expect(large.rows).toBe(12 * small.rows);
    expect(large.grownMib).toBeLessThan(small.grownMib + 64);
  });
});
