import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { crc32c, maskCrc, maskedCrc32c } from '../../../../src/collector/exporters/tensorboard/crc32c.ts';
import { decodeFile } from '../../../../src/collector/exporters/tensorboard/event-reader.ts';
import {
  encodeFileVersion,
  encodeHistogram,
  encodeImages,
  encodeScalars,
  encodeSessionStart,
  encodeSessionStartInfo,
  encodeText,
  scalarPrefix,
} from '../../../../src/collector/exporters/tensorboard/events.ts';
import { RecordBuffer } from '../../../../src/collector/exporters/tensorboard/record-buffer.ts';
import { walkRecords } from '../../../../src/collector/exporters/tensorboard/records.ts';
import { tagName, wholeStep } from '../../../../src/collector/exporters/tensorboard/tags.ts';

function encoded(write: (into: RecordBuffer) => void): Buffer {
  const into = new RecordBuffer();
  write(into);
  return Buffer.from(into.bytes.subarray(0, into.length));
}
const scalars = (into: RecordBuffer, wall: number, step: number, row: Record<string, number>) => {
  const tags = Object.keys(row).map(tag => ({ prefix: scalarPrefix(tag) }));
  encodeScalars(into, wall, step, tags, Float64Array.from(Object.values(row)), tags.length);
};

describe('crc32c', () => {
  it('gives the check values of Castagnoli and of TFRecord', () => {
    // The check value of the CRC catalogue; the masked ones as TensorBoard's Python reader computes them.
    expect(crc32c(Buffer.from('123456789'))).toBe(0xe3069283);
    expect(maskedCrc32c(Buffer.from('123456789'))).toBe(0xc78ab0e5);
    expect(maskCrc(crc32c(Buffer.alloc(0)))).toBe(0xa282ead8);
  });

  it('is the same for eight bytes at a time as for one', () => {
    const slow = (bytes: Uint8Array) => {
      let crc = -1;
      for (const byte of bytes) {
        crc ^= byte;
        for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1;
      }
      return ~crc >>> 0;
    };
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), fc.nat(20), (bytes, from) => {
        const start = Math.min(from, bytes.length);
        expect(crc32c(bytes, start)).toBe(slow(bytes.subarray(start)));
      }),
    );
  });
});

describe('events', () => {
  // Bytes as TensorBoard 2.21's own record writer puts out the same events.
  it('writes a scalar byte for byte', () => {
    const bytes = encoded(into => scalars(into, 1_700_000_000.25, 7, { 'train/loss': 0.5 }));
    expect(bytes.toString('hex')).toBe(
      '200000000000000029eda9500900001040fc54d94110072a130a110a0a747261696e2f6c6f7373150000003f9aa41437',
    );
  });

  it('writes START byte for byte', () => {
    const bytes = encoded(into => encodeSessionStart(into, 1_700_000_000, 5, ''));
    expect(bytes.toString('hex')).toBe('0f000000000000006d532b090900000040fc54d94110053a020801f96efb7c');
  });

  it('reads back what it wrote', () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.record({
            step: fc.maxSafeInteger(),
            wall: fc.double({ noNaN: true, noDefaultInfinity: true }),
            row: fc.dictionary(fc.string({ unit: 'grapheme' }), fc.float(), { minKeys: 1 }),
          }),
          { maxLength: 20 },
        ),
        rows => {
          const bytes = encoded(into => {
            encodeFileVersion(into, 1);
            for (const { step, wall, row } of rows) scalars(into, wall, step, row);
          });
          const { events, end } = decodeFile(bytes);
          expect(end).toEqual({ kind: 'end', offset: bytes.length });
          expect(events[0]!.fileVersion).toBe('brain.Event:2');
          expect(
            events.slice(1).map(({ step, wallTime, values }) => ({
              step,
              wall: wallTime,
              row: values.map(value => [value.tag, value.scalar]),
            })),
          ).toEqual(
            rows.map(({ step, wall, row }) => ({
              step: step === 0 ? 0 : step,
              wall,
              row: Object.entries(row),
            })),
          );
        },
      ),
      { numRuns: 60 },
    );
  });

  it('writes histograms, texts, images and hparams that say what they are', () => {
    const bytes = encoded(into => {
      encodeHistogram(into, 1, 3, 'h', Float64Array.of(0, 1, 5, 1, 2, 6));
      encodeText(into, 1, 3, 't', '# hi');
      encodeImages(into, 1, 3, 'i', 2, 1, [Buffer.from('png')]);
      encodeSessionStartInfo(
        into,
        1,
        new Map<string, string | number | boolean>([
          ['lr', 0.1],
          ['on', true],
          ['opt', 'adam'],
        ]),
      );
    });
    const values = decodeFile(bytes).events.map(event => event.values[0]!);
    expect(values.map(value => value.plugin)).toEqual(['histograms', 'text', 'images', 'hparams']);
    expect(values[0]).toMatchObject({ dtype: 2, shape: [2, 3] });
    expect(values[0]!.content.length).toBe(48);
    expect(values[1]!.strings.map(bytes => Buffer.from(bytes).toString())).toEqual(['# hi']);
    expect(values[2]!.strings.map(bytes => Buffer.from(bytes).toString())).toEqual(['2', '1', 'png']);
    expect(Buffer.from(values[3]!.pluginContent).includes('adam')).toBe(true);
  });
});

describe('reading records', () => {
  const whole = encoded(into => {
    scalars(into, 1, 1, { a: 1 });
    scalars(into, 2, 2, { a: 2 });
  });
  const half = whole.length / 2;

  it('tells a file that still grows from a broken one', () => {
    for (let length = 0; length <= whole.length; length++) {
      let seen = 0;
      const end = walkRecords(whole.subarray(0, length), 0, () => seen++);
      const complete = Math.floor(length / half);
      expect(seen).toBe(complete);
      expect(end).toEqual({ kind: length % half === 0 ? 'end' : 'truncated', offset: complete * half });
    }
    fc.assert(
      fc.property(fc.nat(whole.length - 1), fc.integer({ min: 0, max: 7 }), (at, bit) => {
        const broken = Uint8Array.from(whole);
        broken[at]! ^= 1 << bit;
        const end = walkRecords(broken, 0, () => undefined);
        expect(end.kind).toBe('corrupt');
        expect(end.offset).toBe(at < half ? 0 : half);
      }),
    );
  });

  it('takes zeros for damage', () => {
    expect(walkRecords(new Uint8Array(64), 0, () => undefined).kind).toBe('corrupt');
  });
});

describe('tags and steps', () => {
  it('keeps names as they are', () => {
    for (const name of ['train/loss', 'a b', 'ü/日本', 'a//b', 'x'.repeat(512), '[]%?#&+', '__proto__']) {
      expect(tagName(name)).toBe(name);
    }
  });

  it('keeps off the names that mean something to TensorBoard', () => {
    expect(['', '/a', '_hparams_/x', '__run_graph__', 'custom_scalars__config__'].map(tagName)).toEqual([
      '_',
      '_/a',
      '__hparams_/x',
      '___run_graph__',
      '_custom_scalars__config__',
    ]);
  });

  it('cuts names that no page can show, and keeps them apart', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme', minLength: 600, maxLength: 700 }), name => {
        const a = tagName(`${name}a`);
        expect(Buffer.byteLength(a)).toBeLessThanOrEqual(512);
        expect(a).not.toBe(tagName(`${name}b`));
        const readable = a.slice(0, a.lastIndexOf('~'));
        expect([name, `_${name}`].some(whole => whole.startsWith(readable))).toBe(true);
      }),
      { numRuns: 50 },
    );
  });

  it('makes whole steps of what comes', () => {
    expect(wholeStep(2.7)).toBe(2);
    expect(wholeStep(-2.7)).toBe(-2);
    expect(wholeStep(1e300)).toBeLessThan(2 ** 63);
    expect(wholeStep(Infinity)).toBeNaN();
    expect(wholeStep(Number.NaN)).toBeNaN();
  });
});
