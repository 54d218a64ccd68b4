// The time of a line is worked out without bigints; it must be what the division of bigints would give.
import { expect, it } from '@jest/globals';
import fc from 'fast-check';
import { unixSeconds } from '../../../../src/collector/exporters/jsonl/lines.ts';

const LARGEST = 2n ** 64n - 1n;

function divided(unixNano: bigint): string {
  const digits = (unixNano / 1_000n).toString().padStart(7, '0');
  return `${digits.slice(0, -6)}.${digits.slice(-6)}`;
}

it('gives whole microseconds, cut and not rounded, for every uint64', () => {
  fc.assert(
    fc.property(fc.bigInt(0n, LARGEST), nano => {
      expect(unixSeconds(nano)).toBe(divided(nano));
    }),
  );
});

it('is exact around whole seconds and around the largest number that is worked out as a double', () => {
  const around = fc.record({
    second: fc.bigInt(1n, LARGEST / 1_000_000_000n - 1n),
    off: fc.bigInt(-2_000n, 2_000n),
  });
  fc.assert(
    fc.property(around, ({ second, off }) => {
      const nano = second * 1_000_000_000n + off;
      expect(unixSeconds(nano)).toBe(divided(nano));
    }),
  );
  for (const nano of [0n, 999n, 1_000n, 2n ** 32n, 2n ** 62n - 1n, 2n ** 62n, LARGEST])
    expect(unixSeconds(nano)).toBe(divided(nano));
});
