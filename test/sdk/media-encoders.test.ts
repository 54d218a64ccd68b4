// What the media thread makes of raw numbers, read back by other people's decoders.
import { createRequire } from 'node:module';
import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { decode as decodePng } from 'fast-png';
import { asNumbers, toPixels } from '../../src/sdk/media/arrays.ts';
import { redBlueReversed, viridis } from '../../src/sdk/media/colormaps.ts';
import { formatOf, pictureSize } from '../../src/sdk/media/formats.ts';
import { frameCount, videoFrames } from '../../src/sdk/media/frames.ts';
import { encodeGif, type Frame } from '../../src/sdk/media/gif.ts';
import type { RawArray, VideoLayout } from '../../src/sdk/media/job.ts';
import { encodeNpy } from '../../src/sdk/media/npy.ts';
import { Quantizer } from '../../src/sdk/media/palette.ts';
import { encodePly } from '../../src/sdk/media/ply.ts';
import { encodePng } from '../../src/sdk/media/png.ts';
import { renderPointCloud, renderTrajectories } from '../../src/sdk/media/trajectories.ts';
import { magnitude, renderVectorField, vorticity } from '../../src/sdk/media/vector-field.ts';
import { encodeWav } from '../../src/sdk/media/wav.ts';

const require = createRequire(import.meta.url);
interface GifReader {
  width: number;
  height: number;
  numFrames(): number;
  frameInfo(n: number): { delay: number };
  decodeAndBlitFrameRGBA(n: number, pixels: Uint8Array): void;
}
const { GifReader } = require('omggif') as { GifReader: new (bytes: Uint8Array) => GifReader };
const jpeg = require('jpeg-js') as {
  encode(image: { data: Uint8Array; width: number; height: number }): { data: Uint8Array };
};

const bytes = (values: ArrayBufferView) =>
  new Uint8Array(values.buffer, values.byteOffset, values.byteLength);

describe('value rules', () => {
  const pixels = (values: Parameters<typeof toPixels>[0], dtype: Parameters<typeof toPixels>[1]) => [
    ...toPixels(values, dtype, undefined),
  ];

  it('takes uint8 as it is, even where all values are alike or 0 and 1', () => {
    expect(pixels(Uint8Array.of(7, 7), 'uint8')).toEqual([7, 7]);
    expect(pixels(Uint8Array.of(0, 1), 'uint8')).toEqual([0, 1]);
  });
  it('makes constant values zeros', () => {
    expect(pixels(Float32Array.of(0.5, 0.5, 0.5), 'float32')).toEqual([0, 0, 0]);
    expect(pixels(Int32Array.of(200, 200), 'int32')).toEqual([0, 0]);
  });
  it('multiplies what lies within [0, 1] by 255, without stretching it', () => {
    expect(pixels(Float64Array.of(0, 0.2, 0.5, 1), 'float64')).toEqual([0, 51, 128, 255]);
    expect(pixels(Float64Array.of(0.25, 0.75), 'float64')).toEqual([64, 191]);
  });
  it('stretches everything else from its least to its greatest value', () => {
    expect(pixels(Float32Array.of(-1, 0, 1), 'float32')).toEqual([0, 128, 255]);
    expect(pixels(Int32Array.of(0, 51, 510), 'int32')).toEqual([0, 26, 255]);
    expect(pixels(Uint16Array.of(1000, 1500, 2000), 'uint16')).toEqual([0, 128, 255]);
    expect(pixels(Float64Array.of(-Number.MAX_VALUE, 0, Number.MAX_VALUE), 'float64')).toEqual([0, 128, 255]);
  });
  it('shows booleans black and white', () => {
    expect(pixels(Uint8Array.of(0, 1), 'bool')).toEqual([0, 255]);
  });
  it('clips at a given range, whatever the type', () => {
    expect([...toPixels(Float32Array.of(-3, 0, 5, 20), 'float32', [0, 10])]).toEqual([0, 0, 128, 255]);
    expect([...toPixels(Uint8Array.of(0, 64, 200), 'uint8', [0, 128])]).toEqual([0, 128, 255]);
  });
});

describe('PNG', () => {
  it('is read back pixel for pixel by fast-png, for any size and channel count', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 40 }),
        fc.integer({ min: 1, max: 40 }),
        fc.constantFrom(1 as const, 3 as const, 4 as const),
        fc.integer(),
        fc.boolean(),
        async (width, height, channels, seed, smooth) => {
          const pixels = new Uint8Array(width * height * channels).map((_, i) =>
            smooth ? i >> 2 : Math.imul(i + seed, 0x9e3779b1) >>> 24,
          );
          const png = decodePng(await encodePng({ width, height, channels, pixels }));
          expect([png.width, png.height, png.channels, png.depth]).toEqual([width, height, channels, 8]);
          expect(Buffer.compare(Buffer.from(png.data as Uint8Array), Buffer.from(pixels))).toBe(0);
        },
      ),
      { numRuns: 60 },
    );
  });
  it('compresses what is smooth', async () => {
    const pixels = new Uint8Array(256 * 256 * 3).map((_, i) => ((i / 3) % 256) + ((i / 768) | 0));
    expect((await encodePng({ width: 256, height: 256, channels: 3, pixels })).length).toBeLessThan(20_000);
  });
});

describe('GIF', () => {
  const rgbOf = (gif: Uint8Array, n: number) => {
    const reader = new GifReader(gif);
    const rgba = new Uint8Array(reader.width * reader.height * 4);
    reader.decodeAndBlitFrameRGBA(n, rgba);
    return rgba.filter((_, i) => i % 4 !== 3);
  };
  it('keeps every colour of frames with up to 256 of them, each frame with a palette of its own', () => {
    const frames = [0, 1, 2].map(
      (n): Frame => ({
        width: 16,
        height: 16,
        channels: 3,
        pixels: new Uint8Array(768).map((_, i) => ((i / 3) | 0) * (n + 1) + (i % 3) * 40),
      }),
    );
    const gif = encodeGif(frames, 10);
    expect(new GifReader(gif).numFrames()).toBe(3);
    for (const [n, frame] of frames.entries()) expect(rgbOf(gif, n)).toEqual(frame.pixels);
  });
  it('keeps every grey', () => {
    const pixels = new Uint8Array(256).map((_, i) => i);
    const gif = encodeGif([{ width: 16, height: 16, channels: 1, pixels }], 10);
    expect(rgbOf(gif, 0)).toEqual(new Uint8Array(768).map((_, i) => (i / 3) | 0));
  });
  it('comes near to frames with more colours', () => {
    const pixels = new Uint8Array(64 * 64 * 3).map((_, i) =>
      i % 3 === 0 ? i / 48 : i % 3 === 1 ? i / 192 : 128,
    );
    const rgb = rgbOf(encodeGif([{ width: 64, height: 64, channels: 3, pixels }], 10), 0);
    const worst = rgb.reduce((sum, value, i) => Math.max(sum, Math.abs(value - pixels[i]!)), 0);
    expect(worst).toBeLessThan(48);
  });
  it('is as near to noise and to soft pictures as the pairwise nearest neighbours of gifenc, within a half', () => {
    const { quantize, applyPalette } = require('gifenc') as {
      quantize(rgba: Uint8Array, colors: number, options: { format: string }): number[][];
      applyPalette(rgba: Uint8Array, palette: number[][], format: string): Uint8Array;
    };
    // Some noise that is the same each time; waves of three colours.
    const noise = new Uint8Array(48 * 48 * 3).map((_, i) => Math.imul(i + 1, 2654435761) >>> 24);
    const soft = noise.map((value, i) => 120 + 90 * Math.sin(((i / 3) % 48) / 9 + (i % 3)) + (value & 15));
    for (const pixels of [noise, soft]) {
      const error = (palette: readonly (readonly number[])[], index: Uint8Array) =>
        pixels.reduce((sum, value, i) => sum + (value - palette[index[Math.floor(i / 3)]!]![i % 3]!) ** 2, 0);
      const ours = new Quantizer().quantize(pixels);
      const rgba = new Uint8Array(48 * 48 * 4).map((_, i) =>
        i % 4 === 3 ? 255 : pixels[(i >> 2) * 3 + (i % 4)]!,
      );
      const palette = quantize(rgba, 256, { format: 'rgb565' });
      const theirs = error(palette, applyPalette(rgba, palette, 'rgb565'));
      expect(error(ours.palette, ours.index)).toBeLessThan(1.5 * theirs);
    }
  });
  it('has a colour for every pixel, whatever the frames before had', () => {
    const quantizer = new Quantizer();
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 400 }), fc.nat(255), (bytes, factor) => {
        const pixels = new Uint8Array(bytes.length * 3).map(
          (_, i) => bytes[Math.floor(i / 3)]! * (i + factor),
        );
        const { palette, index } = quantizer.quantize(pixels);
        expect(index).toHaveLength(bytes.length);
        expect(palette.length).toBeLessThanOrEqual(256);
        for (const [i, place] of index.entries()) {
          const color = palette[place]!;
          // Up to 256 bins of 8 by 8 by 8 keep their own mean.
          if (palette.length < 256)
            for (let c = 0; c < 3; c++) expect(color[c]! >> 3).toBe(pixels[3 * i + c]! >> 3);
        }
      }),
    );
  });
  it.each([
    [10, [10, 10, 10]],
    [30, [3, 4, 3]],
    [1, [100, 100, 100]],
    [500, [2, 2, 2]],
  ])('shows %d frames a second, in hundredths that do not drift', (fps, delays) => {
    const frame: Frame = { width: 1, height: 1, channels: 1, pixels: Uint8Array.of(0) };
    const reader = new GifReader(encodeGif([frame, frame, frame], fps));
    expect([0, 1, 2].map(n => reader.frameInfo(n).delay)).toEqual(delays);
  });
});

describe('frames', () => {
  // Value = frame, then row, then column, then channel: each element says where it belongs.
  const value = (f: number, c: number, h: number, w: number) => f * 64 + h * 16 + w * 4 + c;
  const expected = (f: number, channels: number) => {
    const out: number[] = [];
    for (let h = 0; h < 2; h++)
      for (let w = 0; w < 3; w++) for (let c = 0; c < Math.min(3, channels); c++) out.push(value(f, c, h, w));
    return out;
  };
  const fill = (shape: number[], at: (index: number[]) => number): Uint8Array => {
    const out = new Uint8Array(shape.reduce((a, b) => a * b, 1));
    for (let i = 0; i < out.length; i++) {
      const index: number[] = [];
      let rest = i;
      for (const side of [...shape].reverse()) {
        index.unshift(rest % side);
        rest = Math.floor(rest / side);
      }
      out[i] = at(index);
    }
    return out;
  };
  const all = (layout: VideoLayout, shape: number[], content: Uint8Array) => {
    const array: RawArray = { shape, dtype: 'uint8' };
    return [...videoFrames(array, content, layout, undefined)];
  };

  it('reads [frames, height, width] as grey', () => {
    const frames = all(
      'FHW',
      [3, 2, 3],
      fill([3, 2, 3], ([f, h, w]) => value(f!, 0, h!, w!)),
    );
    expect(frames.map(f => [f.width, f.height, f.channels])).toEqual(Array(3).fill([3, 2, 1]));
    expect(frames.map(f => [...f.pixels])).toEqual([0, 1, 2].map(f => expected(f, 1)));
  });
  it.each([1, 3, 4])('reads channels first and last alike (%d channels)', channels => {
    const first = all(
      'FCHW',
      [2, channels, 2, 3],
      fill([2, channels, 2, 3], ([f, c, h, w]) => value(f!, c!, h!, w!)),
    );
    const last = all(
      'FHWC',
      [2, 2, 3, channels],
      fill([2, 2, 3, channels], ([f, h, w, c]) => value(f!, c!, h!, w!)),
    );
    for (const frames of [first, last])
      expect(frames.map(f => [...f.pixels])).toEqual([expected(0, channels), expected(1, channels)]);
  });
  it('shows several videos side by side', () => {
    const shape = [3, 2, 1, 1, 2];
    const frames = all(
      'NFCHW',
      shape,
      fill(shape, ([n, f, , , w]) => 100 * f! + 10 * n! + w! + 1),
    );
    expect(frameCount({ shape, dtype: 'uint8' }, 'NFCHW')).toBe(2);
    expect(frames.map(f => [f.width, f.height, ...f.pixels])).toEqual([
      [4, 2, 1, 2, 11, 12, 21, 22, 0, 0],
      [4, 2, 101, 102, 111, 112, 121, 122, 0, 0],
    ]);
  });
  it('applies the value rules to the video, not to each frame', () => {
    const content = bytes(Float32Array.of(0, 1, 5, 10));
    const frames = [...videoFrames({ shape: [2, 1, 2], dtype: 'float32' }, content, 'FHW', undefined)];
    expect(frames.map(f => [...f.pixels])).toEqual([
      [0, 26],
      [128, 255],
    ]);
  });
});

describe('WAV', () => {
  it('has 16-bit samples and counts what it clips', () => {
    const { bytes: wav, clipped } = encodeWav({
      samples: Float32Array.of(0, 1, -1, 0.5, 2, -3),
      dtype: 'float32',
      channels: 2,
      sampleRate: 8_000,
    });
    const view = Buffer.from(wav);
    expect(view.toString('latin1', 0, 4) + view.toString('latin1', 8, 16)).toBe('RIFFWAVEfmt ');
    expect(view.readUInt32LE(4)).toBe(wav.length - 8);
    expect([20, 22, 34].map(at => view.readUInt16LE(at))).toEqual([1, 2, 16]);
    expect([24, 28].map(at => view.readUInt32LE(at))).toEqual([8_000, 32_000]);
    expect([0, 1, 2, 3, 4, 5].map(i => view.readInt16LE(44 + 2 * i))).toEqual([
      0, 32_767, -32_767, 16_384, 32_767, -32_768,
    ]);
    expect(clipped).toBe(2);
  });
  it('takes whole numbers as PCM of their width', () => {
    const sample = (samples: Int16Array | Int32Array | Uint8Array, dtype: 'int16' | 'int32' | 'uint8') =>
      Buffer.from(encodeWav({ samples, dtype, channels: 1, sampleRate: 1 }).bytes).readInt16LE(44);
    expect(sample(Int16Array.of(-12_345), 'int16')).toBe(-12_345);
    expect(sample(Int32Array.of(-(2 ** 31)), 'int32')).toBe(-32_768);
    expect(sample(Uint8Array.of(0), 'uint8')).toBe(-32_768);
  });
});

it('writes .npy, version 1.0', () => {
  const npy = Buffer.from(encodeNpy({ shape: [1, 3], dtype: 'float32' }, bytes(Float32Array.of(1, 2, 3))));
  const header = "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 3), }";
  expect(npy.subarray(0, 10)).toEqual(Buffer.from('934e554d505901007600', 'hex'));
  expect(npy.toString('latin1', 10, 128)).toBe(`${header.padEnd(117)}\n`);
  expect(asNumbers(new Uint8Array(npy.subarray(128)), 'float32')).toEqual(Float32Array.of(1, 2, 3));
  const one = Buffer.from(encodeNpy({ shape: [2], dtype: 'bool' }, Uint8Array.of(0, 1))).toString('latin1');
  expect(one).toContain("'descr': '|b1'");
  expect(one).toContain("'shape': (2,), ");
});

it('writes point clouds as PLY', () => {
  const ply = Buffer.from(encodePly([1, 2, 3, 255, 0, 300], 1, 6));
  const end = ply.indexOf('end_header\n') + 'end_header\n'.length;
  expect(ply.toString('latin1', 0, end)).toContain('element vertex 1\n');
  expect([0, 4, 8].map(at => ply.readFloatLE(end + at))).toEqual([1, 2, 3]);
  expect([...ply.subarray(end + 12)]).toEqual([255, 0, 255]);
  expect(
    Buffer.from(encodePly([1, 2, 3, 7], 1, 4)).readInt32LE(encodePly([1, 2, 3, 7], 1, 4).length - 4),
  ).toBe(7);
});

describe('colour maps', () => {
  const color = (map: typeof viridis, at: number) => {
    const out = new Uint8Array(3);
    map(at, out, 0);
    return Buffer.from(out).toString('hex');
  };
  it('begin and end where Matplotlib has them, and stay there beyond', () => {
    expect([0, 1, -1, 2].map(at => color(viridis, at))).toEqual(['440154', 'fde725', '440154', 'fde725']);
    expect([0, 0.5, 1].map(at => color(redBlueReversed, at))).toEqual(['053061', 'f7f7f7', '67001f']);
  });
  it('comes within 2 of viridis in the middle (21918c)', () => {
    const out = new Uint8Array(3);
    viridis(0.5, out, 0);
    expect([0x21, 0x91, 0x8c].map((value, c) => Math.abs(value - out[c]!) <= 2)).toEqual([true, true, true]);
  });
});

describe('vector fields', () => {
  const field = (height: number, width: number, at: (x: number, y: number) => [number, number]) =>
    Float64Array.from({ length: height * width * 2 }, (_, i) => {
      const cell = i >> 1;
      return at(cell % width, Math.floor(cell / width))[i % 2]!;
    });

  it('have the vorticity dVy/dx - dVx/dy, everywhere 2 for a rigid rotation', () => {
    expect([
      ...vorticity(
        field(4, 5, (x, y) => [-y, x]),
        4,
        5,
      ),
    ]).toEqual(Array(20).fill(2));
    expect([
      ...vorticity(
        field(4, 5, (x, y) => [y, -x]),
        4,
        5,
      ),
    ]).toEqual(Array(20).fill(-2));
  });
  it('have one-sided differences at their edges', () => {
    expect([
      ...vorticity(
        field(1, 4, x => [0, x * x]),
        1,
        4,
      ),
    ]).toEqual([1, 2, 4, 5]);
  });
  it('have a magnitude', () => {
    expect([...magnitude([3, 4, 0, 0], 1, 2)]).toEqual([5, 0]);
  });
  it('are shown by viridis from the least to the greatest magnitude, enlarged', () => {
    const { width, height, pixels } = renderVectorField(
      field(2, 4, x => [x, 0]),
      2,
      4,
      'magnitude',
    );
    expect([width, height]).toEqual([512, 256]);
    expect(Buffer.from(pixels.subarray(0, 3)).toString('hex')).toBe('440154');
    expect(Buffer.from(pixels.subarray(511 * 3, 512 * 3)).toString('hex')).toBe('fde725');
  });
  it('are white where nothing turns', () => {
    const still = renderVectorField(
      field(8, 8, () => [1, 1]),
      8,
      8,
      'vorticity',
    );
    expect(new Set(still.pixels)).toEqual(new Set([0xf7]));
    const turning = renderVectorField(
      field(8, 8, (x, y) => [-y, x]),
      8,
      8,
      'vorticity',
    );
    expect(Buffer.from(turning.pixels.subarray(0, 3)).toString('hex')).toBe('67001f');
  });
  it('have an arrow for each 8 by 8 cells', () => {
    const white = (width: number, height: number) => {
      const plain = renderVectorField(
        field(height, width, () => [1, 0]),
        height,
        width,
        'magnitude',
      );
      const { pixels } = renderVectorField(
        field(height, width, () => [1, 0]),
        height,
        width,
        'quiver',
      );
      return pixels.reduce((sum, value, i) => sum + (value === plain.pixels[i] ? 0 : 1), 0);
    };
    // Twice as many cells at the same scale have twice as many arrows.
    expect(white(512, 16) / white(512, 8)).toBeCloseTo(2, 1);
    expect(white(8, 8)).toBeGreaterThan(100);
  });
});

describe('trajectories and point clouds', () => {
  it('draw the slow part in the colour of slowness and the fast one in that of speed', () => {
    const { pixels } = renderTrajectories([0, 0, 1, 0, 11, 0], 1, 3, 2);
    const at = (x: number, y: number) =>
      Buffer.from(pixels.subarray((y * 512 + x) * 3, (y * 512 + x) * 3 + 3)).toString('hex');
    expect(at(40, 256)).toBe('440154');
    expect(at(400, 256)).toBe('fde725');
    expect(at(40, 100)).toBe('ffffff');
  });
  it.each([2, 3])('leave a gap where a point is NaN (%d dimensions)', dimensions => {
    const points = Array.from({ length: 4 * dimensions }, (_, i) =>
      i < dimensions ? 0 : i >= 3 * dimensions ? 2 : 1,
    );
    const drawn = (list: number[]) =>
      renderTrajectories(list, 1, 4, dimensions).pixels.filter(v => v !== 255).length;
    const gap = points.map((value, i) => (Math.floor(i / dimensions) === 1 ? Number.NaN : value));
    expect(drawn(gap)).toBeLessThan(drawn(points));
    expect(drawn(points.map(() => Number.NaN))).toBe(0);
  });
  it('show points in their own colours', () => {
    const { pixels } = renderPointCloud([0, 0, 0, 10, 20, 30, 1, 1, 1, 10, 20, 30], 2, 6);
    const colors = new Set<string>();
    for (let i = 0; i < pixels.length; i += 3) colors.add(pixels.subarray(i, i + 3).join(' '));
    expect(colors).toEqual(new Set(['255 255 255', '10 20 30']));
  });
});

describe('finished formats', () => {
  it('are told apart by their first bytes', async () => {
    const png = await encodePng({ width: 5, height: 7, channels: 1, pixels: new Uint8Array(35) });
    expect(formatOf(png)?.mimeType).toBe('image/png');
    expect(pictureSize('image/png', png)).toEqual({ width: 5, height: 7 });
    const gif = encodeGif([{ width: 6, height: 3, channels: 1, pixels: new Uint8Array(18) }], 1);
    expect(formatOf(gif)?.mimeType).toBe('image/gif');
    expect(pictureSize('image/gif', gif)).toEqual({ width: 6, height: 3 });
    const photo = jpeg.encode({ width: 40, height: 24, data: new Uint8Array(40 * 24 * 4) }).data;
    expect(formatOf(photo)?.mimeType).toBe('image/jpeg');
    expect(pictureSize('image/jpeg', photo)).toEqual({ width: 40, height: 24 });
    const { bytes: wav } = encodeWav({
      samples: Int16Array.of(1),
      dtype: 'int16',
      channels: 1,
      sampleRate: 1,
    });
    expect(formatOf(wav)).toEqual({ mimeType: 'audio/wav', family: 'audio' });
  });
  it('reads the size of the three kinds of WebP', () => {
    // Headers of 2 by 3 pixels, as RFC 9649 lays them out.
    const lossy = Buffer.from(
      '524946460000000057454250565038200000000030010 09d012a02000300'.replace(' ', ''),
      'hex',
    );
    const lossless = Buffer.from('5249464600000000574542505650384c000000002f01800000', 'hex');
    const extended = Buffer.from('524946460000000057454250565038580a00000010000000010000020000', 'hex');
    expect(formatOf(lossy)?.mimeType).toBe('image/webp');
    expect(pictureSize('image/webp', lossy)).toEqual({ width: 2, height: 3 });
    expect(pictureSize('image/webp', lossless)).toEqual({ width: 2, height: 3 });
    expect(pictureSize('image/webp', extended)).toEqual({ width: 2, height: 3 });
  });
  it('stay unknown, or without a size, where the bytes do not say', () => {
    expect(formatOf(Buffer.from('just some text, and quite a lot of it'))).toBeUndefined();
    expect(formatOf(new Uint8Array(0))).toBeUndefined();
    expect(pictureSize('image/png', Buffer.from('89504e470d0a1a0a', 'hex'))).toBeUndefined();
    expect(pictureSize('image/jpeg', Buffer.from('ffd8ffe0', 'hex'))).toBeUndefined();
  });
});
