// A compressed body is inflated within its limit and its memory, or refused; what was reserved is known to the byte.
import zlib from 'node:zlib';
import { ENCODINGS, inflate } from '../../../src/collector/receivers/otlp/inflate.ts';
import { Reservation } from '../../../src/collector/receivers/otlp/reservation.ts';
import { law, type Target } from '../target.ts';

const LIMIT = 64 * 1024;
const text = Buffer.from('telemetry '.repeat(20));

export const target: Target = {
  name: 'inflate',
  maxBytes: 512,
  covers: /\/src\/collector\/receivers\//,
  words: [Buffer.from('28b52ffd', 'hex'), Buffer.from('502a4d18', 'hex'), Buffer.from('1f8b08', 'hex')],
  seeds: () => [
    Buffer.concat([Buffer.from([1]), zlib.gzipSync(text)]),
    Buffer.concat([Buffer.from([1]), zlib.gzipSync(Buffer.alloc(LIMIT * 4))]),
    Buffer.concat([Buffer.from([2]), zlib.deflateSync(text)]),
    Buffer.concat([Buffer.from([3]), zlib.zstdCompressSync(text), zlib.zstdCompressSync(text)]),
    Buffer.concat([Buffer.from([3]), zlib.zstdCompressSync(Buffer.alloc(LIMIT * 4))]),
  ],
  async run(bytes) {
    const encoding = ENCODINGS[(bytes[0] ?? 0) % ENCODINGS.length]!;
    const body = Buffer.from(bytes.subarray(1));
    let reserved = 0;
    const reservation = new Reservation({
      reserve: amount => {
        if (reserved + amount > 4 * LIMIT) return false;
        reserved += amount;
        return true;
      },
      release: amount => {
        reserved -= amount;
      },
    });
    reservation.growTo(body.length);
    const result = await inflate(encoding, body, LIMIT, reservation);
    if (result.kind === 'ok')
      law(result.bytes.length <= LIMIT, `${result.bytes.length} bytes, beyond the limit`);
    if (result.kind === 'broken') law(result.reason !== '', 'no reason');
    law(reserved === reservation.held, 'somebody else holds memory');
    reservation.release();
    law(reserved === 0, `${reserved} bytes are never given back`);
  },
};
