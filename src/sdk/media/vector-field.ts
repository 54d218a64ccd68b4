// A vector field (height, width, 2) as a picture: its magnitude, with or without arrows, or its vorticity.
import { extent } from './arrays.ts';
import { Canvas } from './canvas.ts';
import { redBlueReversed, viridis } from './colormaps.ts';
import type { FieldRendering } from './job.ts';

/** One arrow for a square of so many cells. */
const STRIDE = 8;
/** Small fields are enlarged to about this, so that arrows can be seen. */
const WANTED_SIDE = 512;
const WHITE = [255, 255, 255] as const;

export function renderVectorField(
  field: ArrayLike<number>,
  height: number,
  width: number,
  render: FieldRendering,
): Canvas {
  const scale = Math.max(1, Math.floor(WANTED_SIDE / Math.max(height, width)));
  const canvas = new Canvas(width * scale, height * scale, WHITE);
  const curl = render === 'vorticity';
  const values = curl ? vorticity(field, height, width) : magnitude(field, height, width);
  const [min, max] = extent(values);
  // Vorticity has a sign: white is none, and both sides have the same scale.
  const [from, to] = curl ? [-Math.max(-min, max), Math.max(-min, max)] : [min, max];
  const map = curl ? redBlueReversed : viridis;
  for (let y = 0; y < canvas.height; y++) {
    const row = Math.floor(y / scale) * width;
    for (let x = 0; x < canvas.width; x++) {
      const value = values[row + Math.floor(x / scale)]!;
      const at = to > from ? (value - from) / (to - from) : curl ? 0.5 : 0;
      map(at, canvas.pixels, (y * canvas.width + x) * 3);
    }
  }
  if (render === 'quiver') drawArrows(canvas, field, height, width, scale, max);
  return canvas;
}

export function magnitude(field: ArrayLike<number>, height: number, width: number): Float64Array {
  const out = new Float64Array(height * width);
  for (let i = 0; i < out.length; i++) out[i] = Math.hypot(field[2 * i]!, field[2 * i + 1]!);
  return out;
}

/** dVy/dx - dVx/dy, x along the rows and y down the columns; central differences inside, one-sided ones at the edges. */
export function vorticity(field: ArrayLike<number>, height: number, width: number): Float64Array {
  const out = new Float64Array(height * width);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const dVydx = slope(field, y * width * 2 + 1, 2, x, width);
      const dVxdy = slope(field, x * 2, width * 2, y, height);
      out[y * width + x] = dVydx - dVxdy;
    }
  }
  return out;
}

/** Slope at place `i` of the `n` values that stand at `base`, `base + step`, … */
function slope(values: ArrayLike<number>, base: number, step: number, i: number, n: number): number {
  const before = Math.max(0, i - 1);
  const after = Math.min(n - 1, i + 1);
  if (after === before) return 0;
  return (values[base + after * step]! - values[base + before * step]!) / (after - before);
}

function drawArrows(
  canvas: Canvas,
  field: ArrayLike<number>,
  height: number,
  width: number,
  scale: number,
  longest: number,
): void {
  if (!(longest > 0)) return;
  const reach = (STRIDE * scale * 0.9) / longest;
  for (let y = Math.min(STRIDE / 2, height - 1) | 0; y < height; y += STRIDE) {
    for (let x = Math.min(STRIDE / 2, width - 1) | 0; x < width; x += STRIDE) {
      const i = 2 * (y * width + x);
      const dx = field[i]! * reach;
      const dy = field[i + 1]! * reach;
      const x0 = (x + 0.5) * scale - dx / 2;
      const y0 = (y + 0.5) * scale - dy / 2;
      canvas.line(x0, y0, x0 + dx, y0 + dy, WHITE);
      // The head: two strokes back from the tip, a third of the arrow's length, 25 degrees to either side.
      for (const angle of [0.44, -0.44]) {
        const bx = (-dx * Math.cos(angle) + dy * Math.sin(angle)) / 3;
        const by = (-dx * Math.sin(angle) - dy * Math.cos(angle)) / 3;
        canvas.line(x0 + dx, y0 + dy, x0 + dx + bx, y0 + dy + by, WHITE);
      }
    }
  }
}
