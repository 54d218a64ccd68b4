// Animated GIF from frames. A palette per frame: exact where a frame has at most 256 colours, else the nearest 256.
import { createRequire } from 'node:module';

/** The part of gifenc that is used; it brings no types. */
interface Gifenc {
  GIFEncoder(options?: { initialCapacity?: number }): {
    writeFrame(
      index: Uint8Array,
      width: number,
      height: number,
      options: { palette: readonly Color[]; delay: number; repeat?: number },
    ): void;
    finish(): void;
    bytes(): Uint8Array;
  };
  quantize(rgba: Uint8Array, maxColors: number, options: { format: 'rgb565' }): Color[];
  applyPalette(rgba: Uint8Array, palette: readonly Color[], format: 'rgb565'): Uint8Array;
}
type Color = readonly [red: number, green: number, blue: number];

export interface Frame {
  readonly width: number;
  readonly height: number;
  /** Grey or red, green, blue. */
  readonly channels: 1 | 3;
  readonly pixels: Uint8Array;
}

const MAX_COLORS = 256;
/** Players take a shorter delay for 100 ms. */
const MIN_DELAY_MS = 20;

export function encodeGif(frames: Iterable<Frame>, fps: number): Uint8Array {
  const { GIFEncoder, quantize, applyPalette } = createRequire(import.meta.url)('gifenc') as Gifenc;
  const gif = GIFEncoder({ initialCapacity: 1024 * 1024 });
  const greys = Array.from({ length: MAX_COLORS }, (_, i): Color => [i, i, i]);
  let rgba = new Uint8Array(0);
  let n = 0;
  for (const { width, height, channels, pixels } of frames) {
    // GIF counts in 1/100 s: the rounding of one frame is made good by the next.
    const delay = Math.max(
      MIN_DELAY_MS,
      (Math.round(((n + 1) * 100) / fps) - Math.round((n * 100) / fps)) * 10,
    );
    n++;
    if (channels === 1) {
      gif.writeFrame(pixels, width, height, { palette: greys, delay, repeat: 0 });
      continue;
    }
    const exact = exactPalette(pixels);
    if (exact !== undefined) {
      gif.writeFrame(exact.index, width, height, { palette: exact.palette, delay, repeat: 0 });
      continue;
    }
    if (rgba.length !== width * height * 4) rgba = new Uint8Array(width * height * 4);
    for (let i = 0, at = 0; i < pixels.length; at += 4) {
      rgba[at] = pixels[i++]!;
      rgba[at + 1] = pixels[i++]!;
      rgba[at + 2] = pixels[i++]!;
      rgba[at + 3] = 255;
    }
    const palette = quantize(rgba, MAX_COLORS, { format: 'rgb565' });
    const index = applyPalette(rgba, palette, 'rgb565');
    gif.writeFrame(index, width, height, { palette, delay, repeat: 0 });
  }
  gif.finish();
  return gif.bytes();
}

/** Open addressing, twice as many slots as colours can be. */
const SLOTS = 1024;

/** Undefined when there are more than 256 colours. */
function exactPalette(pixels: Uint8Array): { palette: Color[]; index: Uint8Array } | undefined {
  const keys = new Int32Array(SLOTS).fill(-1);
  const places = new Uint8Array(SLOTS);
  const palette: Color[] = [];
  const index = new Uint8Array(pixels.length / 3);
  for (let i = 0, n = 0; i < pixels.length; i += 3, n++) {
    const color = (pixels[i]! << 16) | (pixels[i + 1]! << 8) | pixels[i + 2]!;
    let slot = (Math.imul(color, 0x9e3779b1) >>> 22) & (SLOTS - 1);
    while (keys[slot] !== color && keys[slot] !== -1) slot = (slot + 1) & (SLOTS - 1);
    if (keys[slot] === -1) {
      if (palette.length === MAX_COLORS) return undefined;
      keys[slot] = color;
      places[slot] = palette.push([pixels[i]!, pixels[i + 1]!, pixels[i + 2]!]) - 1;
    }
    index[n] = places[slot]!;
  }
  return { palette, index };
}
