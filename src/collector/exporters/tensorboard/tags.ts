// What a series is called in TensorBoard, and what the writer remembers of each tag.
import { createHash } from 'node:crypto';
import { HPARAMS_PREFIX, scalarPrefix } from './events.ts';
import { MAX_TAG_BYTES } from './limits.ts';

/** The plugin of a tag's first value is the tag's for good, in both readers. */
export type TagKind = 'scalars' | 'histograms' | 'text' | 'images' | 'audio' | 'hparams' | 'other';

export interface Tag {
  readonly name: string;
  readonly kind: TagKind;
  /** The encoded beginning of each point; empty for what is no scalar. */
  readonly prefix: Uint8Array;
  /** Last step written; -Infinity before the first point. A point below it is late. */
  last: number;
}

export function newTag(name: string, kind: TagKind): Tag {
  return { name, kind, prefix: kind === 'scalars' ? scalarPrefix(name) : NO_PREFIX, last: -Infinity };
}

/** The tag of a series: its sink name, kept off the names that mean something to TensorBoard, and of a length its UI can take. */
export function tagName(sinkName: string): string {
  let name = sinkName;
  if (name === '' || name.startsWith('/') || name.startsWith(HPARAMS_PREFIX) || RESERVED.has(name)) {
    name = `_${name}`;
  }
  // A UTF-16 unit takes at most three bytes of UTF-8.
  if (name.length * 3 <= MAX_TAG_BYTES) return name;
  const bytes = Buffer.from(name);
  if (bytes.length <= MAX_TAG_BYTES) return name;
  const hash = createHash('sha256').update(bytes).digest('hex').slice(0, 16);
  let end = MAX_TAG_BYTES - 1 - hash.length;
  while ((bytes[end]! & 0xc0) === 0x80) end--;
  return `${bytes.toString('utf8', 0, end)}~${hash}`;
}

/** A step as int64, or NaN where there is none. Fractions are cut: TensorBoard's axis is whole numbers. */
export function wholeStep(step: number): number {
  if (Number.isSafeInteger(step)) return step;
  if (!Number.isFinite(step)) return Number.NaN;
  return Math.min(Math.max(Math.trunc(step), MIN_STEP), MAX_STEP);
}

export function isTagKind(text: string): text is TagKind {
  return KINDS.has(text);
}

const NO_PREFIX = new Uint8Array(0);
const KINDS: ReadonlySet<string> = new Set(['scalars', 'histograms', 'text', 'images', 'audio', 'hparams']);
const RESERVED: ReadonlySet<string> = new Set(['custom_scalars__config__', '__run_graph__']);
/** The ends of int64 among doubles. */
const MIN_STEP = -(2 ** 63);
const MAX_STEP = 2 ** 63 - 1024;
