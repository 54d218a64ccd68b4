// A retry without a batch key: what Kymo's SDK sent and something in between passed on. The request's content names it then.
import { hash } from 'node:crypto';
import type { Signal } from '../../otlp/model.ts';
import { DISTRO_NAME, RUN_ID } from '../../semconv/names.ts';
import { CONTENTS_MAX_AGE_MS, MAX_CONTENTS } from './limits.ts';
import { BatchMarks, type BatchName } from './marks.ts';

const RUN = Buffer.from(RUN_ID);
const DISTRO = Buffer.from(DISTRO_NAME);

/** Contents of the last requests without a key: fewer and younger than batch marks, since nobody keeps such requests in a spool. */
export function recentContents(): BatchMarks {
  return new BatchMarks({ maxSenders: MAX_CONTENTS, maxAgeMs: CONTENTS_MAX_AGE_MS });
}

/**
 * The name of a request by its content; undefined for one that is not of an SDK that names itself and a run. No two of those
 * are ever the same: their items have times, which grow. Others may say the same thing twice and mean it.
 */
export function contentName(batchKey: string, signal: Signal, bytes: Uint8Array): BatchName | undefined {
  if (batchKey !== '') return undefined;
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (!view.includes(RUN) || !view.includes(DISTRO)) return undefined;
  return { sender: `${signal} ${hash('sha256', bytes, 'base64')}`, number: 1 };
}
