// Puts media and artifacts of received log records together again, as a sink would, and checks what the records say of them.
import { createHash } from 'node:crypto';
import { expect } from '@jest/globals';
import type { LogRecord } from '../../src/otlp/model.ts';

export interface Received {
  readonly name: string;
  readonly mimeType: string;
  readonly attributes: Record<string, unknown>;
  readonly sha256: string;
  /** Undefined where the event only refers to content that came before. */
  readonly bytes: Buffer | undefined;
  readonly record: LogRecord;
  readonly chunks: number;
}

/** In the order in which they became whole; chunks may come in any. Fails when one is missing or the whole is not what its hash says. */
export function received(logs: readonly LogRecord[], event: 'media' | 'artifact' = 'media'): Received[] {
  const out: Received[] = [];
  const key = (name: string) => `kymo.${event}.${name}`;
  const open = new Map<string, Buffer[]>();
  for (const record of logs) {
    if (record.eventName !== key('').slice(0, -1)) continue;
    const attributes = record.attributes as Record<string, unknown>;
    const content = attributes[key('content')] as Uint8Array | undefined;
    const count = (attributes[key('chunk.count')] as number | undefined) ?? 1;
    let bytes = content === undefined ? undefined : Buffer.from(content);
    if (count > 1) {
      const whole = String(attributes[key('sha256')]);
      const parts = open.get(whole) ?? [];
      const index = attributes[key('chunk.index')] as number;
      // What went through the spool may come twice; a collector tells by the batch's key.
      if (parts[index] !== undefined) expect(parts[index].equals(bytes!)).toBe(true);
      parts[index] = bytes!;
      open.set(whole, parts);
      if (Object.keys(parts).length < count) continue;
      open.delete(whole);
      expect(new Set(parts.slice(0, -1).map(part => part.length)).size).toBe(1);
      bytes = Buffer.concat(parts);
    }
    const sha256 = String(attributes[key('sha256')] ?? '');
    if (bytes !== undefined) {
      expect(createHash('sha256').update(bytes).digest('hex')).toBe(sha256);
      expect(attributes[key('size')]).toBe(bytes.length);
    }
    out.push({
      name: String(attributes[key('name')]),
      mimeType: String(attributes[key('mime_type')] ?? ''),
      attributes,
      sha256,
      bytes,
      record,
      chunks: count,
    });
  }
  expect([...open.keys()]).toEqual([]);
  return out;
}
