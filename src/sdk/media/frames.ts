// The frames of a video, whatever the order of its axes: grey or RGB, height by width, one after the other.
import { asNumbers, toPixels } from './arrays.ts';
import type { Frame } from './gif.ts';
import type { RawArray, ValueRange, VideoLayout } from './job.ts';

/** How many frames there are, without making them. */
export function frameCount(array: RawArray, layout: VideoLayout): number {
  return layout === 'NFCHW' ? array.shape[1]! : array.shape[0]!;
}

/**
 * The value rules hold for the video as a whole, so that it does not flicker. An alpha channel is left out. Several videos
 * (`NFCHW`) are shown side by side, in a grid as near to a square as can be, black where there is none.
 */
export function* videoFrames(
  array: RawArray,
  content: Uint8Array,
  layout: VideoLayout,
  range: ValueRange | undefined,
): Iterable<Frame> {
  const pixels = toPixels(asNumbers(content, array.dtype), array.dtype, range) as Uint8Array;
  const { shape } = array;
  switch (layout) {
    case 'FHW':
      yield* frames(pixels, shape[0]!, shape[1]!, shape[2]!, 1, 'last');
      return;
    case 'FHWC':
      yield* frames(pixels, shape[0]!, shape[1]!, shape[2]!, shape[3]!, 'last');
      return;
    case 'FCHW':
      yield* frames(pixels, shape[0]!, shape[2]!, shape[3]!, shape[1]!, 'first');
      return;
    case 'NFCHW': {
      const [videos, count, channels, height, width] = shape as [number, number, number, number, number];
      const each = count * channels * height * width;
      const all = Array.from({ length: videos }, (_, n) =>
        frames(pixels.subarray(n * each, (n + 1) * each), count, height, width, channels, 'first')[
          Symbol.iterator
        ](),
      );
      for (let i = 0; i < count; i++) yield tiled(all.map(video => video.next().value as Frame));
    }
  }
}

function* frames(
  pixels: Uint8Array,
  count: number,
  height: number,
  width: number,
  channels: number,
  where: 'first' | 'last',
): Iterable<Frame> {
  const area = height * width;
  for (let n = 0; n < count; n++) {
    const source = pixels.subarray(n * area * channels, (n + 1) * area * channels);
    if (channels === 1) yield { width, height, channels: 1, pixels: source };
    else if (channels === 3 && where === 'last') yield { width, height, channels: 3, pixels: source };
    else {
      const rgb = new Uint8Array(area * 3);
      const [step, jump] = where === 'last' ? [channels, 1] : [1, area];
      for (let i = 0; i < area; i++)
        for (let c = 0; c < 3; c++) rgb[i * 3 + c] = source[i * step + c * jump]!;
      yield { width, height, channels: 3, pixels: rgb };
    }
  }
}

function tiled(parts: readonly Frame[]): Frame {
  const { width, height, channels } = parts[0]!;
  const columns = Math.ceil(Math.sqrt(parts.length));
  const rows = Math.ceil(parts.length / columns);
  const stride = width * columns * channels;
  const pixels = new Uint8Array(stride * height * rows);
  for (const [i, part] of parts.entries()) {
    const left = (i % columns) * width * channels;
    const top = Math.floor(i / columns) * height;
    for (let y = 0; y < height; y++)
      pixels.set(
        part.pixels.subarray(y * width * channels, (y + 1) * width * channels),
        (top + y) * stride + left,
      );
  }
  return { width: width * columns, height: height * rows, channels, pixels };
}
