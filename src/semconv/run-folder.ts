// Which folder a run is written to: one path segment, safe on every file system, made from any run id.
import { createHash } from 'node:crypto';

/** File systems allow 255 bytes in a name; the rest is for what sinks append (`.json.tmp`, a writer's part). */
export const MAX_FOLDER_BYTES = 200;
/** Hex digits of SHA-256 in a suffix: 128 bits, so that nobody finds two ids with one folder. */
const HASH_DIGITS = 32;
/** Ends the readable part of a folder whose name needs a hash. `x` is no hex digit, so no escape looks like this. */
const HASH_MARK = '~x';
/** Names that Windows keeps for devices, with any extension and in any case. */
const DEVICE = /^(con|prn|aux|nul|com[0-9]|lpt[0-9])(\.|$)/i;

/** What the platform's file systems usually do with `Run` and `run`. */
export const USUALLY_CASE_SENSITIVE = process.platform !== 'darwin' && process.platform !== 'win32';

/**
 * The folder of a run. Letters, digits, `.`, `_` and `-` stay; everything else, `~` included, becomes `~` and four hex
 * digits per UTF-16 unit, and so does a leading `.` or `-`, a trailing `.`, and the first letter of a device name. A name that
 * would be longer than 200 bytes is cut and ends in `~x` and a hash of the whole id. Where file names ignore case, so does
 * an id with upper-case letters. Different ids have different folders, and none leads out of the folder it stands in.
 */
export function escapeRunId(id: string, caseSensitive = USUALLY_CASE_SENSITIVE): string {
  const escaped = escapeUnits(id);
  if (escaped.length <= MAX_FOLDER_BYTES && (caseSensitive || !/[A-Z]/.test(escaped))) return escaped;
  const cut = escaped
    .slice(0, MAX_FOLDER_BYTES - HASH_MARK.length - HASH_DIGITS)
    // An escape cut in two would not be wrong, only unreadable.
    .replace(/~[0-9a-f]{0,3}$/, '');
  return `${cut}${HASH_MARK}${hash(id)}`;
}

function escapeUnits(id: string): string {
  let text = '';
  for (let i = 0; i < id.length; i++) {
    const unit = id.charCodeAt(i);
    const keep =
      (unit >= 0x61 && unit <= 0x7a) ||
      (unit >= 0x41 && unit <= 0x5a) ||
      (unit >= 0x30 && unit <= 0x39) ||
      unit === 0x5f ||
      (unit === 0x2d && i > 0) ||
      (unit === 0x2e && i > 0 && i < id.length - 1);
    text += keep ? id[i] : escapeUnit(unit);
  }
  return DEVICE.test(text) ? escapeUnit(text.charCodeAt(0)) + text.slice(1) : text;
}

function escapeUnit(unit: number): string {
  return `~${unit.toString(16).padStart(4, '0')}`;
}

/** Over the UTF-16 units: as UTF-8 all lone surrogates would be the same replacement character. */
function hash(id: string): string {
  return createHash('sha256').update(Buffer.from(id, 'utf16le')).digest('hex').slice(0, HASH_DIGITS);
}
