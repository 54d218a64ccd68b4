// Arrays by name as NumPy's .npz: a ZIP archive of .npy files, stored as they are.
// https://numpy.org/doc/stable/reference/generated/numpy.savez.html, https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT (6.3.10, 4.3)
import { crc32 } from 'node:zlib';
import { encodeNpy } from '../research/media/npy.ts';
import type { FieldDType } from './spec.ts';

export interface NamedArray {
  readonly name: string;
  readonly dtype: FieldDType;
  readonly shape: readonly number[];
  readonly data: Float32Array | Int32Array | Uint8Array;
}

const LOCAL_HEADER = 0x04034b50;
const CENTRAL_HEADER = 0x02014b50;
const END_OF_CENTRAL = 0x06054b50;
const VERSION = 20;
/** Names are UTF-8. */
const UTF8_FLAG = 1 << 11;
/** 1 January 1980: archives of equal arrays are equal. */
const DATE = (1 << 5) | 1;
const LOCAL_BYTES = 30;
const CENTRAL_BYTES = 46;
const END_BYTES = 22;
/** What sizes and offsets can say without ZIP64. */
const MAX_ARCHIVE_BYTES = 2 ** 32 - 1;

export function encodeArray({ dtype, shape, data }: NamedArray): Uint8Array {
  return encodeNpy({ dtype, shape }, new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
}

/** Throws a RangeError for more than 4 GiB. */
export function encodeNpz(arrays: readonly NamedArray[]): Uint8Array {
  const parts: Uint8Array[] = [];
  const directory: Uint8Array[] = [];
  let offset = 0;
  for (const [i, name] of entryNames(arrays.map(array => array.name)).entries()) {
    const file = Buffer.from(`${name}.npy`);
    const content = encodeArray(arrays[i]!);
    const common = commonHeader(file, content);
    const local = Buffer.alloc(LOCAL_BYTES);
    local.writeUInt32LE(LOCAL_HEADER, 0);
    common.copy(local, 4);
    const central = Buffer.alloc(CENTRAL_BYTES);
    central.writeUInt32LE(CENTRAL_HEADER, 0);
    central.writeUInt16LE(VERSION, 4);
    common.copy(central, 6);
    central.writeUInt32LE(offset, 42);
    parts.push(local, file, content);
    directory.push(central, file);
    offset += LOCAL_BYTES + file.length + content.length;
    if (offset > MAX_ARCHIVE_BYTES)
      throw new RangeError('kymo: the arrays need more than 4 GiB; take fewer frames');
  }
  const size = directory.reduce((sum, part) => sum + part.length, 0);
  const end = Buffer.alloc(END_BYTES);
  end.writeUInt32LE(END_OF_CENTRAL, 0);
  end.writeUInt16LE(arrays.length, 8);
  end.writeUInt16LE(arrays.length, 10);
  end.writeUInt32LE(size, 12);
  end.writeUInt32LE(offset, 16);
  return Buffer.concat([...parts, ...directory, end]);
}

/** What the header before a file and that in the directory have in common. */
function commonHeader(file: Uint8Array, content: Uint8Array): Buffer {
  const header = Buffer.alloc(26);
  header.writeUInt16LE(VERSION, 0);
  header.writeUInt16LE(UTF8_FLAG, 2);
  header.writeUInt16LE(DATE, 8);
  header.writeUInt32LE(crc32(content), 10);
  header.writeUInt32LE(content.length, 14);
  header.writeUInt32LE(content.length, 18);
  header.writeUInt16LE(file.length, 22);
  return header;
}

/** Names that no program unpacks beside the folder it was told, each another. */
function entryNames(names: readonly string[]): string[] {
  const taken = new Set<string>();
  return names.map(name => {
    const safe =
      name
        .replace(/[\\:\u0000-\u001f\u007f]/g, '_')
        .split('/')
        .map(part => (/^\.*$/.test(part) ? '_' : part))
        .join('/') || '_';
    let free = safe;
    for (let n = 2; taken.has(free); n++) free = `${safe}_${n}`;
    taken.add(free);
    return free;
  });
}
