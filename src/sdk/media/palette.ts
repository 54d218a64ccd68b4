// At most 256 colours for a frame that has more: a histogram whose boxes are split where their colours differ most.

export type Color = readonly [red: number, green: number, blue: number];

export interface Indexed {
  readonly palette: Color[];
  /** Per pixel its place in the palette. */
  readonly index: Uint8Array;
}

const MAX_COLORS = 256;
/** Colours that agree in so many bits per channel are one to begin with. */
const BITS = 5;
const BINS = 1 << (3 * BITS);
const DROP = 8 - BITS;

/** Bins `from` to `to` of the order, what their pixels are in sum, and how far their colours lie apart. */
interface Box {
  readonly from: number;
  readonly to: number;
  readonly mean: readonly [number, number, number];
  /** The channel that differs most, and the sum of its squared distances from the mean; 0 for a box that cannot be split. */
  readonly channel: number;
  readonly spread: number;
}

/** Keeps its memory from frame to frame. */
export class Quantizer {
  private readonly counts = new Uint32Array(BINS);
  /** Red, green, blue of each bin: sums at first, then means. */
  private readonly colors = new Float64Array(3 * BINS);
  private readonly order = new Uint16Array(BINS);
  private readonly places = new Uint8Array(BINS);

  /** @param pixels red, green, blue */
  quantize(pixels: Uint8Array): Indexed {
    const used = this.count(pixels);
    const boxes = [this.box(0, used)];
    while (boxes.length < MAX_COLORS) {
      let widest = 0;
      for (let i = 1; i < boxes.length; i++) if (boxes[i]!.spread > boxes[widest]!.spread) widest = i;
      const box = boxes[widest]!;
      if (box.spread === 0) break;
      const middle = this.split(box);
      boxes[widest] = this.box(box.from, middle);
      boxes.push(this.box(middle, box.to));
    }
    for (const [place, { from, to }] of boxes.entries())
      for (let i = from; i < to; i++) this.places[this.order[i]!] = place;
    const index = new Uint8Array(pixels.length / 3);
    for (let i = 0, at = 0; i < index.length; i++, at += 3) index[i] = this.places[binOf(pixels, at)]!;
    const palette = boxes.map(
      ({ mean }): Color => [Math.round(mean[0]), Math.round(mean[1]), Math.round(mean[2])],
    );
    return { palette, index };
  }

  /** Fills the histogram; returns how many bins are used. */
  private count(pixels: Uint8Array): number {
    const { counts, colors, order } = this;
    counts.fill(0);
    colors.fill(0);
    for (let at = 0; at < pixels.length; at += 3) {
      const bin = binOf(pixels, at);
      counts[bin]!++;
      colors[3 * bin]! += pixels[at]!;
      colors[3 * bin + 1]! += pixels[at + 1]!;
      colors[3 * bin + 2]! += pixels[at + 2]!;
    }
    let used = 0;
    for (let bin = 0; bin < BINS; bin++) {
      const count = counts[bin]!;
      if (count === 0) continue;
      order[used++] = bin;
      for (let c = 0; c < 3; c++) colors[3 * bin + c]! /= count;
    }
    return used;
  }

  private box(from: number, to: number): Box {
    const { counts, colors, order } = this;
    const mean: [number, number, number] = [0, 0, 0];
    const squares = [0, 0, 0];
    let weight = 0;
    for (let i = from; i < to; i++) {
      const bin = order[i]!;
      const count = counts[bin]!;
      weight += count;
      for (let c = 0; c < 3; c++) {
        const value = colors[3 * bin + c]!;
        mean[c]! += count * value;
        squares[c]! += count * value * value;
      }
    }
    let channel = 0;
    let spread = 0;
    for (let c = 0; c < 3; c++) {
      mean[c]! /= weight;
      const distance = squares[c]! - weight * mean[c]! * mean[c]!;
      if (distance > spread) {
        channel = c;
        spread = distance;
      }
    }
    // What is left of a single bin is rounding.
    return { from, to, mean, channel, spread: to - from < 2 ? 0 : spread };
  }

  /** Puts the bins that are darker than the mean first; returns where the others begin, inside the box. */
  private split({ from, to, mean, channel }: Box): number {
    const { colors, order } = this;
    const middle = mean[channel]!;
    let left = from;
    for (let i = from; i < to; i++) {
      const bin = order[i]!;
      if (colors[3 * bin + channel]! > middle) continue;
      order[i] = order[left]!;
      order[left++] = bin;
    }
    return Math.min(Math.max(left, from + 1), to - 1);
  }
}

function binOf(pixels: Uint8Array, at: number): number {
  return (
    ((pixels[at]! >> DROP) << (2 * BITS)) | ((pixels[at + 1]! >> DROP) << BITS) | (pixels[at + 2]! >> DROP)
  );
}
