// What each medium takes, in which shapes, and which job for the media thread it becomes. Throws a TypeError or RangeError for other things.
import type { Format } from '../../sdk/media/formats.ts';
import { formatOf } from '../../sdk/media/formats.ts';
import { MAX_RAW_BYTES, type MediaSource, type VideoLayout } from '../../sdk/media/job.ts';
import { kindOf } from '../checks.ts';
import { findFile } from './files.ts';
import type { ArrayOptions, AudioOptions, FieldOptions, ImageOptions, VideoOptions } from './options.ts';
import { bytesOf, firstNotFinite, type Numbers, placeOf, readArray, type ShapeOptions } from './shapes.ts';

/** A job's source with its raw bytes, which are still the caller's. */
export interface Prepared {
  readonly source: MediaSource;
  readonly content: Uint8Array | undefined;
  /** To be told once: how something was understood that could mean another thing. */
  readonly remark?: string;
}

const DEFAULT_FPS = 30;
const MAX_AUDIO_CHANNELS = 16;

export function imageSource(subject: string, value: unknown, options: ImageOptions): Prepared {
  const finished = finishedBytes(subject, value, options, ['image'], 'an image (PNG, JPEG, WebP or GIF)');
  if (finished !== undefined) return finished;
  const accepted = '[height, width] and [height, width, 1, 3 or 4]';
  const array = numbersOf(subject, value, options, accepted);
  if (!isImageShape(array.shape)) throw wrongShape(subject, array, accepted);
  requireFinite(subject, array, 'pixels');
  const [height, width, channels = 1] = array.shape;
  return job(subject, array, {
    as: 'image',
    array: { dtype: array.dtype, shape: [height!, width!, channels] },
    range: options.range,
  });
}

/** Two axes, or three of which the last is a channel count. */
export function isImageShape(shape: readonly number[]): boolean {
  return shape.length === 2 || (shape.length === 3 && isChannels(shape[2]!));
}

export function videoSource(subject: string, value: unknown, options: VideoOptions): Prepared {
  const finished = finishedBytes(subject, value, options, ['video', 'image'], 'a video (MP4, WebM or GIF)');
  if (finished !== undefined) return finished;
  const accepted =
    '[frames, height, width], [frames, channels, height, width], [frames, height, width, channels] and ' +
    '[videos, frames, channels, height, width] with 1, 3 or 4 channels';
  const array = numbersOf(subject, value, options, accepted);
  const layouts = videoLayouts(array.shape);
  const { layout = layouts[0] } = options;
  if (layout === undefined || !layouts.includes(layout)) throw wrongShape(subject, array, accepted);
  requireSides(subject, array, layout);
  requireFinite(subject, array, 'pixels');
  const prepared = job(subject, array, {
    as: 'video',
    array: { dtype: array.dtype, shape: array.shape },
    layout,
    fps: options.fps ?? DEFAULT_FPS,
    format: options.format ?? 'gif',
    range: options.range,
  });
  if (layouts.length === 1 || options.layout !== undefined) return prepared;
  const remark = `${subject} has shape [${array.shape.join(', ')}], which is taken as channels first; say {layout: "FHWC"} if they are last`;
  return { ...prepared, remark };
}

/** In which orders a shape can be read, the preferred one first. */
export function videoLayouts(shape: readonly number[]): VideoLayout[] {
  if (shape.length === 3) return ['FHW'];
  if (shape.length === 5) return isChannels(shape[2]!) ? ['NFCHW'] : [];
  if (shape.length !== 4) return [];
  const layouts: VideoLayout[] = [];
  if (isChannels(shape[1]!)) layouts.push('FCHW');
  if (isChannels(shape[3]!)) layouts.push('FHWC');
  return layouts;
}

export function audioSource(subject: string, value: unknown, options: AudioOptions): Prepared {
  const finished = finishedBytes(subject, value, options, ['audio'], 'audio (WAV, MP3, Ogg or FLAC)');
  if (finished !== undefined) return finished;
  const accepted = `[samples] and [samples, 1 to ${MAX_AUDIO_CHANNELS} channels]`;
  const array = numbersOf(subject, value, options, accepted);
  const [samples, channels = 1] = array.shape;
  if (array.shape.length > 2 || channels > MAX_AUDIO_CHANNELS) throw wrongShape(subject, array, accepted);
  if (options.sampleRate === undefined)
    throw new TypeError(`kymo: ${subject} needs {sampleRate}: samples per second, such as 44100`);
  requireFinite(subject, array, 'samples');
  if (!['float32', 'float64', 'int16', 'int32', 'uint8'].includes(array.dtype))
    throw new TypeError(
      `kymo: ${subject} has ${array.dtype} samples; accepted are float, int16, int32 and uint8`,
    );
  return job(subject, array, {
    as: 'audio',
    array: { dtype: array.dtype, shape: [samples!, channels] },
    sampleRate: options.sampleRate,
  });
}

export function fieldSource(subject: string, value: unknown, options: FieldOptions): Prepared {
  const accepted = '[height, width, 2]';
  const array = numbersOf(subject, value, options, accepted);
  if (array.shape.length !== 3 || array.shape[2] !== 2) throw wrongShape(subject, array, accepted);
  requireFinite(subject, array, 'vectors');
  return job(subject, array, {
    as: 'vector_field',
    array: { dtype: array.dtype, shape: array.shape },
    render: options.render ?? 'quiver',
  });
}

export function trajectoriesSource(subject: string, value: unknown, options: ArrayOptions): Prepared {
  const accepted = '[trajectories, length, 2 or 3]';
  const array = numbersOf(subject, value, options, accepted);
  const [, , dimensions] = array.shape;
  if (array.shape.length !== 3 || (dimensions !== 2 && dimensions !== 3))
    throw wrongShape(subject, array, accepted);
  // NaN is a gap: trajectories of different lengths are padded with it.
  if (!hasFinite(array))
    throw new RangeError(
      `kymo: ${subject} has no finite value among ${array.data.length} (shape [${array.shape.join(', ')}]); accepted are points, and NaN as a gap`,
    );
  return job(subject, array, { as: 'trajectories', array: { dtype: array.dtype, shape: array.shape } });
}

export function pointCloudSource(subject: string, value: unknown, options: ArrayOptions): Prepared {
  const accepted = '[points, 3: x y z], [points, 4: and a category], [points, 6: and red green blue]';
  const array = numbersOf(subject, value, options, accepted);
  if (array.shape.length !== 2 || ![3, 4, 6].includes(array.shape[1]!))
    throw wrongShape(subject, array, accepted);
  requireFinite(subject, array, 'points');
  return job(subject, array, { as: 'point_cloud', array: { dtype: array.dtype, shape: array.shape } });
}

export function textSource(subject: string, value: unknown, mimeType: string): Prepared {
  if (typeof value !== 'string')
    throw new TypeError(`kymo: ${subject} must be a string, not ${kindOf(value)}`);
  if (value === '') throw new RangeError(`kymo: ${subject} is empty`);
  return { source: { as: 'bytes', mimeType }, content: Buffer.from(value) };
}

/** In how many pixels GIF can count; side by side counts too. */
const MAX_GIF_SIDE = 65_535;

function requireSides(subject: string, { shape }: Numbers, layout: VideoLayout): void {
  const columns = layout === 'NFCHW' ? Math.ceil(Math.sqrt(shape[0]!)) : 1;
  const height = shape[layout.indexOf('H')]! * columns;
  const width = shape[layout.indexOf('W')]! * columns;
  if (height > MAX_GIF_SIDE || width > MAX_GIF_SIDE)
    throw new RangeError(
      `kymo: ${subject} has frames of ${height} by ${width} pixels; at most ${MAX_GIF_SIDE} by ${MAX_GIF_SIDE} are taken`,
    );
}

function isChannels(count: number): boolean {
  return count === 1 || count === 3 || count === 4;
}

/** Bytes and files of one of these families; undefined for arrays. */
function finishedBytes(
  subject: string,
  value: unknown,
  options: ShapeOptions,
  families: readonly Format['family'][],
  wanted: string,
): Prepared | undefined {
  const isFile = typeof value === 'string' || value instanceof URL;
  if (isFile) {
    const found = findFile(subject, value);
    if (found.kind === 'folder')
      throw new TypeError(`kymo: ${subject} names a folder; accepted is ${wanted}`);
    const { format } = found;
    if (format === undefined || !families.includes(format.family))
      throw new TypeError(`kymo: ${subject} names ${found.name}, which is none; accepted is ${wanted}`);
    if (found.kind === 'small')
      return { source: { as: 'bytes', mimeType: format.mimeType }, content: found.bytes };
    return { source: { as: 'bytes', mimeType: format.mimeType, file: found.file }, content: undefined };
  }
  const bytes =
    value instanceof ArrayBuffer
      ? new Uint8Array(value)
      : isBytes(value) && options.shape === undefined && options.width === undefined
        ? value
        : undefined;
  if (bytes === undefined) return undefined;
  const format = formatOf(bytes);
  if (format !== undefined && families.includes(format.family)) {
    requireSize(subject, bytes.length);
    return { source: { as: 'bytes', mimeType: format.mimeType }, content: bytes };
  }
  if (families.includes('audio') && !(value instanceof ArrayBuffer)) return undefined;
  const what = format === undefined ? 'in no format that is known' : format.mimeType;
  throw new TypeError(
    `kymo: ${subject} is ${bytes.length} bytes ${what}; accepted are ${wanted}, or pixels with {shape} or {width, height}`,
  );
}

function isBytes(value: unknown): value is Uint8Array {
  return Object.prototype.toString.call(value) === '[object Uint8Array]';
}

function numbersOf(subject: string, value: unknown, options: ShapeOptions, accepted: string): Numbers {
  const array = readAccepted(subject, value, options, accepted);
  if (array === undefined)
    throw new TypeError(
      `kymo: ${subject} must be an array of shape ${accepted} (a tensor, a typed array with its shape, nested arrays), not ${kindOf(value)}`,
    );
  if (array.data.length === 0)
    throw new RangeError(
      `kymo: ${subject} is empty (shape [${array.shape.join(', ')}]); accepted are ${accepted}`,
    );
  return array;
}

/** As `readArray`; its errors say what is accepted. */
export function readAccepted(
  subject: string,
  value: unknown,
  options: ShapeOptions,
  accepted: string,
): Numbers | undefined {
  try {
    return readArray(subject, value, options);
  } catch (error) {
    if (!(error instanceof TypeError || error instanceof RangeError) || !error.message.startsWith('kymo: '))
      throw error;
    const message = `${error.message}; accepted are arrays of shape ${accepted}`;
    throw error instanceof RangeError ? new RangeError(message) : new TypeError(message);
  }
}

function wrongShape(subject: string, array: Numbers, accepted: string): RangeError {
  return new RangeError(
    `kymo: ${subject} has shape [${array.shape.join(', ')}] (${array.dtype}); accepted are ${accepted}`,
  );
}

function requireFinite(subject: string, array: Numbers, what: string): void {
  const first = firstNotFinite(array);
  if (first < 0) return;
  let count = 0;
  for (let i = first; i < array.data.length; i++) if (!Number.isFinite(array.data[i]!)) count++;
  throw new RangeError(
    `kymo: ${subject} has ${count} of ${array.data.length} values in its ${what} that are NaN or infinite, the first at ${placeOf(array.shape, first)}; accepted are finite numbers`,
  );
}

function hasFinite({ data }: Numbers): boolean {
  for (let i = 0; i < data.length; i++) if (Number.isFinite(data[i]!)) return true;
  return false;
}

function requireSize(subject: string, bytes: number): void {
  if (bytes > MAX_RAW_BYTES)
    throw new RangeError(
      `kymo: ${subject} has ${bytes} bytes; at most ${MAX_RAW_BYTES} are taken (larger ones as a file)`,
    );
}

function job(subject: string, array: Numbers, source: MediaSource): Prepared {
  requireSize(subject, array.data.byteLength);
  return { source, content: bytesOf(array) };
}
