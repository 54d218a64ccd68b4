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

/** In order of arrival. Fails when a chunk is missing, has another size than its siblings, or the whole is not what its hash says. */
export function received(logs: readonly LogRecord[], event: 'media' | 'artifact' = 'media'): Received[] {
  const out: Received[] = [];
  const key = (name: string) => `kymo.${event}.${name}`;
  const open: { first: LogRecord; parts: Buffer[] }[] = [];
  for (const record of logs) {
    if (record.eventName !== key('').slice(0, -1)) continue;
    const attributes = record.attributes as Record<string, unknown>;
    const content = attributes[key('content')] as Uint8Array | undefined;
    const count = (attributes[key('chunk.count')] as number | undefined) ?? 1;
    const index = (attributes[key('chunk.index')] as number | undefined) ?? 0;
    let parts: Buffer[] = content === undefined ? [] : [Buffer.from(content)];
    if (count > 1) {
      const sha256 = attributes[key('sha256')];
      if (index === 0) open.push({ first: record, parts: [] });
      const whole = open.find(one => one.first.attributes[key('sha256')] === sha256)!;
      expect(whole.parts).toHaveLength(index);
      if (index > 0 && index < count - 1) expect(content).toHaveLength(whole.parts[0]!.length);
      whole.parts.push(...parts);
      if (index < count - 1) continue;
      open.splice(open.indexOf(whole), 1);
      parts = whole.parts;
    }
    const bytes = content === undefined ? undefined : Buffer.concat(parts);
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
  expect(open).toEqual([]);
  return out;
}
