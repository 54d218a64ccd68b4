// Which format finished bytes have, from their first bytes; and how large a picture is, from its header.

export interface Format {
  readonly mimeType: string;
  readonly family: 'image' | 'video' | 'audio';
}

/** Bytes that are enough for `formatOf`. */
export const HEAD_BYTES = 32;

/** Undefined for what is none of PNG, JPEG, WebP, GIF, MP4, WebM, WAV, MP3, Ogg, FLAC. */
export function formatOf(head: Uint8Array): Format | undefined {
  const text = Buffer.from(head.subarray(0, HEAD_BYTES)).toString('latin1');
  if (text.startsWith('\x89PNG\r\n\x1a\n')) return { mimeType: 'image/png', family: 'image' };
  if (text.startsWith('\xff\xd8\xff')) return { mimeType: 'image/jpeg', family: 'image' };
  if (text.startsWith('GIF87a') || text.startsWith('GIF89a'))
    return { mimeType: 'image/gif', family: 'image' };
  if (text.startsWith('RIFF') && text.startsWith('WEBP', 8))
    return { mimeType: 'image/webp', family: 'image' };
  if (text.startsWith('RIFF') && text.startsWith('WAVE', 8))
    return { mimeType: 'audio/wav', family: 'audio' };
  if (text.startsWith('ftyp', 4)) return { mimeType: 'video/mp4', family: 'video' };
  if (text.startsWith('\x1a\x45\xdf\xa3')) return { mimeType: 'video/webm', family: 'video' };
  if (text.startsWith('OggS')) return { mimeType: 'audio/ogg', family: 'audio' };
  if (text.startsWith('fLaC')) return { mimeType: 'audio/flac', family: 'audio' };
  if (text.startsWith('ID3') || /^\xff[\xfb\xf3\xf2]/.test(text))
    return { mimeType: 'audio/mpeg', family: 'audio' };
  return undefined;
}

export interface Size {
  readonly width: number;
  readonly height: number;
}

/** Undefined where the header does not say. */
export function pictureSize(mimeType: string, bytes: Uint8Array): Size | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  try {
    switch (mimeType) {
      case 'image/png':
        return { width: view.getUint32(16), height: view.getUint32(20) };
      case 'image/gif':
        return { width: view.getUint16(6, true), height: view.getUint16(8, true) };
      case 'image/jpeg':
        return jpegSize(view);
      case 'image/webp':
        return webpSize(view);
      default:
        return undefined;
    }
  } catch {
    // A header that is cut off: the bytes travel as they are.
    return undefined;
  }
}

/** Walks the segments to the start of frame: ITU-T T.81, B.1 and B.2. */
function jpegSize(view: DataView): Size | undefined {
  for (let at = 2; view.getUint8(at) === 0xff; ) {
    const marker = view.getUint8(at + 1);
    if (marker === 0xff) at++;
    else if (marker >= 0xc0 && marker <= 0xcf && marker !== 0xc4 && marker !== 0xc8 && marker !== 0xcc)
      return { width: view.getUint16(at + 7), height: view.getUint16(at + 5) };
    else at += 2 + view.getUint16(at + 2);
  }
  return undefined;
}

/** RFC 9649: extended, lossless, lossy. */
function webpSize(view: DataView): Size | undefined {
  const kind = Buffer.from(view.buffer, view.byteOffset + 12, 4).toString('latin1');
  if (kind === 'VP8X')
    return {
      width: 1 + view.getUint16(24, true) + view.getUint8(26) * 0x10000,
      height: 1 + view.getUint16(27, true) + view.getUint8(29) * 0x10000,
    };
  if (kind === 'VP8L') {
    const bits = view.getUint32(21, true);
    return { width: 1 + (bits & 0x3fff), height: 1 + ((bits >>> 14) & 0x3fff) };
  }
  if (kind === 'VP8 ')
    return { width: view.getUint16(26, true) & 0x3fff, height: view.getUint16(28, true) & 0x3fff };
  return undefined;
}
