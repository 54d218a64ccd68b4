// A picture to draw lines and points on.
import type { Image } from './png.ts';

export type Rgb = readonly [red: number, green: number, blue: number];

export class Canvas implements Image {
  readonly width: number;
  readonly height: number;
  readonly channels = 3;
  readonly pixels: Uint8Array;

  constructor(width: number, height: number, background: Rgb) {
    this.width = width;
    this.height = height;
    this.pixels = new Uint8Array(width * height * 3);
    for (let i = 0; i < this.pixels.length; i += 3) this.pixels.set(background, i);
  }

  /** What lies outside the picture is left out. */
  point(x: number, y: number, color: Rgb, share = 1): void {
    if (!(x >= 0 && y >= 0 && x < this.width && y < this.height)) return;
    const at = (Math.floor(y) * this.width + Math.floor(x)) * 3;
    for (let c = 0; c < 3; c++)
      this.pixels[at + c] = Math.round(this.pixels[at + c]! * (1 - share) + color[c]! * share);
  }

  dot(x: number, y: number, radius: number, color: Rgb): void {
    const reach = Math.ceil(radius);
    for (let dy = -reach; dy <= reach; dy++)
      for (let dx = -reach; dx <= reach; dx++)
        if (dx * dx + dy * dy <= radius * radius) this.point(Math.round(x) + dx, Math.round(y) + dy, color);
  }

  /** Smooth (each step shares its weight between the two nearest pixels). Its ends must be finite and near the picture. */
  line(x0: number, y0: number, x1: number, y1: number, color: Rgb): void {
    const steep = Math.abs(y1 - y0) > Math.abs(x1 - x0);
    const steps = Math.max(1, Math.ceil(steep ? Math.abs(y1 - y0) : Math.abs(x1 - x0)));
    for (let i = 0; i <= steps; i++) {
      const x = x0 + ((x1 - x0) * i) / steps;
      const y = y0 + ((y1 - y0) * i) / steps;
      const across = steep ? x : y;
      const low = Math.floor(across);
      const part = across - low;
      if (steep) {
        this.point(low, Math.round(y), color, 1 - part);
        this.point(low + 1, Math.round(y), color, part);
      } else {
        this.point(Math.round(x), low, color, 1 - part);
        this.point(Math.round(x), low + 1, color, part);
      }
    }
  }
}
