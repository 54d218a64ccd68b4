// Media and artifact events as senders make them: one record, or chunks of one content.
import { createHash } from 'node:crypto';
import type { AnyValue } from '../../src/otlp/model.ts';
import type { TestLog } from './batches.ts';

export function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

export interface TestMedia {
  readonly name?: string;
  readonly kind?: string;
  readonly mime?: string;
  readonly step?: number;
  readonly bytes?: Uint8Array;
  /** Bytes of a chunk; without it the content travels in one record. */
  readonly chunk?: number;
  /** Names a content without bringing it. */
  readonly sha?: string;
  readonly time?: bigint;
  readonly more?: Readonly<Record<string, AnyValue>>;
}

/** The records of one media event. */
export function media(one: TestMedia): TestLog[] {
  const { name = 'pic', kind = 'image', mime = 'image/png', step } = one;
  return records('kymo.media', one, {
    'kymo.media.name': name,
    'kymo.media.kind': kind,
    'kymo.media.mime_type': mime,
    ...(step !== undefined && { 'kymo.step': step }),
    ...one.more,
  });
}

/** The records of one artifact event. */
export function artifact(
  one: TestMedia & { readonly path?: string; readonly aliases?: readonly string[] },
): TestLog[] {
  const { name = 'model', path, aliases, step } = one;
  return records('kymo.artifact', one, {
    'kymo.artifact.name': name,
    ...(path !== undefined && { 'kymo.artifact.path': path }),
    ...(aliases !== undefined && { 'kymo.artifact.aliases': aliases }),
    ...(step !== undefined && { 'kymo.step': step }),
    ...one.more,
  });
}

function records(
  event: 'kymo.media' | 'kymo.artifact',
  one: TestMedia,
  said: Record<string, AnyValue>,
): TestLog[] {
  const { bytes, chunk, sha, time } = one;
  const record = (attributes: Record<string, AnyValue>): TestLog => ({
    eventName: event,
    ...(time !== undefined && { timeUnixNano: time }),
    attributes: { ...said, ...attributes },
  });
  const key = (name: string) => `${event}.${name}`;
  if (bytes === undefined) return [record(sha === undefined ? {} : { [key('sha256')]: sha })];
  const whole = { [key('sha256')]: sha ?? sha256(bytes), [key('size')]: bytes.length };
  if (chunk === undefined) return [record({ ...whole, [key('content')]: bytes })];
  const count = Math.ceil(bytes.length / chunk);
  return Array.from({ length: count }, (_, i) =>
    record({
      ...whole,
      [key('chunk.index')]: i,
      [key('chunk.count')]: count,
      [key('content')]: bytes.subarray(i * chunk, (i + 1) * chunk),
    }),
  );
}

/** Bytes that differ for each seed. */
export function bytesOf(seed: number, length: number): Uint8Array {
  let state = (seed + 1) * 2654435761;
  return Uint8Array.from({ length }, () => {
    state = (Math.imul(state ^ (state >>> 15), 2246822519) + 374761393) >>> 0;
    return state >>> 24;
  });
}
