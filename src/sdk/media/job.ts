// What the caller's thread hands over for one piece of media: a description, an encoded log record to be completed, and raw bytes.

/** Element types of raw arrays. `bool` is one byte of 0 or 1. */
export const DTYPES = [
  'bool',
  'uint8',
  'int8',
  'uint16',
  'int16',
  'uint32',
  'int32',
  'float32',
  'float64',
] as const;
export type DType = (typeof DTYPES)[number];

export interface RawArray {
  readonly shape: readonly number[];
  readonly dtype: DType;
}

/** How an image's numbers become 0 to 255: see values.ts. With a range it is `[from, to]`, clipped. */
export type ValueRange = readonly [number, number];

/** The order of a video's axes. Frames, videos side by side, channels, height, width. */
export type VideoLayout = 'FHW' | 'FCHW' | 'FHWC' | 'NFCHW';
export type VideoFormat = 'gif' | 'mp4';
export type FieldRendering = 'quiver' | 'magnitude' | 'vorticity';

/** A file as the caller saw it; it must not change until it is sent. */
export interface SeenFile {
  readonly path: string;
  readonly size: number;
  readonly mtimeMs: number;
}

/** What is to be made of the content (or of the named file). */
export type MediaSource =
  | {
      readonly as: 'image';
      readonly array: RawArray;
      readonly range: ValueRange | undefined;
    }
  | {
      readonly as: 'video';
      readonly array: RawArray;
      readonly layout: VideoLayout;
      readonly fps: number;
      readonly format: VideoFormat;
      readonly range: ValueRange | undefined;
    }
  | { readonly as: 'audio'; readonly array: RawArray; readonly sampleRate: number }
  | { readonly as: 'vector_field'; readonly array: RawArray; readonly render: FieldRendering }
  | { readonly as: 'trajectories'; readonly array: RawArray }
  | { readonly as: 'point_cloud'; readonly array: RawArray }
  /** Bytes that are finished. `file`: they are read from there instead of from the content. */
  | { readonly as: 'bytes'; readonly mimeType: string; readonly file?: SeenFile }
  | { readonly as: 'artifact'; readonly path: string; readonly file?: SeenFile }
  | { readonly as: 'folder'; readonly path: string }
  /** Nothing travels but what the record says already. */
  | { readonly as: 'reference' };

export interface MediaJob {
  readonly event: 'media' | 'artifact';
  /** For messages to people: the kind and the name, as in `image "env/frame"`. */
  readonly title: string;
  readonly source: MediaSource;
}

export interface UnpackedJob {
  readonly job: MediaJob;
  /** The log record without what is known only after encoding; further attributes are appended to it. */
  readonly record: Uint8Array;
  readonly content: Uint8Array;
}

/** Raw bytes of one piece of media: a copy of that size still travels between threads. Larger ones go as a file. */
export const MAX_RAW_BYTES = 2 ** 31;
/** Name, caption, metadata and fields of one piece, encoded: they stand in each of its records. */
export const MAX_DESCRIPTION_BYTES = 48 * 1024;
/** No record is larger: receivers of plain OTLP take 4 MiB at most, and a batch of some records must fit. */
export const MAX_MEDIA_RECORD_BYTES = 1024 * 1024;
/** Content of one record; what is larger travels in chunks. The rest of the record has the description and the hash. */
export const CHUNK_BYTES = MAX_MEDIA_RECORD_BYTES - MAX_DESCRIPTION_BYTES - 16 * 1024;

const HEADER_BYTES = 8;
/** Content begins at a multiple of this, so that it can be seen as any typed array. */
const ALIGNMENT = 8;

/** Where small jobs are packed: touching fresh memory costs more than copying into it. It is copied on at once. */
const scratch = { bytes: Buffer.alloc(0) };

/**
 * One buffer for all of it: [bytes of the job u32][bytes of the record u32][job][record][padding][content].
 * @param mayTake is asked with its size before any memory is taken
 * @param copiedBelow up to this size the result is memory that the next call overwrites; above it is its own, to be given away
 * @returns undefined when it says no
 */
export function packJob(
  job: MediaJob,
  record: Uint8Array,
  content: Uint8Array | undefined,
  mayTake: (bytes: number) => boolean,
  copiedBelow = 0,
): Uint8Array | undefined {
  const jobBytes = Buffer.from(JSON.stringify(job));
  const contentAt = aligned(HEADER_BYTES + jobBytes.length + record.length);
  const size = contentAt + (content?.length ?? 0);
  if (!mayTake(size)) return undefined;
  if (size <= copiedBelow && scratch.bytes.length < copiedBelow)
    scratch.bytes = Buffer.allocUnsafeSlow(copiedBelow);
  // Not zeroed first: a large image is written once, not twice.
  const packed = size <= copiedBelow ? scratch.bytes.subarray(0, size) : Buffer.allocUnsafeSlow(size);
  packed.writeUInt32LE(jobBytes.length, 0);
  packed.writeUInt32LE(record.length, 4);
  packed.set(jobBytes, HEADER_BYTES);
  packed.set(record, HEADER_BYTES + jobBytes.length);
  packed.fill(0, HEADER_BYTES + jobBytes.length + record.length, contentAt);
  if (content !== undefined) packed.set(content, contentAt);
  return packed;
}

/** @param packed begins at a multiple of 8 of its memory */
export function unpackJob(packed: Uint8Array): UnpackedJob {
  const view = new DataView(packed.buffer, packed.byteOffset, packed.byteLength);
  const recordAt = HEADER_BYTES + view.getUint32(0, true);
  const recordEnd = recordAt + view.getUint32(4, true);
  return {
    job: JSON.parse(Buffer.from(packed.subarray(HEADER_BYTES, recordAt)).toString('utf8')) as MediaJob,
    record: packed.subarray(recordAt, recordEnd),
    content: packed.subarray(aligned(recordEnd)),
  };
}

function aligned(bytes: number): number {
  return Math.ceil(bytes / ALIGNMENT) * ALIGNMENT;
}
