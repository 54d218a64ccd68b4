// Options of the media calls, and how they are checked: one of a wrong type is thrown at once, a size that cannot be is a bad value.
import type { FieldRendering, ValueRange, VideoFormat, VideoLayout } from '../../sdk/media/job.ts';
import { checkOptions, wrongType } from '../checks.ts';
import type { ShapeOptions } from './shapes.ts';

export interface MediaOptions {
  /** A whole number from 0 to 2^53. Default: the step under way. */
  readonly step?: number;
  /** Default: the name's first segment if that is train, eval, val or test; else train. */
  readonly mode?: string;
  readonly caption?: string;
  /** Further facts, kept beside it. */
  readonly metadata?: Readonly<Record<string, unknown>>;
}
export interface ImageOptions extends MediaOptions, ShapeOptions {
  /** The values that become black and white; what lies outside is clipped. Default: the value rules. */
  readonly range?: ValueRange;
}
export interface VideoOptions extends MediaOptions {
  /** Sizes of the axes of a typed array, such as `[frames, height, width, 3]`. */
  readonly shape?: readonly number[];
  readonly range?: ValueRange;
  /** Frames per second. Default 30. */
  readonly fps?: number;
  /** `mp4` needs the program ffmpeg (on the PATH, or named by KYMO_FFMPEG); without it the video becomes a GIF. Default `gif`, which every viewer shows. */
  readonly format?: VideoFormat;
  /** The order of the axes, where the shape leaves it open: F frames, C channels, H height, W width, N videos. */
  readonly layout?: VideoLayout;
}
export interface AudioOptions extends MediaOptions {
  readonly shape?: readonly number[];
  /** Samples per second and channel; needed for samples, not for files. */
  readonly sampleRate?: number;
}
export interface FieldOptions extends MediaOptions {
  readonly shape?: readonly number[];
  /** Arrows over the magnitude (default), the magnitude alone, or the vorticity. */
  readonly render?: FieldRendering;
}
export interface ArrayOptions extends MediaOptions {
  readonly shape?: readonly number[];
}
export interface TableOptions extends MediaOptions {
  /** Names of the columns; needed where rows are arrays. */
  readonly columns?: readonly string[];
}
export interface TextOptions extends MediaOptions {
  readonly format?: 'plain' | 'markdown';
}
export interface ArtifactOptions {
  readonly step?: number;
  /** What it is, such as `model` or `dataset`. Default `file`. */
  readonly type?: string;
  /** Further names of this version, such as `best`. */
  readonly aliases?: readonly string[];
  readonly metadata?: Readonly<Record<string, unknown>>;
  /** It is the best so far. */
  readonly best?: boolean;
  /** The source is the content itself, and this its format; without it a string is a path or an address. */
  readonly format?: (typeof ARTIFACT_FORMATS)[number];
}
/** Step and mode of all that one call writes. */
export interface RowMediaOptions {
  readonly step?: number;
  readonly mode?: string;
  readonly metadata?: Readonly<Record<string, unknown>>;
}

export const ARTIFACT_FORMATS = ['bin', 'txt', 'csv', 'json', 'yaml', 'md', 'html'] as const;
const LAYOUTS = ['FHW', 'FCHW', 'FHWC', 'NFCHW'] as const;
const COMMON = ['step', 'mode', 'caption', 'metadata'] as const;

const KNOWN = {
  image: [...COMMON, 'shape', 'width', 'height', 'range'],
  video: [...COMMON, 'shape', 'range', 'fps', 'format', 'layout'],
  audio: [...COMMON, 'shape', 'sampleRate'],
  vector: ['step', 'mode'],
  vectorField: [...COMMON, 'shape', 'render'],
  trajectories: [...COMMON, 'shape'],
  pointCloud: [...COMMON, 'shape'],
  table: [...COMMON, 'columns'],
  html: COMMON,
  text: [...COMMON, 'format'],
  artifact: ['step', 'type', 'aliases', 'metadata', 'best', 'format'],
  dictionary: ['step', 'mode', 'metadata'],
  push: ['step', 'mode', 'metadata'],
} as const satisfies Record<string, readonly string[]>;
export type MediaCall = keyof typeof KNOWN;

/** What each option must be. A step is judged later, and so are the numbers of `SIZES`: they may turn bad in a running loop. */
const CHECKS: Readonly<Record<string, (value: unknown, call: string) => string | undefined>> = {
  mode: value => (isText(value) ? undefined : 'a string with something in it'),
  caption: value => (typeof value === 'string' ? undefined : 'a string'),
  metadata: value =>
    typeof value === 'object' && value !== null && !Array.isArray(value) ? undefined : 'an object',
  shape: value =>
    Array.isArray(value) && value.every(isNumber) ? undefined : 'an array of whole numbers from 1 on',
  width: value => (isNumber(value) ? undefined : 'a whole number from 1 on'),
  height: value => (isNumber(value) ? undefined : 'a whole number from 1 on'),
  range: value =>
    Array.isArray(value) && value.length === 2 && value.every(isNumber)
      ? undefined
      : 'two finite numbers, the lower first',
  fps: value =>
    typeof value === 'number' && value > 0 && value <= MAX_FPS
      ? undefined
      : `a number above 0, at most ${MAX_FPS}`,
  layout: value => oneOf(LAYOUTS, value),
  format: (value, call) =>
    oneOf(
      call === 'video' ? ['gif', 'mp4'] : call === 'text' ? ['plain', 'markdown'] : ARTIFACT_FORMATS,
      value,
    ),
  sampleRate: value =>
    Number.isInteger(value) && (value as number) >= 1 && (value as number) <= MAX_SAMPLE_RATE
      ? undefined
      : `a whole number from 1 to ${MAX_SAMPLE_RATE}`,
  render: value => oneOf(['quiver', 'magnitude', 'vorticity'], value),
  columns: value => (isTexts(value) ? undefined : 'an array of strings'),
  aliases: value => (isTexts(value) ? undefined : 'an array of strings'),
  type: value => (isText(value) ? undefined : 'a string with something in it'),
  best: value => (typeof value === 'boolean' ? undefined : 'true or false'),
};
/** Speeds: a script says them once, so that a number that cannot be is thrown at once as well. */
const RATES = new Set(['fps', 'sampleRate']);
const MAX_FPS = 1_000;
const MAX_SAMPLE_RATE = 768_000;

/** What the numbers must be that come from the data, such as the count of points of this step. */
const SIZES: Readonly<Record<string, (value: unknown) => string | undefined>> = {
  shape: value =>
    Array.isArray(value) && value.length > 0 && value.every(isSide)
      ? undefined
      : 'an array of whole numbers from 1 on',
  width: value => (isSide(value) ? undefined : 'a whole number from 1 on'),
  height: value => (isSide(value) ? undefined : 'a whole number from 1 on'),
  range: value =>
    Array.isArray(value) && value.every(Number.isFinite) && value[0] < value[1]
      ? undefined
      : 'two finite numbers, the lower first',
};
/** Numbers of one shape that a message repeats: more than any array has axes. */
const MAX_SHOWN_NUMBERS = 8;

/** Throws a TypeError for options of the wrong type and a RangeError for a rate that cannot be. */
export function checkMediaCall(call: MediaCall, name: unknown, options: unknown): void {
  if (!isText(name)) throw wrongType(`${call}(name)`, 'a string with something in it', name);
  if (options === undefined) return;
  checkOptions(call, options, KNOWN[call]);
  for (const [key, value] of Object.entries(options as object)) {
    const expected = value === undefined ? undefined : CHECKS[key]?.(value, call);
    if (expected === undefined) continue;
    const error = wrongType(`${call}({${key}})`, expected, value);
    throw typeof value === 'number' && RATES.has(key) ? new RangeError(error.message) : error;
  }
}

/** Throws a RangeError for a size that cannot be: a value as bad as a NaN among the pixels, to be judged as one. */
export function checkSizes(subject: string, options: object): void {
  for (const [key, value] of Object.entries(options)) {
    const expected = value === undefined ? undefined : SIZES[key]?.(value);
    if (expected !== undefined)
      throw new RangeError(
        `kymo: ${subject} has {${key}: ${shownNumbers(value)}}; ${key} must be ${expected}`,
      );
  }
}

/** As JSON, but for NaN and Infinity, which JSON would show as null. */
function shownNumbers(value: number | readonly number[]): string {
  if (typeof value === 'number') return String(value);
  const rest = value.length > MAX_SHOWN_NUMBERS ? ', …' : '';
  return `[${value.slice(0, MAX_SHOWN_NUMBERS).join(', ')}${rest}]`;
}

function isNumber(value: unknown): boolean {
  return typeof value === 'number';
}

function isSide(value: unknown): boolean {
  return Number.isSafeInteger(value) && (value as number) >= 1;
}

function isText(value: unknown): boolean {
  return typeof value === 'string' && value !== '';
}

function isTexts(value: unknown): boolean {
  return Array.isArray(value) && value.every(item => typeof item === 'string');
}

function oneOf(values: readonly string[], value: unknown): string | undefined {
  return values.includes(value as string) ? undefined : `one of ${values.join(', ')}`;
}
