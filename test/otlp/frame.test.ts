// Frames on disk: what was written is read, a torn end is told from damage, and damage costs one frame only.
import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import {
  FRAME_HEADER_BYTES,
  type FrameInput,
  frameSize,
  MAX_FRAME_BODY_BYTES,
  MAX_KEY_BYTES,
  nextFrame,
  readFrame,
  writeFrame,
} from '../../src/otlp/frame.ts';

const input: fc.Arbitrary<FrameInput> = fc.record({
  signal: fc.constantFrom('traces', 'metrics', 'logs'),
  encoding: fc.constantFrom(0, 1, 2),
  receivedUnixNano: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
  batchKey: fc.oneof(fc.constant(''), fc.string({ unit: 'grapheme', maxLength: 40 })),
  body: fc.uint8Array({ maxLength: 80 }).map(bytes => new Uint8Array(bytes)),
});

function frameBytes(frame: FrameInput): Buffer {
  return Buffer.concat(writeFrame(frame));
}

const SAMPLE: FrameInput = {
  signal: 'metrics',
  encoding: 0,
  receivedUnixNano: 1_700_000_000_000_000_000n,
  batchKey: 'instance/sender/metrics/7',
  body: Buffer.from('kym is the magic, kym again: a body may hold it'),
};

describe('frames', () => {
  it('are read as they were written, one after the other', () => {
    fc.assert(
      fc.property(fc.array(input, { maxLength: 5 }), fc.nat({ max: 9 }), (frames, before) => {
        const bytes = Buffer.concat([Buffer.alloc(before), ...frames.map(frameBytes)]);
        let at = before;
        for (const frame of frames) {
          const result = readFrame(bytes, at, bytes.length);
          if (result.kind !== 'frame') throw new Error(`expected a frame, got ${result.kind}`);
          expect(result.frame).toEqual({ version: 1, ...frame, body: Buffer.from(frame.body) });
          expect(result.next - at).toBe(frameSize(frame.batchKey, frame.body.length));
          at = result.next;
        }
        expect(at).toBe(bytes.length);
      }),
    );
  });

  it('are torn when the bytes end within them, whatever the place', () => {
    const bytes = frameBytes(SAMPLE);
    for (let length = 0; length < bytes.length; length++) {
      const result = readFrame(bytes, 0, length);
      expect(result.kind).toBe('torn');
      if (result.kind === 'torn' && length >= FRAME_HEADER_BYTES)
        expect(result.missing).toBe(bytes.length - length);
    }
  });

  it('show any flipped bit, and the frames before and after survive it', () => {
    const frame = frameBytes(SAMPLE);
    const start = frame.length;
    for (let bit = 0; bit < frame.length * 8; bit++) {
      const bytes = Buffer.concat([frame, frame, frame]);
      bytes[start + (bit >> 3)]! ^= 1 << (bit & 7);
      expect(readFrame(bytes, 0, bytes.length).kind).toBe('frame');
      const result = readFrame(bytes, start, bytes.length);
      expect(result.kind).toBe('corrupt');
      if (result.kind !== 'corrupt') continue;
      expect(result.skipTo).toBe(2 * start);
      expect(readFrame(bytes, result.skipTo!, bytes.length).kind).toBe('frame');
    }
  });

  it('are found again after foreign bytes of any kind', () => {
    const frame = frameBytes(SAMPLE);
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), noise => {
        const bytes = Buffer.concat([Buffer.from(noise), Buffer.from('kym\x01kym'), frame]);
        expect(nextFrame(bytes, 0, bytes.length)).toBe(bytes.length - frame.length);
        expect(nextFrame(bytes, 0, bytes.length - frame.length + FRAME_HEADER_BYTES - 1)).toBeUndefined();
      }),
    );
    expect(readFrame(Buffer.alloc(4096), 0, 4096)).toMatchObject({ kind: 'corrupt', skipTo: undefined });
  });

  it('never throw on any bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), fc.nat({ max: 200 }), (noise, offset) => {
        const bytes = new Uint8Array(noise);
        expect(readFrame(bytes, Math.min(offset, bytes.length), bytes.length).kind).not.toBe('frame');
      }),
    );
  });

  it('refuse what is beyond the limits instead of writing what nobody can read', () => {
    expect(() => writeFrame({ ...SAMPLE, batchKey: 'é'.repeat(MAX_KEY_BYTES / 2) })).not.toThrow();
    expect(() => writeFrame({ ...SAMPLE, batchKey: 'x'.repeat(MAX_KEY_BYTES + 1) })).toThrow(
      /batch key of 513 bytes/,
    );
    const body = { length: MAX_FRAME_BODY_BYTES + 1 } as Uint8Array;
    expect(() => writeFrame({ ...SAMPLE, body })).toThrow(RangeError);
  });
});
