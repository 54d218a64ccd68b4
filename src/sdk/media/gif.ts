// Animated GIF from frames. A palette per frame: exact where a frame has at most 256 colours, else 256 that are near.
import { createRequire } from 'node:module';
import { type Color, type Indexed, Quantizer } from './palette.ts';

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
}

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
  const { GIFEncoder } = createRequire(import.meta.url)('gifenc') as Gifenc;
  const gif = GIFEncoder({ initialCapacity: 1024 * 1024 });
  const greys = Array.from({ length: MAX_COLORS }, (_, i): Color => [i, i, i]);
  let quantizer: Quantizer | undefined;
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
    let indexed = exactPalette(pixels);
    if (indexed === undefined) {
      // The encoder's own choice of colours takes seconds for a frame of many colours, this one milliseconds.
      quantizer ??= new Quantizer();
      indexed = quantizer.quantize(pixels);
    }
    const { palette, index } = indexed;
    gif.writeFrame(index, width, height, { palette, delay, repeat: 0 });
  }
  gif.finish();
  return gif.bytes();
}

/** Open addressing, twice as many slots as colours can be. */
const SLOTS = 1024;

/** Undefined when there are more than 256 colours. */
function exactPalette(pixels: Uint8Array): Indexed | undefined {
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
