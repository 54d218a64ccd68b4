// What names that senders chose become as files and folders: readable, on every file system, never leading anywhere else.
import { createHash } from 'node:crypto';

/** File systems allow 255 bytes in a name; the rest is for step, hash, extension and `.tmp`. */
const MAX_SEGMENT_BYTES = 150;
/** A path deeper than this becomes one flat name. */
const MAX_DEPTH = 16;
/** And one longer than this, so that root, run folder and it stay below what systems take (4,096 on Linux). */
const MAX_PATH_BYTES = 1_000;
const HASH_DIGITS = 16;
/** Control, format and unassigned characters, lone surrogates, separators other than a space; what Windows refuses; our own escape. */
const HOSTILE = /[\p{C}\p{Zl}\p{Zp}<>:"/\\|?*~]|(?! )\p{Zs}/gu;
/** Names that Windows keeps for devices, with any extension. */
const DEVICE = /^(con|prn|aux|nul|com[0-9]|lpt[0-9])(?=\.|$)/i;

/**
 * One name as one path segment. Letters of all scripts, digits, spaces and most signs stay; anything else becomes `~` and the hex digits of its
 * UTF-16 units, as do a leading dot or space and a trailing one. An empty name is `~`. A long one is cut and ends in `~x` and a hash.
 * Different names have different segments (but for letter case and normal forms, where a file system ignores those).
 */
export function fileSegment(name: string): string {
  if (name === '') return '~';
  let text = name.replace(HOSTILE, escaped);
  text = text
    .replace(/^[. ]/, escaped)
    .replace(/[. ]$/, escaped)
    .replace(DEVICE, word => escaped(word[0]!) + word.slice(1));
  if (Buffer.byteLength(text) <= MAX_SEGMENT_BYTES) return text;
  const kept = Buffer.from(text).subarray(0, MAX_SEGMENT_BYTES - HASH_DIGITS - 2);
  // Neither a character nor an escape cut in two.
  const whole = new TextDecoder()
    .decode(kept)
    .replace(/\ufffd+$/, '')
    .replace(/~[0-9a-f]{0,3}$/, '');
  return `${whole}~x${hashOf(name)}`;
}

/** A name with slashes as path segments, each made by `fileSegment`. Empty parts are left out; too deep or too long, it becomes one segment. */
export function pathSegments(name: string): readonly string[] {
  const parts = name.split('/').filter(part => part !== '');
  if (parts.length > MAX_DEPTH || Buffer.byteLength(name) > MAX_PATH_BYTES) return [fileSegment(name)];
  const segments = parts.map(fileSegment);
  return segments.length === 0 ? [fileSegment(name)] : segments;
}

/** A folder's segment that no file's name can equal: without dots, where every file has one. */
export function folderSegment(segment: string): string {
  return segment.replaceAll('.', escaped);
}

const EXTENSIONS: ReadonlyMap<string, string> = new Map(
  Object.entries({
    'image/png': 'png',
    'image/jpeg': 'jpg',
    'image/gif': 'gif',
    'image/webp': 'webp',
    'image/bmp': 'bmp',
    'image/svg+xml': 'svg',
    'video/mp4': 'mp4',
    'video/webm': 'webm',
    'audio/wav': 'wav',
    'audio/wave': 'wav',
    'audio/x-wav': 'wav',
    'audio/vnd.wave': 'wav',
    'audio/mpeg': 'mp3',
    'audio/ogg': 'ogg',
    'audio/flac': 'flac',
    'text/plain': 'txt',
    'text/markdown': 'md',
    'text/html': 'html',
    'text/csv': 'csv',
    'application/json': 'json',
    'application/x-ndjson': 'jsonl',
    'application/jsonl': 'jsonl',
    'application/x-npy': 'npy',
    'model/ply': 'ply',
    'application/x-npz': 'npz',
    'application/yaml': 'yaml',
    'application/pdf': 'pdf',
    'application/zip': 'zip',
  }),
);

/** The extension of a media type, without a dot; `bin` for one that is not known. */
export function extensionOf(mimeType: string): string {
  return EXTENSIONS.get(bareMimeType(mimeType)) ?? 'bin';
}

/** `text/html; charset=utf-8` is `text/html`. */
export function bareMimeType(mimeType: string): string {
  return mimeType.split(';', 1)[0]!.trim().toLowerCase();
}

function escaped(character: string): string {
  let text = '';
  for (let i = 0; i < character.length; i++) {
    text += `~${character.charCodeAt(i).toString(16).padStart(4, '0')}`;
  }
  return text;
}

function hashOf(name: string): string {
  return createHash('sha256').update(Buffer.from(name, 'utf16le')).digest('hex').slice(0, HASH_DIGITS);
}
