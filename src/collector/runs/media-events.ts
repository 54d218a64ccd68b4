// Reads media and artifact events: whose bytes, which chunk of them, and what the event says about them. Nothing is believed unchecked.
import type { AnyValue, Attributes, LogRecord } from '../../otlp/model.ts';
import {
  ARTIFACT_CHUNK_COUNT,
  ARTIFACT_CHUNK_INDEX,
  ARTIFACT_CONTENT,
  ARTIFACT_SHA256,
  ARTIFACT_SIZE,
  EVENT_ARTIFACT,
  EVENT_MEDIA,
  MEDIA_CHUNK_COUNT,
  MEDIA_CHUNK_INDEX,
  MEDIA_CONTENT,
  MEDIA_SHA256,
  MEDIA_SIZE,
} from '../../semconv/names.ts';
import { isMap } from './json.ts';

/** Chunks of one content: 64 GiB in pieces of 1 MiB, and a bitmap of at most 8 KiB in the cursor. */
export const MAX_CHUNKS = 65_536;
/** The largest content that is put together from chunks. */
export const MAX_CONTENT_BYTES = 64 * 1024 ** 3;

/** Which content an event means, and the part of it that it carries. Chunks of one content have equal sizes, only the last may be smaller. */
export interface Piece {
  /** 64 lower-case hex digits; empty when the sender gives none. */
  readonly sha256: string;
  /** Bytes of the whole content; undefined when the sender does not say. */
  readonly size: number | undefined;
  readonly index: number;
  readonly count: number;
  /** Undefined: the content came, or comes, with another event. */
  readonly bytes: Uint8Array | undefined;
}

/** A piece of several, with all that is needed to put it into its place. */
export interface Chunk extends Piece {
  readonly size: number;
  readonly bytes: Uint8Array;
}

export interface PieceEvent {
  readonly kind: 'media' | 'artifact';
  readonly piece: Piece;
  /** What the event says, without content and chunk numbers. */
  readonly attributes: Attributes;
}
export type ContentEvent = PieceEvent | { readonly kind: 'malformed'; readonly reason: string };

export const CONTENT_EVENTS: ReadonlySet<string> = new Set([EVENT_MEDIA, EVENT_ARTIFACT]);

interface Keys {
  readonly content: string;
  readonly sha256: string;
  readonly size: string;
  readonly index: string;
  readonly count: string;
}
const MEDIA: Keys = {
  content: MEDIA_CONTENT,
  sha256: MEDIA_SHA256,
  size: MEDIA_SIZE,
  index: MEDIA_CHUNK_INDEX,
  count: MEDIA_CHUNK_COUNT,
};
const ARTIFACT: Keys = {
  content: ARTIFACT_CONTENT,
  sha256: ARTIFACT_SHA256,
  size: ARTIFACT_SIZE,
  index: ARTIFACT_CHUNK_INDEX,
  count: ARTIFACT_CHUNK_COUNT,
};
/** Said by the piece, so left out of `attributes`. */
const PIECE_KEYS: ReadonlySet<string> = new Set([...Object.values(MEDIA), ...Object.values(ARTIFACT)]);
const UTF8 = new TextEncoder();

/** What a media or artifact event says; undefined for any other record. */
export function contentEvent(record: LogRecord): ContentEvent | undefined {
  if (!CONTENT_EVENTS.has(record.eventName)) return undefined;
  const kind = record.eventName === EVENT_MEDIA ? 'media' : 'artifact';
  const piece = pieceOf(record, kind === 'media' ? MEDIA : ARTIFACT);
  if (typeof piece === 'string') return { kind: 'malformed', reason: piece };
  return { kind, piece, attributes: withoutContent(allAttributes(record)) };
}

/** True for a piece that has to be put together with others; `contentEvent` has checked it. */
export function isChunk(piece: Piece): piece is Chunk {
  return piece.count > 1 && piece.bytes !== undefined;
}

/** Attributes without the content's bytes and the numbers that go with them. */
export function withoutContent(attributes: Attributes): Attributes {
  const rest: Attributes = Object.create(null);
  for (const [key, value] of Object.entries(attributes)) if (!PIECE_KEYS.has(key)) rest[key] = value;
  return rest;
}

/** A string attribute, or the default. */
export function text(value: AnyValue | undefined, otherwise = ''): string {
  return typeof value === 'string' ? value : otherwise;
}

/** Older SDKs can only put an event's data into the body: its map counts where there is no attribute. */
function allAttributes(record: LogRecord): Attributes {
  if (!isMap(record.body)) return record.attributes;
  return Object.assign(Object.create(null), record.body, record.attributes);
}

/** A text instead of a piece says what is wrong with it. */
function pieceOf(record: LogRecord, keys: Keys): Piece | string {
  const attributes = allAttributes(record);
  const sha = attributes[keys.sha256];
  const sha256 = text(sha).toLowerCase();
  if (sha !== undefined && !/^[0-9a-f]{64}$/.test(sha256)) return `${keys.sha256} is no SHA-256 in hex`;
  const count = attributes[keys.count] === undefined ? 1 : wholeNumber(attributes[keys.count]);
  const index = attributes[keys.index] === undefined ? 0 : wholeNumber(attributes[keys.index]);
  if (count === undefined || count < 1 || count > MAX_CHUNKS)
    return `${keys.count} is not 1 to ${MAX_CHUNKS}`;
  if (index === undefined || index >= count) return `${keys.index} is not below ${keys.count}`;
  const bytes = bytesOf(
    attributes[keys.content] ?? (record.body instanceof Uint8Array ? record.body : undefined),
  );
  if (bytes === null) return `${keys.content} is neither bytes nor text`;
  const size = attributes[keys.size] === undefined ? undefined : wholeNumber(attributes[keys.size]);
  if (attributes[keys.size] !== undefined && size === undefined) return `${keys.size} is no whole number`;
  if (size !== undefined && size > MAX_CONTENT_BYTES) return `${keys.size} is more than ${MAX_CONTENT_BYTES}`;
  if (count === 1 || bytes === undefined) return { sha256, size, index, count, bytes };
  if (sha256 === '') return `several chunks need ${keys.sha256}`;
  if (size === undefined) return `several chunks need ${keys.size}`;
  if (bytes.length === 0 || count > size) return `${keys.count} chunks do not make ${keys.size} bytes`;
  return { sha256, size, index, count, bytes };
}

function bytesOf(value: AnyValue | undefined): Uint8Array | undefined | null {
  if (value === undefined || value === null) return undefined;
  if (value instanceof Uint8Array) return value;
  return typeof value === 'string' ? UTF8.encode(value) : null;
}

function wholeNumber(value: AnyValue | undefined): number | undefined {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 ? value : undefined;
}
