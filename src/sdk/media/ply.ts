// Point clouds as PLY (binary, little-endian): Turk, "The PLY Polygon File Format", 1994. Every viewer of such clouds opens it.

export const PLY_MIME_TYPE = 'model/ply';

/** Rows of 3 (x, y, z), 4 (and a category) or 6 (and red, green, blue of 0 to 255). */
export function encodePly(points: ArrayLike<number>, count: number, columns: number): Uint8Array {
  const extra =
    columns === 4
      ? 'property int category\n'
      : columns === 6
        ? 'property uchar red\nproperty uchar green\nproperty uchar blue\n'
        : '';
  const header = Buffer.from(
    `ply\nformat binary_little_endian 1.0\nelement vertex ${count}\n` +
      `property float x\nproperty float y\nproperty float z\n${extra}end_header\n`,
    'latin1',
  );
  const rowBytes = 12 + (columns === 4 ? 4 : columns === 6 ? 3 : 0);
  const out = Buffer.alloc(header.length + count * rowBytes);
  out.set(header);
  for (let i = 0, at = header.length; i < count; i++, at += rowBytes) {
    const from = i * columns;
    for (let d = 0; d < 3; d++) out.writeFloatLE(points[from + d]!, at + 4 * d);
    if (columns === 4) out.writeInt32LE(Math.trunc(points[from + 3]!), at + 12);
    for (let c = 0; columns === 6 && c < 3; c++)
      out[at + 12 + c] = Math.min(255, Math.max(0, Math.round(points[from + 3 + c]!)));
  }
  return out;
}
