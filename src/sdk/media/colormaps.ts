// The two colour maps of renderings, from their anchors, linear in between.

export type ColorMap = (at: number, out: Uint8Array, offset: number) => void;

/** Matplotlib's perceptually uniform default (Smith and van der Walt, CC0), at tenths of its length. */
export const viridis = mapOf('440154 482878 3e4989 31688e 26828e 1f9e89 35b779 6ece58 b5de2b fde725');

/** ColorBrewer's RdBu (Brewer, Apache-2.0) turned round, as Matplotlib's RdBu_r: blue below, white in the middle, red above. */
export const redBlueReversed = mapOf(
  '053061 2166ac 4393c3 92c5de d1e5f0 f7f7f7 fddbc7 f4a582 d6604d b2182b 67001f',
);

function mapOf(anchors: string): ColorMap {
  const colors = anchors.split(' ').map(hex => [...Buffer.from(hex, 'hex')]);
  const last = colors.length - 1;
  return (at, out, offset) => {
    const place = Math.min(1, Math.max(0, at)) * last;
    const i = Math.min(last - 1, Math.floor(place));
    const part = place - i;
    for (let c = 0; c < 3; c++)
      out[offset + c] = Math.round(colors[i]![c]! * (1 - part) + colors[i + 1]![c]! * part);
  };
}
