// Trajectories (count, length, 2 or 3) and point clouds as pictures: lines coloured by speed, points by height or by their own colour.
import { Canvas, type Rgb } from './canvas.ts';
import { viridis } from './colormaps.ts';

const SIDE = 512;
const MARGIN = 24;
const WHITE: Rgb = [255, 255, 255];
const GREY: Rgb = [200, 200, 200];
/** From where three dimensions are seen: turned by 45 degrees, from 30 degrees above. */
const TURN = Math.PI / 4;
const LIFT = Math.PI / 6;

/** A point that is not finite is a gap. */
export function renderTrajectories(
  points: ArrayLike<number>,
  count: number,
  length: number,
  dimensions: number,
): Canvas {
  const { canvas, x, y } = draftOf(points, count * length, dimensions);
  const speeds = new Float64Array(count * length).fill(Number.NaN);
  let slowest = Number.POSITIVE_INFINITY;
  let fastest = 0;
  for (let n = 0; n < count; n++) {
    for (let i = n * length + 1; i < (n + 1) * length; i++) {
      let sum = 0;
      for (let d = 0; d < dimensions; d++)
        sum += (points[i * dimensions + d]! - points[(i - 1) * dimensions + d]!) ** 2;
      const speed = Math.sqrt(sum);
      if (!Number.isFinite(speed)) continue;
      speeds[i] = speed;
      slowest = Math.min(slowest, speed);
      fastest = Math.max(fastest, speed);
    }
  }
  const color = new Uint8Array(3);
  for (let i = 0; i < speeds.length; i++) {
    const speed = speeds[i]!;
    if (Number.isNaN(speed)) {
      if (length === 1 && Number.isFinite(x[i]) && Number.isFinite(y[i])) canvas.dot(x[i]!, y[i]!, 2, GREY);
      continue;
    }
    viridis(fastest > slowest ? (speed - slowest) / (fastest - slowest) : 0, color, 0);
    canvas.line(x[i - 1]!, y[i - 1]!, x[i]!, y[i]!, [color[0]!, color[1]!, color[2]!]);
  }
  return canvas;
}

/** Rows of 3 (x, y, z), 4 (and a category) or 6 (and red, green, blue of 0 to 255). */
export function renderPointCloud(points: ArrayLike<number>, count: number, columns: number): Canvas {
  const positions = new Float64Array(count * 3);
  for (let i = 0; i < count; i++) for (let d = 0; d < 3; d++) positions[i * 3 + d] = points[i * columns + d]!;
  const { canvas, x, y } = draftOf(positions, count, 3);
  const last = (i: number) => (columns === 4 ? points[i * 4 + 3]! : positions[i * 3 + 2]!);
  let low = Number.POSITIVE_INFINITY;
  let high = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < count; i++) {
    low = Math.min(low, last(i));
    high = Math.max(high, last(i));
  }
  const color = new Uint8Array(3);
  for (let i = 0; i < count; i++) {
    if (columns === 6) for (let c = 0; c < 3; c++) color[c] = points[i * 6 + 3 + c]!;
    else viridis(high > low ? (last(i) - low) / (high - low) : 0, color, 0);
    canvas.dot(x[i]!, y[i]!, count > 2_000 ? 0 : 1, [color[0]!, color[1]!, color[2]!]);
  }
  return canvas;
}

/** An empty picture, and where each point stands on it: seen from above in two dimensions, up is up. */
function draftOf(
  points: ArrayLike<number>,
  count: number,
  dimensions: number,
): { canvas: Canvas; x: Float64Array; y: Float64Array } {
  const x = new Float64Array(count);
  const y = new Float64Array(count);
  const bounds = [
    Number.POSITIVE_INFINITY,
    Number.NEGATIVE_INFINITY,
    Number.POSITIVE_INFINITY,
    Number.NEGATIVE_INFINITY,
  ];
  for (let i = 0; i < count; i++) {
    const at = i * dimensions;
    [x[i], y[i]] =
      dimensions === 2
        ? [points[at]!, points[at + 1]!]
        : projected(points[at]!, points[at + 1]!, points[at + 2]!);
    if (!Number.isFinite(x[i]) || !Number.isFinite(y[i])) continue;
    bounds[0] = Math.min(bounds[0]!, x[i]!);
    bounds[1] = Math.max(bounds[1]!, x[i]!);
    bounds[2] = Math.min(bounds[2]!, y[i]!);
    bounds[3] = Math.max(bounds[3]!, y[i]!);
  }
  const [left, right, bottom, top] = bounds as [number, number, number, number];
  const size = Math.max(right - left, top - bottom);
  // Points that all stand in one place are drawn in the middle; both axes keep one scale.
  const scale = size > 0 && Number.isFinite(size) ? (SIDE - 2 * MARGIN) / size : 0;
  for (let i = 0; i < count; i++) {
    x[i] = SIDE / 2 + (x[i]! - (left + right) / 2) * scale;
    y[i] = SIDE / 2 - (y[i]! - (bottom + top) / 2) * scale;
  }
  return { canvas: new Canvas(SIDE, SIDE, WHITE), x, y };
}

function projected(x: number, y: number, z: number): [number, number] {
  const across = x * Math.cos(TURN) - y * Math.sin(TURN);
  const away = x * Math.sin(TURN) + y * Math.cos(TURN);
  return [across, z * Math.cos(LIFT) + away * Math.sin(LIFT)];
}
