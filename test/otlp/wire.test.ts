// The writer and the reader of protobuf primitives, against protobufjs.
import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import protobufjs from 'protobufjs/minimal.js';
import { WireError, WireReader } from '../../src/otlp/wire-reader.ts';
import { varintSize, WireWriter } from '../../src/otlp/wire-writer.ts';
import { text, uint64 } from './arbitraries.ts';
import { long } from './oracle.ts';

const int64 = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n });
const natural = fc.oneof(
  fc.maxSafeNat(),
  fc.nat(),
  fc.integer({ min: 0, max: 52 }).map(bits => 2 ** bits),
);

function protobufLong(value: bigint): never {
  return long(value) as never;
}

describe('WireWriter', () => {
  it('writes numbers as protobufjs does', () => {
    const writer = new WireWriter(16);
    fc.assert(
      fc.property(
        natural,
        int64,
        uint64,
        fc.double(),
        fc.nat({ max: 0xffffffff }),
        (n, signed, unsigned, double, word) => {
          writer.reset();
          writer.varint(n);
          writer.int64(Number.isSafeInteger(Number(signed)) ? Number(signed) : signed);
          writer.int64(signed);
          writer.fixed64(unsigned);
          writer.double(double);
          writer.fixed32(word);
          const expected = protobufjs.Writer.create()
            .uint64(protobufLong(BigInt(n)))
            .int64(protobufLong(signed))
            .int64(protobufLong(signed))
            .fixed64(protobufLong(unsigned))
            .double(double)
            .fixed32(word)
            .finish();
          expect(Buffer.from(writer.bytes())).toEqual(Buffer.from(expected));
          expect(varintSize(n)).toBe(
            protobufjs.Writer.create()
              .uint64(protobufLong(BigInt(n)))
              .finish().length,
          );
        },
      ),
      { numRuns: 500 },
    );
  });

  it('writes text and nested messages as protobufjs does, growing as it goes', () => {
    const part = fc.record({
      text: fc.oneof(text, fc.string({ minLength: 100, maxLength: 200, unit: 'grapheme' })),
      deep: fc.nat({ max: 6 }),
    });
    fc.assert(
      fc.property(fc.array(part, { maxLength: 5 }), parts => {
        const writer = new WireWriter(1);
        const expected = protobufjs.Writer.create();
        for (const { text, deep } of parts) {
          const marks: number[] = [];
          for (let i = 0; i < deep; i++) {
            marks.push(writer.beginMessage(16));
            expected.uint32(130).fork();
          }
          writer.stringField(1, text);
          expected.uint32(10).string(text);
          for (const mark of marks.reverse()) {
            writer.endMessage(mark);
            expected.ldelim();
          }
        }
        expect(Buffer.from(writer.copy())).toEqual(Buffer.from(expected.finish()));
      }),
      { numRuns: 300 },
    );
  });

  it('gives back memory that one huge message took', () => {
    const writer = new WireWriter();
    writer.raw(new Uint8Array(20_000_000));
    expect(writer.length).toBe(20_000_000);
    writer.reset();
    expect(writer.length).toBe(0);
    writer.varint(5);
    expect(writer.bytes().buffer.byteLength).toBeLessThan(100_000);
  });
});

describe('WireReader', () => {
  it('reads numbers that protobufjs wrote', () => {
    fc.assert(
      fc.property(natural, int64, uint64, fc.double(), (n, signed, unsigned, double) => {
        const reader = new WireReader(
          protobufjs.Writer.create()
            .uint64(protobufLong(BigInt(n)))
            .int64(protobufLong(signed))
            .sfixed64(protobufLong(signed))
            .fixed64(protobufLong(unsigned))
            .double(double)
            .finish(),
        );
        const expected = Number.isSafeInteger(Number(signed)) ? Number(signed) : signed;
        expect(reader.int64()).toBe(n);
        expect(reader.int64()).toBe(expected);
        expect(reader.sfixed64()).toBe(expected);
        expect(reader.uint64()).toBe(unsigned);
        expect(reader.double()).toBe(double);
        expect(reader.tag()).toBe(0);
      }),
      { numRuns: 500 },
    );
  });

  it.each<[string, string, (reader: WireReader) => unknown]>([
    ['a varint that is cut off', '8080', r => r.varint()],
    ['a varint of 11 bytes', 'ffffffffffffffffffff01', r => r.varint()],
    ['a varint beyond 64 bits', 'ffffffffffffffffff02', r => r.varint()],
    ['field number 0', '00', r => r.tag()],
    ['field number 0 in two bytes', '8000', r => r.tag()],
    ['a tag beyond 32 bits', '8080808010', r => r.tag()],
    ['a length beyond the end', '05ff', r => r.length()],
    ['a length beyond 32 bits', '8080808080808080807f', r => r.length()],
    ['four bytes where eight belong', '01020304', r => r.double()],
    ['wire type 7', '0f', r => r.skip(r.tag())],
    ['the end of a group that was not begun', '0c', r => r.skip(r.tag())],
    ['a group without end', '0b0801', r => r.skip(r.tag())],
    ['a group with the wrong end', '0b14', r => r.skip(r.tag())],
    ['groups nested too deep', '0b'.repeat(200) + '0c'.repeat(200), r => r.skip(r.tag())],
  ])('refuses %s', (_, bytes, read) => {
    expect(() => read(new WireReader(Buffer.from(bytes, 'hex')))).toThrow(WireError);
  });

  it('steps over unknown fields of every wire type, groups in groups too', () => {
    const reader = new WireReader(
      Buffer.from(
        `${'08ff01'}${'09'}${'00'.repeat(8)}${'0a03616263'}${'0b130801140c'}${'0d'}${'00'.repeat(4)}1001`,
        'hex',
      ),
    );
    for (let i = 0; i < 5; i++) reader.skip(reader.tag());
    expect(reader.tag()).toBe(0x10);
    expect(reader.varint()).toBe(1);
  });
});
