// RetryInfo inside a status: what is written is read back, and foreign or broken bytes are no reason to throw.
import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { encodeRetryStatus, readRetryAfterMs } from '../../src/otlp/retry-info.ts';

describe('the delay', () => {
  it('is read back to the millisecond', () => {
    fc.assert(
      fc.property(fc.nat(16), fc.string(), fc.nat(10_000_000), (code, message, delayMs) => {
        expect(readRetryAfterMs(encodeRetryStatus(code, message, delayMs))).toBe(delayMs);
      }),
    );
  });

  it('is undefined without RetryInfo, and for bytes that are no status', () => {
    expect(readRetryAfterMs(new Uint8Array(0))).toBeUndefined();
    // A status with another detail: an Any of type `x`.
    expect(readRetryAfterMs(Uint8Array.of(0x08, 14, 0x1a, 3, 0x0a, 1, 0x78))).toBeUndefined();
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), bytes => {
        const delayMs = readRetryAfterMs(bytes);
        expect(delayMs === undefined || delayMs >= 0).toBe(true);
      }),
    );
  });

  it('of a status that is cut or has a bit flipped is never negative and never thrown', () => {
    const whole = encodeRetryStatus(14, 'busy', 1_500);
    fc.assert(
      fc.property(fc.nat(whole.length * 8 - 1), fc.nat(whole.length), (bit, length) => {
        const broken = Uint8Array.from(whole);
        broken[bit >> 3]! ^= 1 << (bit & 7);
        const delayMs = readRetryAfterMs(broken.subarray(0, length));
        expect(delayMs === undefined || delayMs >= 0).toBe(true);
      }),
    );
  });
});
